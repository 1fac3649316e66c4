"""An upload that stands for hours is fed at a bounded pace, and ends where a session may be no longer."""

import numpy as np

from server.audio.resampler import BLOCK_SAMPLES, mix
from server.engines.base import SAMPLE_RATE
from server.recognition.pace import AHEAD_SECONDS, SPEED, Pace
from tests.server.test_audio import fmt, pcm16, tone, wav
from tests.support.container_kinds import decoded
from tests.support.fake_engine import silence, speech
from tests.support.recognition_half import errors, reason, running, texts
from tests.support.recordings import recording


def test_what_is_ahead_of_real_time_waits_and_what_is_not_does_not() -> None:
    pace, now = Pace(), 0.0
    for _ in range(30):
        assert pace.wait_seconds(AHEAD_SECONDS / 30, now) == 0
    wait = pace.wait_seconds(2.0, now)
    assert wait == 2.0 / SPEED
    for _ in range(1_000):
        now += wait
        wait = pace.wait_seconds(2.0, now)
    assert 1_000 * 2.0 / SPEED <= now <= 1_010 * 2.0 / SPEED
    assert pace.wait_seconds(2.0, now + 3_600) == 0


async def test_a_session_is_as_long_as_its_audio() -> None:
    """Seconds of the audio count, however few bytes they have and however fast they come."""
    upload = recording("flac", "flac", SAMPLE_RATE, pcm=speech([1], [2]) + silence(30) + speech([3]))
    async with running(max_session_seconds=20.0) as half:
        events = await half.recognise(upload)
        state = await half.log.state("sess_1")
    assert texts(events) == ["말1", "말2"]
    assert reason(events) == "max_duration"
    assert errors(events) == []
    assert state.recognized_seconds <= 20.0


# --- two channels ---------------------------------------------------------------------------------------------------


def stereo(left: np.ndarray, right: np.ndarray) -> bytes:
    return wav(pcm16(np.column_stack([left, right]).ravel()), fmt(channels=2))


def test_channels_that_are_opposites_are_not_mixed_to_silence() -> None:
    left = tone(440, 1)
    pcm = decoded(stereo(left, -left))
    assert pcm == pcm16(left)
    quieter = decoded(stereo(left, -0.9 * left))
    assert np.abs(np.frombuffer(quieter, "<i2") - np.frombuffer(pcm16(left), "<i2")).max() <= 1


def test_other_channels_are_mixed_as_ever() -> None:
    left, right = tone(440, 1), tone(1000, 1)
    expected = (np.frombuffer(pcm16(left), "<i2").astype(int) + np.frombuffer(pcm16(right), "<i2")) // 2
    assert np.frombuffer(decoded(stereo(left, right)), "<i2").tolist() == expected.tolist()
    silent = np.zeros(SAMPLE_RATE)
    one = np.frombuffer(decoded(stereo(left, silent)), "<i2")
    assert np.abs(one - np.frombuffer(pcm16(left / 2), "<i2")).max() <= 1


def test_each_block_is_mixed_by_itself() -> None:
    block = np.arange(1, BLOCK_SAMPLES + 1)
    blocks = np.stack([np.column_stack([block, -block]), np.column_stack([block, block])])
    assert mix(blocks).tolist() == [block.tolist(), block.tolist()]
