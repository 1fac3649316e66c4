"""What the embedded engine makes of a pause while it lasts: an utterance ends by its meaning, interims are refined."""

import asyncio
from concurrent.futures import Future
from dataclasses import replace

import pytest

from server.engines.base import BYTES_PER_SECOND
from server.engines.local.recognizer import LocalRecognizer
from server.engines.local.second_pass import Reading
from server.models import Final, Interim, Recognition, SessionConfig
from tests.support.local_engine import (
    STEP_BYTES,
    STUCK_SECONDS,
    SharedEngine,
    finals,
    load_local_engine,
    silence,
)

PAUSE = silence(0.5)
"""Shorter than Korean's endpointing, longer than what ends a sentence that is over."""


@pytest.fixture(scope="session")
def engine() -> SharedEngine:
    return load_local_engine()


async def send(recognizer: LocalRecognizer, pcm: bytes) -> None:
    for at in range(0, len(pcm), STEP_BYTES):
        await recognizer.send_audio(pcm[at : at + STEP_BYTES])


async def until_final(recognizer: LocalRecognizer) -> list[Recognition]:
    """All recognitions up to the first final with text."""
    seen: list[Recognition] = []
    async for recognition in recognizer:
        seen.append(recognition)
        if isinstance(recognition, Final) and recognition.text:
            break
    return seen


def second_pass(recognizer: LocalRecognizer) -> "Future[Reading]":
    assert recognizer._utterance is not None and recognizer._utterance.second is not None
    return recognizer._utterance.second


async def test_a_sentence_that_is_over_ends_in_a_short_pause(engine: SharedEngine, korean_pcm: bytes) -> None:
    async with engine.open(SessionConfig(), 0.0) as recognizer, asyncio.timeout(STUCK_SECONDS):
        await send(recognizer, korean_pcm + PAUSE)
        (final,) = finals(await until_final(recognizer))
        assert final.text.endswith("걸어갔다.")
        assert final.through <= len(korean_pcm + PAUSE) / BYTES_PER_SECOND


async def test_what_is_said_after_an_early_end_is_the_next_utterance(engine: SharedEngine, korean_pcm: bytes) -> None:
    async with engine.open(SessionConfig(), 0.0) as recognizer, asyncio.timeout(STUCK_SECONDS):
        await send(recognizer, korean_pcm + PAUSE)
        (first,) = finals(await until_final(recognizer))
        await send(recognizer, korean_pcm)
        await recognizer.finish()
        (second,) = finals([each async for each in recognizer])
    assert first.text.endswith("걸어갔다.") and second.text.endswith("걸어갔다.")
    assert first.through <= second.start
    assert second.through == pytest.approx(len(korean_pcm + PAUSE + korean_pcm) / BYTES_PER_SECOND)


@pytest.mark.parametrize("by_server", [True, False])
async def test_with_endpointing_ms_only_silence_ends_an_utterance(
    engine: SharedEngine, korean_pcm: bytes, by_server: bool
) -> None:
    if by_server:
        engine = replace(engine, settings=engine.settings.model_copy(update={"endpointing_ms": 2000}))
    config = SessionConfig() if by_server else SessionConfig(endpointing_ms=2000)
    async with engine.open(config, 0.0) as recognizer, asyncio.timeout(STUCK_SECONDS), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(until_final(recognizer))
        await send(recognizer, korean_pcm + PAUSE)
        await asyncio.wrap_future(second_pass(recognizer))
        await send(recognizer, silence(0.1))
        assert recognizer._utterance is not None
        assert not reading.done()
        await send(recognizer, silence(2.0))
        (final,) = finals(await reading)
        assert final.text.endswith("걸어갔다.")


async def test_an_interim_in_a_pause_is_that_of_the_second_pass(engine: SharedEngine, korean_pcm: bytes) -> None:
    config = SessionConfig(endpointing_ms=5000)
    async with engine.open(config, 0.0) as recognizer, asyncio.timeout(STUCK_SECONDS):
        await send(recognizer, korean_pcm + PAUSE)
        async for recognition in recognizer:
            if isinstance(recognition, Interim) and recognition.text.endswith("."):
                settled = recognition.text
                break
        assert settled == (await asyncio.wrap_future(second_pass(recognizer))).chosen.text
