"""What browsers record and what lies on disks: every container gives its sound as it arrives, whatever its cuts."""

import base64
import io
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

import av
import httpx
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.audio import AudioDecoder, container_of
from server.containers.decoder import WARM_UP_SECONDS, ContainerDecoder
from server.containers.demux import MAX_SKIP_BYTES, MAX_TAKE_BYTES
from server.containers.frames import MAX_HELD_BYTES, frame_length
from server.engines.base import SAMPLE_RATE
from server.errors import AudioError, EngineError
from server.metrics import Metrics
from server.models import SessionConfig
from server.session_log.base import Checkpoint
from server.session_log.memory import MemorySessionLog
from server.streaming_manager import COMPRESSED_BYTES_PER_SECOND, StreamingSessionManager
from tests.browser import chromium, needs_chromium, playing
from tests.conftest import KOREAN_WAV, connect, finish, open_session, run_server, settings_of, upload, wav_of
from tests.fake_engine import FakeEngine, Fault, said, speech
from tests.recordings import FRAGMENTED, NO_NOISE, korean, recording

AUTO = SessionConfig()
SLICE = 4_096
economical = settings(max_examples=6, deadline=None)


# --- recordings -----------------------------------------------------------------------------------------------------


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
    return b"".join(decoder.decode(upload[a:b]) for a, b in pairwise(bounds)) + decoder.flush()


def fed(upload: bytes) -> AudioDecoder:
    decoder = AudioDecoder(AUTO, Checkpoint(engine="local"))
    for start in range(0, len(upload), SLICE):
        decoder.decode(upload[start : start + SLICE])
    return decoder


def samples(pcm: bytes) -> npt.NDArray[np.float64]:
    return np.frombuffer(pcm, "<i2").astype(float)


def likeness(heard: bytes, original: bytes) -> float:
    """How alike two sounds are at best, whatever the delay: 1 for the same, about 0 for different ones."""
    a, b = samples(heard), samples(original)
    size = 1 << (len(a) + len(b)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)))
    return float(correlation.max() / np.linalg.norm(a) / np.linalg.norm(b))


# --- the sound ------------------------------------------------------------------------------------------------------


@over_kinds
def test_each_container_gives_the_sound_that_went_in(kind: Kind) -> None:
    pcm = decoded(kind())
    assert container_of(kind()[:64]) == kind.container
    assert abs(len(pcm) - len(korean())) / 2 / SAMPLE_RATE < 0.12  # an encoder may add some silence
    assert likeness(pcm, korean()) > (0.999 if kind.lossless else 0.9)


def test_lossless_audio_comes_out_as_it_went_in() -> None:
    assert decoded(KINDS["flac"]()) == korean()
    assert decoded(KINDS["ogg flac"]()) == korean()


@over_kinds
@economical
@given(cuts=st.lists(st.integers(0, 120_000), max_size=30), beginning=st.lists(st.integers(0, 2000), max_size=20))
def test_cuts_change_nothing(kind: Kind, cuts: list[int], beginning: list[int]) -> None:
    assert decoded(kind(), cuts + beginning) == whole(kind)


@pytest.mark.parametrize("name", ["webm of a browser", "ogg opus", "mp4 of a browser", "mp3 without a tag", "flac"])
def test_an_upload_byte_by_byte_is_the_same(name: str) -> None:
    kind = KINDS[name]
    assert decoded(kind(), range(len(kind()))) == whole(kind)


WHOLE: dict[int, bytes] = {}


def whole(kind: Kind) -> bytes:
    return WHOLE.setdefault(id(kind), decoded(kind()))


@over_kinds
def test_audio_is_decoded_as_it_arrives(kind: Kind) -> None:
    decoder, given, longest = AudioDecoder(AUTO, Checkpoint()), 0, len(whole(kind))
    for start in range(0, len(kind()), 256):
        given += len(decoder.decode(kind()[start : start + 256]))
        arrived = longest * (start - 6000) / len(kind())  # a header, and audio is not spread evenly over the bytes
        assert given >= arrived - (kind.held + 0.5) * 2 * SAMPLE_RATE
        assert decoder.seconds == pytest.approx(given / 2 / SAMPLE_RATE)
        assert decoder.position == min(start + 256, len(kind()))


def test_a_chunk_of_a_browser_is_heard_at_once() -> None:
    """Each 250 ms of WebM are decoded to the last packet, without waiting for the next chunk."""
    upload, decoder = KINDS["webm of a browser"](), AudioDecoder(AUTO, Checkpoint())
    clusters = [at for at in range(len(upload)) if upload.startswith(b"\x1f\x43\xb6\x75", at)]
    for number, (start, end) in enumerate(pairwise([0, *clusters[1:], len(upload)]), start=1):
        decoder.decode(upload[start:end])
        if end < len(upload):
            assert decoder.seconds > 0.24 * number - 0.02


def test_vorbis_is_taken_in_ogg_too() -> None:
    ogg, webm = (recording("vorbis", form, 44_100, 2, encoder=("strict", "-2")) for form in ("ogg", "webm"))
    assert decoded(ogg, range(0, len(ogg), 99)) == decoded(webm)


def test_two_recordings_in_one_upload_are_heard_one_after_the_other() -> None:
    for name in ("webm of a browser", "ogg opus", "mp3"):
        first, second = KINDS[name](), KINDS[name].make()  # of another serial number
        assert len(decoded(first + second)) == pytest.approx(2 * len(whole(KINDS[name])), abs=0.05 * 2 * SAMPLE_RATE)


def test_a_packet_of_ogg_may_go_on_in_the_next_page() -> None:
    webm = recording("libopus", "webm", encoder=("b", "256000"))
    upload = ogg_of(webm)
    expected = decoded(webm)
    assert decoded(upload) == expected
    for seconds in (1.0, 1.7, 3.3):
        checkpoint = fed(upload).checkpoint_at(seconds)
        assert checkpoint.offset > 0
        rest = decoded(upload[checkpoint.offset :], checkpoint=checkpoint)
        assert rest == expected[round(seconds * SAMPLE_RATE) * 2 :]


def packets_of(upload: bytes) -> list[bytes]:
    with av.open(io.BytesIO(upload), "r") as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def ogg_of(webm: bytes) -> bytes:
    """The same packets in pages that hardly ever end where a packet does."""
    packets = packets_of(webm)
    data = b"".join(packets)
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    assert max(map(len, packets)) > 2 * 255
    upload, at = ogg_page(2, OPUS_HEAD), 0
    for start in range(0, len(lacing), 40):
        page = lacing[start : start + 40]
        continued = start > 0 and lacing[start - 1] == 255
        upload += ogg_page(int(continued), data[at : at + sum(page)], page)
        at += sum(page)
    return upload


def test_compressed_audio_is_fed_in_small_slices_and_not_on_the_event_loop() -> None:
    assert fed(KINDS["mp3"]()).slice_bytes == SLICE
    assert not fed(KINDS["mp3"]()).is_raw
    assert fed(korean()).is_raw and fed(wav_of(korean())).is_raw
    assert fed(korean()).slice_bytes == 2 * 2 * SAMPLE_RATE


# --- what is and what is not a container ----------------------------------------------------------------------------


def test_samples_that_look_like_one_frame_of_mp3_are_samples() -> None:
    head = KINDS["mp3 without a tag"]()[:4]
    for length in (4, 100, 1000, 5000):
        pcm = head + korean()[:length]
        assert decoded(pcm, range(0, length, 7)) == pcm


@given(head=st.binary(min_size=8, max_size=8).map(lambda tail: b"\xff" + tail), body=st.binary(max_size=50))
@example(head=b"\xff\xf1\x50\x80\x02\x1f\xfc\x00", body=bytes(50))
@example(head=b"\xff\xfb\x90\x64\0\0\0\0", body=bytes(50))
def test_one_frame_alone_is_never_believed(head: bytes, body: bytes) -> None:
    length = frame_length(head) or 0
    pcm = (head + body + bytes(20_000 + length))[: 20_000 + length // 2 * 2]
    assert decoded(pcm) == pcm


def test_a_tag_with_a_picture_is_passed_over() -> None:
    picture = b"ID3\4\0\0\0\x0c\0\0" + bytes(12 << 14)
    mp3 = KINDS["mp3 without a tag"]
    assert decoded(picture + mp3(), range(0, 300_000, SLICE)) == whole(mp3)


def test_a_file_whose_index_comes_last_says_what_to_do() -> None:
    with pytest.raises(AudioError, match="moov.*fragmented.*faststart"):
        fed(recording("aac", "mp4"))


@pytest.mark.parametrize(
    ("upload", "reason"),
    [
        (lambda: recording("ac3", "matroska"), "A_AC3"),
        (lambda: recording("ac3", "mp4", muxer={"movflags": "faststart"}), "ac-3"),
        (lambda: recording("pcm_s16le", "mov", muxer={"movflags": "faststart"}), "sowt"),
    ],
)
def test_a_codec_that_is_not_taken_is_named(upload: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(AudioError, match=reason):
        decoded(upload())


# --- beginning again ------------------------------------------------------------------------------------------------


def assert_continues(pcm: bytes, expected: bytes, tolerance: int) -> None:
    assert len(pcm) == len(expected)
    assert not pcm or np.abs(samples(pcm) - samples(expected)).max() <= tolerance


@over_kinds
def test_after_a_checkpoint_the_audio_goes_on_exactly_at_its_time(kind: Kind) -> None:
    upload, expected = kind(), whole(kind)
    latest = Checkpoint()
    decoder = fed(upload)
    for step in range(14):
        seconds = step * 0.2737
        checkpoint = decoder.checkpoint_at(seconds)
        assert checkpoint.engine == "local"
        assert checkpoint.seconds == seconds
        assert checkpoint.offset >= latest.offset
        assert checkpoint.skip_seconds <= WARM_UP_SECONDS + kind.granularity + 0.25 or not checkpoint.offset
        rest = decoded(upload[checkpoint.offset :], checkpoint=checkpoint, cuts=range(0, len(upload), SLICE))
        assert_continues(rest, expected[round(seconds * SAMPLE_RATE) * 2 :], kind.tolerance)
        latest = checkpoint
    assert latest.offset > len(upload) / 2


@over_kinds
@economical
@given(first=st.floats(0, 2), second=st.floats(0, 1.5), arrived=st.floats(0.5, 1))
def test_a_checkpoint_can_be_taken_after_a_checkpoint(kind: Kind, first: float, second: float, arrived: float) -> None:
    upload = kind()
    checkpoint = fed(upload[: int(len(upload) * arrived)]).checkpoint_at(first)
    decoder = AudioDecoder(AUTO, checkpoint)
    decoder.decode(upload[checkpoint.offset :])
    again = decoder.checkpoint_at(first + second)
    assert again.offset >= checkpoint.offset
    rest = decoded(upload[again.offset :], checkpoint=again)
    assert_continues(rest, whole(kind)[round((first + second) * SAMPLE_RATE) * 2 :], kind.tolerance)


def test_a_checkpoint_before_any_audio_is_the_one_before() -> None:
    upload = KINDS["webm of a browser"]()
    before = Checkpoint(engine="local")
    decoder = AudioDecoder(AUTO, before)
    assert decoder.checkpoint_at(0.0) == before
    decoder.decode(upload[:50])
    assert decoder.checkpoint_at(0.0) == before


@pytest.mark.parametrize("name", ["flac", "mp3 without a tag"])
def test_after_junk_between_frames_a_checkpoint_is_still_right(name: str) -> None:
    upload, middle = KINDS[name](), len(KINDS[name]()) // 2
    upload = upload[:middle] + bytes(3_000) + upload[middle:]
    expected = decoded(upload)
    for seconds in (0.8, 2.0, 3.0):
        checkpoint = fed(upload).checkpoint_at(seconds)
        rest = decoded(upload[checkpoint.offset :], checkpoint=checkpoint)
        assert_continues(rest, expected[round(seconds * SAMPLE_RATE) * 2 :], KINDS[name].tolerance)


def test_a_prelude_is_the_header_alone() -> None:
    for name, most in {
        "webm of a browser": 300,
        "ogg opus": 100,
        "mp4 of a browser": 1000,
        "mp3": 10,
        "flac": 50,
    }.items():
        assert 0 < len(fed(KINDS[name]()).checkpoint_at(3.0).prelude) <= most


# --- damage and malice ----------------------------------------------------------------------------------------------


def outcome(audio: bytes) -> int | None:
    """Bytes of PCM out of damaged bytes; ``None`` when they were refused. Anything but that is a failure."""
    decoder = AudioDecoder(AUTO, Checkpoint())
    total = 0
    try:
        for start in range(0, len(audio), SLICE):
            total += len(decoder.decode(audio[start : start + SLICE]))
        total += len(decoder.flush())
    except AudioError:
        return None
    assert total % 2 == 0
    return total


@over_kinds
@economical
@given(
    damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 300), st.binary(max_size=40)), min_size=1, max_size=4),
    in_header=st.booleans(),
)
def test_damaged_audio_is_refused_or_decoded_never_worse(
    kind: Kind, damage: list[tuple[float, int, bytes]], in_header: bool
) -> None:
    upload = kind()
    for place, length, instead in damage:
        at = int(place * (min(1500, len(upload)) if in_header else len(upload)))
        upload = upload[:at] + instead + upload[at + length :]
    heard = outcome(upload)
    assert heard is None or heard <= 3 * len(korean()) + len(upload)


def test_a_packet_that_cannot_be_decoded_is_silent_and_takes_its_time() -> None:
    kind = KINDS["webm of a browser"]
    upload = kind()
    for packet in packets_of(upload)[100:110]:
        upload = upload.replace(packet, b"\xff" * len(packet))
    pcm = decoded(upload)
    assert len(pcm) == len(whole(kind))
    assert not any(pcm[2 * 16 * 2020 : 2 * 16 * 2170])


@over_kinds
def test_an_upload_that_breaks_off_has_the_audio_that_came(kind: Kind) -> None:
    whole_length = len(whole(kind))
    broken = decoded(kind()[: len(kind()) * 3 // 4])
    assert whole_length * 3 / 4 - (kind.held + 0.5) * 2 * SAMPLE_RATE < len(broken) < whole_length


@over_kinds
def test_an_upload_that_ends_in_its_header_is_refused(kind: Kind) -> None:
    if kind.container in ("MP3", "AAC"):
        return  # a frame's header is no header of the upload
    with pytest.raises(AudioError, match="ended"):
        decoded(kind()[:40])


def with_box_size(upload: bytes, name: bytes, size: int) -> bytes:
    at = upload.index(name) - 4
    return upload[:at] + struct.pack(">I4sQ", 1, name, size) + upload[at + 8 :]


def with_count(upload: bytes, name: bytes, at: int, count: int) -> bytes:
    place = upload.index(name) + at
    return upload[:place] + struct.pack(">I", count) + upload[place + 4 :]


def box_of_runs(upload: bytes, count: int) -> bytes:
    """A fragment with so many runs of 1000 samples that have the size of nothing."""
    moof = upload.index(b"moof") - 4
    tfhd = struct.pack(">I4sIII", 20, b"tfhd", 0x10, 1, 0)
    runs = struct.pack(">I4sII", 16, b"trun", 0, 1_000) * count
    traf = struct.pack(">I4s", 8 + len(tfhd) + len(runs), b"traf") + tfhd + runs
    return upload[:moof] + struct.pack(">I4s", 8 + len(traf), b"moof") + traf


OPUS_HEAD = b"OpusHead\1\1" + struct.pack("<HIhB", 312, 48_000, 0, 0)


def ogg_page(flags: int, data: bytes, lacing: bytes = b"") -> bytes:
    """A page of one packet, which goes on in the next page when it fills all 255 segments; or of other ``lacing``."""
    lacing = lacing or b"\xff" * (len(data) // 255) + (bytes([len(data) % 255]) if len(data) < 65_025 else b"")
    head = b"OggS\0" + bytes([flags]) + bytes(8) + b"mine" + bytes(8) + bytes([len(lacing)])
    return head + lacing + data


def box(name: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I4s", 8 + len(content), name) + content


def mp4_with_descriptor(esds: bytes) -> bytes:
    entry = box(b"mp4a", bytes(28), box(b"esds", esds))
    table = box(b"minf", box(b"stbl", box(b"stsd", bytes(8), entry)))
    track = box(b"trak", box(b"tkhd", bytes(84)), box(b"mdia", box(b"hdlr", bytes(8), b"soun", bytes(12)), table))
    return box(b"ftyp", b"isom", bytes(4)) + box(b"moov", track)


def webm_header() -> bytes:
    return KINDS["webm file"]()[: KINDS["webm file"]().index(b"\x1f\x43\xb6\x75")]


HUGE = {
    "webm tracks": (lambda: webm_header() + b"\x16\x54\xae\x6b\x01\0\0\1\0\0\0\0", "a part of 4294967296 bytes"),
    "webm block": (lambda: webm_header() + b"\xa3\x01\0\0\1\0\0\0\0\x81", "a part of 42949672.. bytes"),
    "webm void": (lambda: webm_header() + b"\xec\x01\0\0\1\0\0\0\0", "a part of 4294967296 bytes"),
    "mp4 ftyp": (lambda: with_box_size(KINDS["mp4 of a browser"](), b"ftyp", 2**62), "a part of 46116860184273878.. b"),
    "mp4 moov": (lambda: with_box_size(KINDS["mp4 file"](), b"moov", MAX_TAKE_BYTES + 17), "a part of 4194305 bytes"),
    "mp4 free": (
        lambda: KINDS["mp4 of a browser"]()[:28] + struct.pack(">I4sQ", 1, b"free", MAX_SKIP_BYTES + 17),
        "a part of 67108865 bytes",
    ),
    "mp4 samples": (lambda: with_count(KINDS["mp4 file"](), b"stsz", 12, 2**32 - 1), "4294967295 samples"),
    "mp4 equal samples": (
        lambda: with_count(with_count(KINDS["mp4 file"](), b"stsz", 8, 100), b"stsz", 12, 2**32 - 1),
        "4294967295 samples",
    ),
    "mp4 samples in a chunk": (lambda: with_count(KINDS["mp4 file"](), b"stsc", 16, 2**32 - 1), "header"),
    "mp4 chunks": (lambda: with_count(KINDS["mp4 file"](), b"stco", 8, 2**32 - 1), "header"),
    "mp4 run": (lambda: with_count(KINDS["mp4 of a browser"](), b"trun", 8, 2**32 - 1), "header"),
    "mp4 run of equal samples": (
        lambda: with_count(with_count(KINDS["mp4 of a browser"](), b"trun", 4, 0), b"trun", 8, 100_000),
        "100000 samples of equal size",
    ),
    "mp4 runs": (lambda: box_of_runs(KINDS["mp4 of a browser"](), 1_000), "too many samples"),
    "flac header": (lambda: b"fLaC\0\xff\xff\xff" + bytes(100), "a part of 16777215 bytes"),
    "ogg packet": (
        lambda: (
            ogg_page(2, OPUS_HEAD)
            + ogg_page(0, b"\1" * 65_025)
            + ogg_page(1, b"\1" * 65_025) * (MAX_TAKE_BYTES // 65_025)
        ),
        "a packet without an end",
    ),
    "ogg header": (
        lambda: ogg_page(2, b"\1vorbis") + ogg_page(0, b"\3" * 65_025) + ogg_page(1, b"\3" * 65_025) * 70,
        "header of the Ogg audio is too long",
    ),
    "vorbis header": (
        lambda: ogg_page(2, b"\1vorbis") + ogg_page(0, b"\3") + ogg_page(0, b"\5" * 65_025) + ogg_page(1, b"\5" * 600),
        "header of the Ogg audio is too long",
    ),
    "mp4 descriptor": (lambda: mp4_with_descriptor(bytes(4) + b"\xff" * 3_000_000), "neither AAC nor MP3"),
}


@pytest.mark.parametrize(("upload", "reason"), HUGE.values(), ids=HUGE)
def test_a_size_that_cannot_be_true_is_refused_as_soon_as_it_is_told(upload: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(AudioError, match=reason):
        fed(upload())


@pytest.mark.parametrize(
    "junk", [bytes, lambda size: b"\xff" * size, lambda size: np.random.default_rng(1).bytes(size)]
)
@pytest.mark.parametrize("start", [b"ID3\4\0\0\0\0\0\0", b"fLaC\x80\0\0\x22" + bytes(34)], ids=["mp3", "flac"])
def test_junk_is_given_up_before_it_fills_the_memory(start: bytes, junk: Callable[[int], bytes]) -> None:
    decoder = AudioDecoder(AUTO, Checkpoint())
    decoder.decode(start)
    with pytest.raises(AudioError):
        for _ in range(MAX_HELD_BYTES // SLICE + 1):
            assert len(decoder.decode(junk(SLICE))) < 2**20


def checksum(data: bytes, polynomial: int, bits: int) -> bytes:
    value = 0
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value >> (bits - 1) else 0)) & ((1 << bits) - 1)
    return value.to_bytes(bits // 8, "big")


def silent_flac(frames: int, size: int = 65_535) -> bytes:
    """Each frame is a few bytes that say: all of these samples are zero."""
    info = struct.pack(">HH", size, size) + bytes(6) + (8000 << 44 | 15 << 36).to_bytes(8, "big") + bytes(16)
    made = b"fLaC\x80\0\0\x22" + info
    for number in range(frames):
        head = b"\xff\xf8\x70\x08" + chr(number).encode() + struct.pack(">H", size - 1)
        frame = head + checksum(head, 0x07, 8) + bytes(3)
        made += frame + checksum(frame, 0x8005, 16)
    return made


def test_a_few_bytes_that_stand_for_days_are_refused() -> None:
    assert len(decoded(silent_flac(20))) == 20 * 65_535 * 4
    with pytest.raises(AudioError, match="longer than its bytes"):
        fed(silent_flac(400))


def test_minutes_of_digital_silence_are_audio() -> None:
    silence = recording("flac", "flac", 8000, pcm=bytes(600 * 2 * SAMPLE_RATE))
    assert len(silence) < 120_000
    assert len(decoded(silence, range(0, len(silence), SLICE))) == pytest.approx(600 * 2 * SAMPLE_RATE, rel=0.001)


# --- through the service --------------------------------------------------------------------------------------------


async def post_chunks(http: httpx.AsyncClient, session_id: str, chunks: Sequence[bytes]) -> dict[str, Any]:
    """As the original guide posts what a MediaRecorder gives: JSON without offsets. Returns the last answer."""
    answer: httpx.Response | None = None
    for number, chunk in enumerate(chunks):
        body = {"audio_data": base64.b64encode(chunk).decode(), "chunk_id": number}
        answer = await http.post(f"/sessions/{session_id}/audio", json=body)
        assert answer.status_code == 200, answer.text
    assert answer
    return dict(answer.json())


def chunks_of(upload: bytes, count: int = 15) -> list[bytes]:
    bounds = [len(upload) * part // count | 1 for part in range(count)]
    return [upload[a:b] for a, b in pairwise([0, *bounds[1:], len(upload)])]


@pytest.mark.parametrize("name", ["webm of a browser", "mp4 of a browser"])
async def test_what_a_browser_records_becomes_the_text_of_its_wav(korean_http: httpx.AsyncClient, name: str) -> None:
    texts = []
    for chunks in ([wav_of(korean())], chunks_of(KINDS[name]())):
        session_id = await open_session(korean_http)
        await post_chunks(korean_http, session_id, chunks)
        texts.append((await finish(korean_http, session_id))["text"])
    assert texts[0].startswith("그는")
    assert SequenceMatcher(None, *texts).ratio() > 0.85  # a codec may cost a syllable


WORDS: list[list[int]] = [[1, 2], [3], [4, 5, 6], [7], [8, 9], [10, 11], [12], [13, 14]]


@pytest.mark.parametrize("form", ["flac", "ogg", "matroska", "mp4"])
async def test_after_a_failure_no_word_of_a_compressed_upload_is_lost_or_doubled(form: str) -> None:
    faults = [Fault(EngineError("gone", retryable=True), at=at) for at in (1.3, 4.1, 6.6)]
    engine = FakeEngine(faults=faults)
    upload = recording("flac", form, SAMPLE_RATE, pcm=speech(*WORDS), muxer=FRAGMENTED if form == "mp4" else None)
    with run_server({"fake": engine}) as url:
        async with connect(url) as http:
            session_id = await open_session(http)
            await post_chunks(http, session_id, chunks_of(upload))
            transcript = await finish(http, session_id)
    assert [fault.met for fault in faults] == [1, 1, 1]
    assert [segment["text"] for segment in transcript["segments"]] == said(*WORDS)
    assert max(engine.opened) > 1, engine.opened


async def test_how_much_is_buffered_is_told_by_what_a_second_has_taken_so_far() -> None:
    log = MemorySessionLog()
    manager = StreamingSessionManager(log, {"fake": FakeEngine.capabilities}, settings_of(), Metrics())
    session_id = (await manager.create_session(AUTO)).session_id
    await manager.accept_audio(session_id, KINDS["webm of a browser"]()[:20_000], 0)
    lease = await log.claim("me", 0)
    assert lease
    assert (await manager.describe(session_id)).buffered_seconds == 20_000 / COMPRESSED_BYTES_PER_SECOND
    await log.read_audio(lease, 12_000, recognized_seconds=3.0, limit=SLICE, wait=0)
    assert (await manager.describe(session_id)).buffered_seconds == 2.0


async def test_compressed_audio_is_decoded_beside_the_event_loop(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()
    decode = ContainerDecoder.decode

    def watched(decoder: ContainerDecoder, data: bytes) -> bytes:
        threads.add(threading.current_thread().name)
        return decode(decoder, data)

    monkeypatch.setattr(ContainerDecoder, "decode", watched)
    session_id = await open_session(http)
    await post_chunks(http, session_id, chunks_of(KINDS["mp3"]()))
    await finish(http, session_id)
    assert threads and "server" not in threads


async def test_an_upload_that_cannot_be_decoded_ends_its_session_with_an_error(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    answer = await upload(http, session_id, recording("aac", "mp4"))
    assert answer.status_code == 200
    transcript = await finish(http, session_id)
    assert transcript["reason"] == "undecodable_audio"


# --- in a browser ---------------------------------------------------------------------------------------------------

PAGE = """<!doctype html><script>
async function record(seconds) {
    const { session_id } = await (await fetch('/sessions', { method: 'POST' })).json();
    const tokens = [];
    const events = new EventSource(`/sessions/${session_id}/stream`);
    events.onmessage = (event) => { tokens.push(JSON.parse(event.data)); };
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    const recorder = new MediaRecorder(microphone);
    let posted = Promise.resolve();
    recorder.ondataavailable = ({ data }) => {
        posted = posted.then(async () => {
            const bytes = new Uint8Array(await data.arrayBuffer());
            const audio_data = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
            await fetch(`/sessions/${session_id}/audio`, {
                method: 'POST',
                headers: { 'Content-Type': 'application/json' },
                body: JSON.stringify({ audio_data }),
            });
        });
    };
    const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
    recorder.start(250);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    recorder.stop();
    await stopped;
    await posted;
    const transcript = await (await fetch(`/sessions/${session_id}`, { method: 'DELETE' })).json();
    return { mimeType: recorder.mimeType, text: transcript.text, duration: transcript.duration, events: tokens.length };
}
</script>"""


@pytest.mark.browser
@needs_chromium
def test_a_browser_s_own_recording_is_recognised(korean_server: str) -> None:
    with chromium(*playing(KOREAN_WAV)) as browser, browser.new_page() as page:
        page.route("**/recorder.html", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
        page.goto(f"{korean_server}/recorder.html")
        recorded = page.evaluate("record(4.5)")
    assert recorded["mimeType"].startswith("audio/webm")
    assert recorded["duration"] > 4
    assert "걸어갔다" in recorded["text"]
    assert recorded["events"] > 1
