"""The recognition half: what is written where, and what is not."""

import logging

import pytest

from server.models import EventType
from tests.support.fake_engine import FakeEngine, Fault, silence
from tests.support.recognition_half import GLITCH, PCM, WORDS, no_backoff_fixture, running, texts  # noqa: F401

pytestmark = pytest.mark.timeout(20)


async def test_no_log_has_words_or_audio(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    faults = [Fault(GLITCH, 0.5), Fault(RuntimeError("a bug"), 1.5), Fault(None, 2.5), Fault(GLITCH, where="finish")]
    async with running(*faults) as half:
        assert texts(await half.recognise(PCM)) == WORDS
        await half.recognise(b"OggS" + PCM)
    assert "RuntimeError: a bug" in caplog.text  # the log is there
    assert "말" not in caplog.text
    assert "OggS" not in caplog.text


async def test_failures_are_counted() -> None:
    async with running(Fault(GLITCH), Fault(GLITCH, where="finish")) as half:
        await half.recognise(PCM)
    lines = half.metrics.render().decode().splitlines()
    assert 'stt_engine_failures_total{engine="fake"} 2.0' in lines


async def test_speech_that_could_not_be_read_is_told_and_counted() -> None:
    async with running(engines={"fake": FakeEngine(uncovered=1.5)}) as half:
        told = [event.data for event in await half.recognise(PCM) if event.type is EventType.FINAL]
    assert told and all(data["uncovered"] == 1.5 for data in told)
    lines = half.metrics.render().decode().splitlines()
    assert f'stt_uncovered_seconds_total{{engine="fake"}} {1.5 * len(told)}' in lines


async def test_silence_is_accounted_for_without_an_event() -> None:
    async with running() as half:
        assert [event.type for event in await half.recognise(silence(2.0))] == [EventType.SESSION_END]
        assert (await half.log.state("sess_1")).checkpoint.seconds == 2.0
