"""A decoder that begins again at a checkpoint goes on exactly at its time, in every container."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.audio.containers.decoder import WARM_UP_SECONDS
from server.audio.decoder import AudioDecoder
from server.engines.base import SAMPLE_RATE
from server.session_log.base import Checkpoint
from tests.support.container_kinds import AUTO, KINDS, SLICE, Kind, decoded, economical, fed, over_kinds, samples, whole


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
