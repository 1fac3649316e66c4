"""Every kind of container, made of the Korean sample, and what the decoder gives of it."""

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings

from server.audio.decoder import AudioDecoder
from server.engines.base import SAMPLE_RATE
from server.models import SessionConfig
from server.session_log.base import Checkpoint
from tests.support.recordings import FRAGMENTED, NO_NOISE, recording

AUTO = SessionConfig()
SLICE = 4_096
economical = settings(max_examples=6, deadline=None)


@dataclass(frozen=True)
class Kind:
    """A container. ``granularity`` in seconds: how far apart the places lie where one can begin again."""

    make: Callable[[], bytes] = field(repr=False)
    container: str
    granularity: float = 0.25
    held: float = 0.35
    """Seconds that a demuxer may hold back at most."""
    tolerance: int = 0
    """Of a sample, between a decoder that began again and one that did not."""
    lossless: bool = False
    upload: list[bytes] = field(default_factory=list, repr=False)

    def __call__(self) -> bytes:
        if not self.upload:
            self.upload.append(self.make())
        return self.upload[0]


KINDS = {
    "webm of a browser": Kind(
        lambda: recording("libopus", "webm", muxer={"live": "1", "cluster_time_limit": "250"}), "WebM"
    ),
    "webm file": Kind(lambda: recording("libopus", "webm"), "WebM"),
    "webm with video": Kind(lambda: recording("libopus", "webm", picture="libvpx"), "WebM"),
    "webm vorbis": Kind(lambda: recording("vorbis", "webm", 44_100, 2, encoder=("strict", "-2")), "WebM"),
    "matroska pcm": Kind(lambda: recording("pcm_f32le", "matroska", channels=2), "WebM", lossless=True),
    "matroska aac": Kind(lambda: recording("aac", "matroska", 44_100, encoder=NO_NOISE), "WebM"),
    "matroska flac": Kind(lambda: recording("flac", "matroska", SAMPLE_RATE), "WebM", lossless=True),
    "matroska mp3": Kind(lambda: recording("libmp3lame", "matroska", 44_100), "WebM", tolerance=2),
    "ogg opus": Kind(lambda: recording("libopus", "ogg"), "Ogg", 1.2, 1.3),
    "ogg opus in short pages": Kind(lambda: recording("libopus", "ogg", muxer={"page_duration": "60000"}), "Ogg"),
    "ogg flac": Kind(lambda: recording("flac", "ogg", SAMPLE_RATE), "Ogg", 1.2, 1.3, lossless=True),
    "mp4 of a browser": Kind(lambda: recording("aac", "mp4", encoder=NO_NOISE, muxer=FRAGMENTED), "MP4", 0.35),
    "mp4 opus": Kind(lambda: recording("libopus", "mp4", muxer=FRAGMENTED), "MP4", 0.35),
    "mp4 flac": Kind(lambda: recording("flac", "mp4", SAMPLE_RATE, muxer=FRAGMENTED), "MP4", 0.35, lossless=True),
    "mp4 mp3": Kind(lambda: recording("libmp3lame", "mp4", 44_100, muxer=FRAGMENTED), "MP4", 0.35, tolerance=2),
    "mp4 with video": Kind(
        lambda: recording("aac", "mp4", picture="mpeg4", encoder=NO_NOISE, muxer=FRAGMENTED), "MP4", 1.3, 1.3
    ),
    "mp4 file": Kind(lambda: recording("aac", "mp4", 44_100, encoder=NO_NOISE, muxer={"movflags": "faststart"}), "MP4"),
    "mov file": Kind(
        lambda: recording("aac", "mov", picture="mpeg4", encoder=NO_NOISE, muxer={"movflags": "faststart"}),
        "MP4",
        1.3,
        1.3,
    ),
    "mp3": Kind(lambda: recording("libmp3lame", "mp3", 44_100), "MP3", tolerance=2),
    "mp3 without a tag": Kind(
        lambda: recording("libmp3lame", "mp3", SAMPLE_RATE, muxer={"id3v2_version": "0", "write_xing": "0"}),
        "MP3",
        tolerance=2,
    ),
    "adts": Kind(lambda: recording("aac", "adts", 44_100, encoder=NO_NOISE), "AAC"),
    "flac": Kind(lambda: recording("flac", "flac", SAMPLE_RATE), "FLAC", held=1.5, lossless=True),
    "flac at 44.1 kHz": Kind(lambda: recording("flac", "flac", 44_100, 2), "FLAC", held=1.5, tolerance=1),
}
over_kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def decoded(upload: bytes, cuts: Sequence[int] = (), checkpoint: Checkpoint | None = None) -> bytes:
    decoder = AudioDecoder(AUTO, checkpoint or Checkpoint())
    bounds = [0, *sorted(min(cut, len(upload)) for cut in cuts), len(upload)]
    return b"".join(all_of(decoder, upload[a:b]) for a, b in pairwise(bounds)) + rest_of(decoder)


def all_of(decoder: AudioDecoder, data: bytes) -> bytes:
    """The PCM of ``data``, however many steps it takes."""
    pcm = decoder.decode(data)
    while decoder.pending:
        pcm += decoder.decode(b"")
    return pcm


def rest_of(decoder: AudioDecoder) -> bytes:
    pcm = decoder.flush()
    while decoder.pending:
        pcm += decoder.flush()
    return pcm


def fed(upload: bytes) -> AudioDecoder:
    decoder = AudioDecoder(AUTO, Checkpoint(engine="local"))
    for start in range(0, len(upload), SLICE):
        all_of(decoder, upload[start : start + SLICE])
    return decoder


def samples(pcm: bytes) -> npt.NDArray[np.float64]:
    return np.frombuffer(pcm, "<i2").astype(float)


WHOLE: dict[int, bytes] = {}


def whole(kind: Kind) -> bytes:
    return WHOLE.setdefault(id(kind), decoded(kind()))


def packets_of(upload: bytes) -> list[bytes]:
    with av.open(io.BytesIO(upload), "r") as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


OPUS_HEAD = b"OpusHead\1\1" + struct.pack("<HIhB", 312, 48_000, 0, 0)


def ogg_page(flags: int, data: bytes, lacing: bytes = b"") -> bytes:
    """A page of one packet, which goes on in the next page when it fills all 255 segments; or of other ``lacing``."""
    lacing = lacing or b"\xff" * (len(data) // 255) + (bytes([len(data) % 255]) if len(data) < 65_025 else b"")
    head = b"OggS\0" + bytes([flags]) + bytes(8) + b"mine" + bytes(8) + bytes([len(lacing)])
    return head + lacing + data
