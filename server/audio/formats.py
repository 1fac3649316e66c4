"""How the samples lie in an upload's bytes, as far as its first bytes and its configuration tell. Pure."""

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from server.audio.containers.frames import mpeg_audio_in
from server.errors import AudioError
from server.models import SessionConfig

CONTAINERS = {b"OggS": "Ogg", b"\x1aE\xdf\xa3": "WebM", b"fLaC": "FLAC", b"ID3": "MP3"}
FRAGMENT_BOXES = (b"styp", b"moov", b"moof")
MAX_WAV_HEADER_BYTES = 65_536
MAGIC_BYTES = 12
"""First bytes of an upload that are needed to tell its container."""
COMPRESSED_BYTES_PER_SECOND = 16_000
"""Data rate of Chrome's Opus: the guess until the recognizer has seen what a second really takes."""


def container_of(head: bytes) -> str | None:
    """Name of the container that an upload with these first bytes is in; ``None``: it has none.

    MP3 and AAC without a tag have no magic number: as far as ``head`` reaches it must be frames of them.
    """
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "WAV"
    if head[4:8] == b"ftyp":
        return "MP4"
    if head[4:8] in FRAGMENT_BOXES and head[8:12] != b"\0\0\0\0":
        return "MP4"
    return next((name for magic, name in CONTAINERS.items() if head.startswith(magic)), mpeg_audio_in(head))


@dataclass(frozen=True, slots=True)
class SampleFormat:
    """How samples lie in the bytes: ``codec`` is FFmpeg's name, ``rate`` in Hz, ``width`` bytes of one sample."""

    codec: str
    rate: int
    channels: int
    width: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.width * self.channels

    @property
    def bytes_per_second(self) -> int:
        return self.rate * self.frame_bytes


ENCODINGS = {"auto": ("pcm_s16le", 2), "linear16": ("pcm_s16le", 2), "mulaw": ("pcm_mulaw", 1), "alaw": ("pcm_alaw", 1)}
WAV_CODECS = {
    (1, 8): "pcm_u8",
    (1, 16): "pcm_s16le",
    (1, 24): "pcm_s24le",
    (1, 32): "pcm_s32le",
    (3, 32): "pcm_f32le",
    (6, 8): "pcm_alaw",
    (7, 8): "pcm_mulaw",
}
OUR_TAGS = frozenset({0, 1, 6, 7, 0xFFFE})
TAG_NAMES = {
    0x02: "MS ADPCM",
    0x03: "floating point",
    0x11: "IMA ADPCM",
    0x22: "TrueSpeech",
    0x31: "GSM 6.10",
    0x42: "G.723.1",
    0x45: "G.726",
    0x50: "MP2",
    0x55: "MP3",
    0x64: "G.726",
    0x65: "G.722",
    0x83: "G.729",
    0xFF: "AAC",
    0x130: "SIPR",
    0x160: "WMA 1",
    0x161: "WMA 2",
    0x2000: "AC-3",
    0x28F: "G.722",
    0xA109: "Speex",
}
LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


def raw_format(config: SessionConfig) -> SampleFormat:
    """The format of an upload without a container."""
    codec, width = ENCODINGS[config.encoding]
    return SampleFormat(codec, config.sample_rate, config.channels, width)


def upload_format(config: SessionConfig, head: bytes) -> SampleFormat:
    """The format of an upload that begins with ``head``, as far as these bytes tell."""
    if config.encoding == "auto" and container_of(head) == "WAV":
        with contextlib.suppress(AudioError, ForeignWav):  # the recognition half reports it
            for name, at, size in _wav_chunks(head):
                if name == b"fmt " and at + size <= len(head):
                    return _wav_format(head[at : at + size])
    return raw_format(config)


class ForeignWav(Exception):
    """A WAV whose samples are compressed: FFmpeg takes it apart. ``name``: for people."""

    def __init__(self, tag: int) -> None:
        self.name = f"WAV ({TAG_NAMES.get(tag, f'format {tag:#06x}')})"
        super().__init__(f"{self.name} can't be decoded.")


@dataclass(frozen=True, slots=True)
class WavHeader:
    """``length``: bytes of the header. ``audio_bytes``: bytes of samples behind it (``None``: as many as come)."""

    format: SampleFormat
    length: int
    audio_bytes: int | None


def parse_wav_header(data: bytes) -> WavHeader | None:
    """The header of a WAV; ``None`` while it is not complete.

    Raises:
        AudioError: it is no WAV of a format that can be read.

    """
    sample_format, needed = None, 0
    for name, at, size in _wav_chunks(data):
        if name == b"data":
            if sample_format is None:
                raise AudioError("The WAV header has no format before its data.")
            # a writer to a pipe can't know the size and leaves one of these
            streamed = size in (0, 0x7FFF_FFFF) or size >= 0xFFFF_FF00
            return WavHeader(sample_format, at, None if streamed else size)
        if name == b"fmt " and at + size <= len(data):
            sample_format = _wav_format(data[at : at + size])
        needed = at + size
    if needed > MAX_WAV_HEADER_BYTES:
        raise AudioError(f"No audio in the first {MAX_WAV_HEADER_BYTES} bytes of the WAV.")
    return None


def _wav_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name of each chunk that has begun, where its body begins, and its size."""
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        yield name, at + 8, size
        at += 8 + size + size % 2


def _wav_format(chunk: bytes) -> SampleFormat:
    if len(chunk) < 16:
        raise AudioError("The WAV header is damaged.")
    tag, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == 0xFFFE and len(chunk) >= 26:  # WAVE_FORMAT_EXTENSIBLE: the real tag begins the sub-format
        (tag,) = struct.unpack_from("<H", chunk, 24)
    codec = WAV_CODECS.get((tag, bits))
    if codec is None and tag not in OUR_TAGS:
        raise ForeignWav(tag)
    if codec is None or channels not in LAYOUTS or not 4000 <= rate <= 192_000 or frame_bytes != channels * bits // 8:
        raise AudioError(f"WAV format {tag} with {bits} bits, {channels} channels at {rate} Hz is not supported.")
    return SampleFormat(codec, rate, channels, bits // 8)


@lru_cache(maxsize=4096)
def _head_format(encoding: str, rate: int, channels: int, head: bytes) -> tuple[int, bool]:
    """Bytes a second of an upload with this head, and whether they are compressed. Asked with every upload."""
    config = SessionConfig.model_validate({"encoding": encoding, "sample_rate": rate, "channels": channels})
    compressed = encoding == "auto" and container_of(head) not in (None, "WAV")
    return upload_format(config, head).bytes_per_second, compressed


def seconds_ahead(config: SessionConfig, head: bytes, stored: int, taken: int, recognized_seconds: float) -> float:
    """Seconds of audio in the bytes between ``taken`` and ``stored``. ``head``: the first bytes of the upload."""
    bytes_per_second: float
    bytes_per_second, compressed = _head_format(config.encoding, config.sample_rate, config.channels, head)
    if compressed:
        known = taken > 0 and recognized_seconds > 0
        bytes_per_second = taken / recognized_seconds if known else COMPRESSED_BYTES_PER_SECOND
    return round(max(0, stored - taken) / bytes_per_second, 3)
