"""Containers that are damaged, or lie about their sizes: refused or decoded, never worse."""

import struct
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.audio.containers.decoder import STEP_BYTES
from server.audio.containers.demux import MAX_SKIP_BYTES, MAX_TAKE_BYTES
from server.audio.containers.frames import MAX_HELD_BYTES
from server.audio.decoder import AudioDecoder
from server.engines.base import SAMPLE_RATE
from server.errors import AudioError
from server.session_log.base import Checkpoint
from tests.support.container_kinds import (
    AUTO,
    KINDS,
    OPUS_HEAD,
    SLICE,
    Kind,
    all_of,
    decoded,
    economical,
    fed,
    ogg_page,
    over_kinds,
    packets_of,
    rest_of,
    whole,
)
from tests.support.recordings import korean, recording


def outcome(audio: bytes) -> int | None:
    """Bytes of PCM out of damaged bytes; ``None`` when they were refused. Anything but that is a failure."""
    decoder = AudioDecoder(AUTO, Checkpoint())
    total = 0
    try:
        for start in range(0, len(audio), SLICE):
            total += len(all_of(decoder, audio[start : start + SLICE]))
        total += len(rest_of(decoder))
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


def test_what_comes_before_the_damage_is_given_before_the_error() -> None:
    file = KINDS["mp4 file"]()
    decoder = AudioDecoder(AUTO, Checkpoint())
    before = all_of_before_error(decoder, file + struct.pack(">I4s", 3, b"free"))
    assert len(before) == pytest.approx(len(decoded(file)), rel=0.05)
    for _ in range(2):
        with pytest.raises(AudioError, match="damaged"):
            decoder.decode(b"more")


def all_of_before_error(decoder: AudioDecoder, data: bytes) -> bytes:
    pcm = decoder.decode(data)
    with suppress(AudioError):
        while decoder.pending:
            pcm += decoder.decode(b"")
    return pcm


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


def test_a_few_bytes_that_stand_for_hours_are_given_in_steps() -> None:
    decoder, total = AudioDecoder(AUTO, Checkpoint()), 0
    decoder.decode(silent_flac(400))
    while decoder.pending:
        step = len(decoder.decode(b""))
        assert step <= STEP_BYTES + 65_535 * 4
        total += step
    assert total + len(rest_of(decoder)) > 390 * 65_535 * 4


def test_minutes_of_digital_silence_are_audio() -> None:
    silence = recording("flac", "flac", 8000, pcm=bytes(600 * 2 * SAMPLE_RATE))
    assert len(silence) < 120_000
    assert len(decoded(silence, range(0, len(silence), SLICE))) == pytest.approx(600 * 2 * SAMPLE_RATE, rel=0.001)
