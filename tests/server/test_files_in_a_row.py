"""Pieces that are whole files, one after the other, on one clock."""

import struct
from collections.abc import Callable

import pytest

from server.audio.decoder import AudioDecoder
from server.engines.base import SAMPLE_RATE
from server.session_log.base import Checkpoint
from tests.support.container_kinds import AUTO, KINDS, SLICE, all_of, decoded, rest_of
from tests.support.foreign_kinds import foreign
from tests.support.recordings import korean
from tests.support.servers import wav_of

SECOND = 2 * SAMPLE_RATE
SLICES = [wav_of(korean()[start : start + SECOND]) for start in range(0, len(korean()), SECOND)]
CUTS: list[Callable[[int], range]] = [
    lambda size: range(0),
    lambda size: range(0, size, 37),
    lambda size: range(5, size, SLICE),
]


def streamed(wav: bytes) -> bytes:
    """A WAV whose header does not know its length."""
    return wav[:40] + b"\xff\xff\xff\xff" + wav[44:]


LIST = b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf61.1.100\0\0"
IN_A_ROW = {
    "slices": b"".join(SLICES),
    "slices of unknown length": b"".join(streamed(each) for each in SLICES),
    "slices with a list behind": b"".join(each + LIST for each in SLICES),
    "slices with a false length": b"".join(each[:40] + struct.pack("<I", 10 * SECOND) + each[44:] for each in SLICES),
    "a header of the first second": SLICES[0] + korean()[SECOND:],
}


@pytest.mark.parametrize("cuts", CUTS, ids=["whole", "tiny", "slices"])
@pytest.mark.parametrize("upload", IN_A_ROW.values(), ids=IN_A_ROW)
def test_wavs_in_a_row_are_one_recording(upload: bytes, cuts: Callable[[int], range]) -> None:
    assert decoded(upload, cuts(len(upload))) == korean()


@pytest.mark.parametrize("upload", IN_A_ROW.values(), ids=IN_A_ROW)
def test_a_checkpoint_in_any_of_them_gives_the_rest(upload: bytes) -> None:
    decoder = AudioDecoder(AUTO, Checkpoint(engine="local"))
    for start in range(0, len(upload), SLICE):
        all_of(decoder, upload[start : start + SLICE])
    for seconds in (0.5, 0.999, 1.0, 1.001, 2.25, 3.0, 3.6):
        checkpoint = decoder.checkpoint_at(seconds)
        assert checkpoint.engine == "local"
        rest = AudioDecoder(AUTO, checkpoint)
        assert all_of(rest, upload[checkpoint.offset :]) + rest_of(rest) == korean()[round(seconds * SAMPLE_RATE) * 2 :]


MIXED = {
    "wav, webm": [wav_of(korean()), KINDS["webm of a browser"]()],
    "webm, wav": [KINDS["webm of a browser"](), wav_of(korean())],
    "mp3, wav": [KINDS["mp3"](), wav_of(korean())],
    "ogg, mp4": [KINDS["ogg opus"](), KINDS["mp4 of a browser"]()],
    "mp4, ogg": [KINDS["mp4 of a browser"](), KINDS["ogg opus"]()],
    "flac at two rates": [KINDS["flac"](), KINDS["flac at 44.1 kHz"]()],
    "webm of two codecs": [KINDS["webm of a browser"](), KINDS["webm vorbis"]()],
    "adts, flac, wav": [KINDS["adts"](), KINDS["flac"](), wav_of(korean())],
    "wav, aiff": [wav_of(korean()), foreign("aiff")],
    "wav, amr": [wav_of(korean()), foreign("amr")],
}


@pytest.mark.parametrize("files", MIXED.values(), ids=MIXED)
def test_files_of_several_kinds_are_on_one_clock(files: list[bytes]) -> None:
    upload = b"".join(files)
    apart = [decoded(each) for each in files]
    for cuts in (range(0), range(0, len(upload), 501)):
        pcm = decoded(upload, cuts)
        assert len(pcm) == pytest.approx(sum(map(len, apart)), abs=0.1 * SECOND)
    decoder = AudioDecoder(AUTO, Checkpoint())
    for start in range(0, len(upload), SLICE):
        all_of(decoder, upload[start : start + SLICE])
    for seconds in (1.0, len(apart[0]) / SECOND + 1.5):
        checkpoint = decoder.checkpoint_at(seconds)
        assert checkpoint.seconds == seconds
        rest = AudioDecoder(AUTO, checkpoint)
        heard = all_of(rest, upload[checkpoint.offset :]) + rest_of(rest)
        assert len(heard) == pytest.approx(len(pcm) - seconds * SECOND, abs=8)
