"""The recognition half against engines that fail: every word comes out once, or the session says why not."""

from typing import Any

import pytest

from server.engines.base import SAMPLE_RATE
from server.models import EventType
from tests.support.fake_engine import Fault, said, speech
from tests.support.recognition_half import (  # noqa: F401
    GLITCH,
    LONG,
    PCM,
    REFUSAL,
    WORDS,
    data_of,
    errors,
    no_backoff_fixture,
    reason,
    running,
    texts,
)
from tests.support.recordings import recording
from tests.support.servers import wav_of

pytestmark = pytest.mark.timeout(20)

# --- what fails and is replaced -------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0.0, 0.5, 1.3, 2.1, 3.9, 4.0])
@pytest.mark.parametrize("error", [GLITCH, RuntimeError("a bug"), None], ids=["raises", "has a bug", "hangs"])
async def test_a_recognizer_that_fails_is_replaced_and_every_word_comes_once(
    error: Exception | None, at: float
) -> None:
    async with running(Fault(error, at)) as half:
        events = await half.recognise(PCM)
    assert texts(events) == WORDS
    assert errors(events) == ["engine_restarted"]
    assert reason(events) == "finished"


@pytest.mark.parametrize("where", ["open", "read", "finish"])
@pytest.mark.parametrize("error", [GLITCH, RuntimeError("a bug"), None], ids=["raises", "has a bug", "hangs"])
async def test_it_does_not_matter_which_call_meets_the_failure(error: Exception | None, where: Any) -> None:
    async with running(Fault(error, where=where)) as half:
        events = await half.recognise(PCM)
    assert texts(events) == WORDS
    assert errors(events) == ["engine_restarted"]
    assert reason(events) == "finished"


async def test_a_recognizer_is_opened_again_at_the_end_of_the_last_final() -> None:
    async with running() as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, speech([1, 2]))
        await half.events(session_id, EventType.FINAL)
        through = (await half.log.state(session_id)).checkpoint.seconds
        half.engines["fake"].faults.append(Fault(GLITCH, at=1.5))
        await half.log.append_audio(session_id, speech([3]))
        await half.log.finish_audio(session_id, "finished")
        assert texts(await half.events(session_id)) == said([1, 2], [3])
    assert 0.75 <= through <= 1.0
    assert half.engines["fake"].opened == [0.0, through]


async def test_a_wav_goes_on_in_its_middle() -> None:
    async with running() as half:
        session_id = await half.open()
        wav = wav_of(PCM)
        await half.log.append_audio(session_id, wav[:40_001])
        await half.events(session_id, EventType.FINAL)
        half.engines["fake"].faults.append(Fault(GLITCH, at=2.0))
        await half.log.append_audio(session_id, wav[40_001:])
        await half.log.finish_audio(session_id, "finished")
        assert texts(await half.events(session_id)) == WORDS
    assert len(half.engines["fake"].opened) == 2


async def test_an_error_event_says_what_happened_and_that_the_session_goes_on() -> None:
    async with running(Fault(GLITCH)) as half:
        error = (await half.recognise(PCM))[0]
    assert data_of(error) == {
        "code": "engine_restarted",
        "message": "The cloud is away.",
        "recoverable": True,
        "engine": "fake",
    }


async def test_what_an_unforeseen_error_says_stays_here() -> None:
    async with running(Fault(RuntimeError("secret"))) as half:
        error = (await half.recognise(PCM))[0]
    assert data_of(error)["message"] == "The recognizer failed: RuntimeError."


# --- what is given up -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [GLITCH, RuntimeError("a bug"), None], ids=["raises", "has a bug", "hangs"])
async def test_retries_are_bounded(error: Exception | None) -> None:
    async with running(Fault(error, times=None), engine_retries=2, engine_timeout_seconds=0.02) as half:
        events = await half.recognise(PCM)
        state = await half.log.state("sess_1")
    assert len(half.engines["fake"].opened) == 3
    assert errors(events) == ["engine_restarted", "engine_restarted", "engine_failed"]
    assert not data_of(events[-2])["recoverable"]
    assert reason(events) == "engine_failed"
    assert (state.status, texts(events)) == ("ended", [])


async def test_a_final_gives_the_engine_all_its_tries_again() -> None:
    faults = [Fault(GLITCH, at) for at in (0.5, 1.5, 2.5, 3.5)]
    async with running(*faults, engine_retries=1) as half:
        session_id = await half.open()
        for second in range(4):
            await half.log.append_audio(session_id, PCM[second * 32_000 : (second + 1) * 32_000])
            while len(texts(await half.log.read_events(session_id, 0, 0))) <= second:
                await half.log.read_events(session_id, (await half.log.state(session_id)).last_event_id, LONG)
        await half.log.finish_audio(session_id, "finished")
        events = await half.events(session_id)
    assert texts(events) == WORDS
    assert errors(events) == ["engine_restarted"] * 4


async def test_an_error_that_another_try_can_not_help_ends_the_session() -> None:
    async with running(Fault(REFUSAL)) as half:
        events = await half.recognise(PCM)
    assert half.engines["fake"].opened == [0.0]
    assert errors(events) == ["engine_failed"]
    assert data_of(events[0])["message"] == "The key is wrong."
    assert reason(events) == "engine_failed"


@pytest.mark.parametrize(
    "audio",
    [b"OggS" + bytes(50), b"fLaC" + bytes(50), b"ID3" + bytes(50), b"\x1aE\xdf\xa3" + bytes(50), wav_of(b"")[:20]],
    ids=["Ogg", "FLAC", "MP3", "WebM", "half a WAV header"],
)
async def test_undecodable_audio_is_an_error_and_the_end(audio: bytes) -> None:
    async with running() as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, audio)
        await half.log.finish_audio(session_id, "finished")
        events = await half.events(session_id)
        state = await half.log.state(session_id)
    assert errors(events) == ["undecodable_audio"]
    assert not data_of(events[0])["recoverable"]
    assert reason(events) == state.reason == "undecodable_audio"


async def test_what_was_said_before_the_damage_is_not_lost() -> None:
    upload = recording("flac", "ogg", SAMPLE_RATE, pcm=speech([1, 2]) + speech([3, 4])[:22_000])
    async with running() as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, upload)
        while (await half.log.state(session_id)).taken < len(upload):
            await half.log.read_events(session_id, (await half.log.state(session_id)).last_event_id, 0.01)
        await half.log.append_audio(session_id, b"this is no page of Ogg" * 10)
        await half.log.finish_audio(session_id, "finished")
        events = await half.events(session_id)
    assert texts(events) == said([1, 2], [3, 4])
    assert errors(events) == ["audio_gap"]
    assert reason(events) == "finished"
    assert len(half.engines["fake"].opened) == 1
