"""A flush in the embedded engine: the utterance ends, its final is the answer, and the next sample begins anew."""

import asyncio
from typing import Any

import pytest

from server.engines.base import BYTES_PER_SECOND
from server.engines.local.transcription import Heard, Hypothesis
from server.models import Final, Recognition, SessionConfig, SpeechEnded, SpeechStarted
from tests.support.local_engine import (
    GAP,
    STEP_BYTES,
    SharedEngine,
    StandIn,
    collected,
    finals,
    load_local_engine,
    recognise,
    silence,
)
from tests.support.servers import run_server
from tests.support.wire import connect, finish, open_session, read_to_end, upload


@pytest.fixture(scope="session")
def engine() -> SharedEngine:
    return load_local_engine()


class Phantom(StandIn):
    """Hears in everything what nobody said."""

    def hear(self, pcm: bytes, language: str | None, **options: Any) -> Heard:
        return Heard((Hypothesis("시청해 주셔서 감사합니다.", -1.5),), "ko", 0.9)


async def flushed(engine: SharedEngine, *parts: bytes, start: float = 0.0, **config: Any) -> list[Recognition]:
    """All recognitions of the parts, flushed after each of them."""
    async with engine.open(SessionConfig(**config), start) as recognizer, asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(collected(recognizer))
        for part in parts:
            for at in range(0, len(part), STEP_BYTES):
                await recognizer.send_audio(part[at : at + STEP_BYTES])
            await recognizer.flush()
        await recognizer.finish()
        return await reading


def answers(recognitions: list[Recognition]) -> list[Final]:
    return [each for each in recognitions if isinstance(each, Final) and each.flushed]


@pytest.mark.parametrize("two_pass", [True, False])
async def test_a_flush_right_after_the_words_gives_what_a_pause_would(
    engine: SharedEngine, korean_pcm: bytes, two_pass: bool
) -> None:
    (paused,) = finals(await recognise(engine, korean_pcm + GAP, two_pass=two_pass))
    recognitions = await flushed(engine, korean_pcm, two_pass=two_pass)
    (answer,) = answers(recognitions)
    assert answer.text == paused.text
    assert answer.through == len(korean_pcm) / BYTES_PER_SECOND
    kinds = [type(each) for each in recognitions if isinstance(each, SpeechStarted | SpeechEnded | Final)]
    assert kinds == [SpeechStarted, SpeechEnded, Final, Final]


@pytest.mark.parametrize("two_pass", [True, False])
async def test_a_flush_in_mid_speech_accounts_for_every_sample_before_it(
    engine: SharedEngine, korean_pcm: bytes, two_pass: bool
) -> None:
    cut = 2 * BYTES_PER_SECOND + 1234
    recognitions = await flushed(engine, korean_pcm[:cut], korean_pcm[cut:], start=50.0, two_pass=two_pass)
    first, second = answers(recognitions)
    assert first.text and second.text
    assert first.through == 50.0 + cut / BYTES_PER_SECOND
    assert second.through == pytest.approx(50.0 + len(korean_pcm) / BYTES_PER_SECOND)
    starts = [each.start for each in recognitions if isinstance(each, SpeechStarted)]
    assert len(starts) == 2 and starts[1] >= first.through


async def test_a_flush_waits_for_the_finals_before_it(engine: SharedEngine, korean_pcm: bytes) -> None:
    recognitions = await flushed(engine, korean_pcm + GAP)
    said = next(each for each in recognitions if isinstance(each, Final))
    (answer,) = answers(recognitions)
    assert said.text and not said.flushed and not answer.text
    assert recognitions.index(said) < recognitions.index(answer)
    assert answer.through == pytest.approx(len(korean_pcm + GAP) / BYTES_PER_SECOND)


async def test_what_nobody_said_is_answered_without_text(engine: SharedEngine, korean_pcm: bytes) -> None:
    hearing = engine.with_whisper(Phantom(engine.models.whisper))
    (answer,) = answers(await flushed(hearing, korean_pcm[:BYTES_PER_SECOND], language="en"))
    assert (answer.text, answer.through) == ("", 1.0)


async def test_each_of_two_flushes_has_its_answer(engine: SharedEngine, korean_pcm: bytes) -> None:
    first, second, third = answers(await flushed(engine, korean_pcm, b"", silence(0.5)))
    assert first.text and not second.text and not third.text
    assert first.through == second.through == third.through - 0.5


async def test_a_flush_right_after_a_cut_ends_the_speech(engine: SharedEngine, korean_pcm: bytes) -> None:
    limit = 3.008  # a whole number of frames
    short = engine.with_longest(limit)
    begins = (await recognise(engine, korean_pcm))[0]
    assert isinstance(begins, SpeechStarted)
    cut = round((begins.start + limit) * BYTES_PER_SECOND)
    recognitions = await flushed(short, korean_pcm[:cut])
    said, answer = [each for each in recognitions if isinstance(each, Final)][:2]
    assert said.text and not said.flushed
    assert answer.flushed and not answer.text
    assert answer.through == pytest.approx(cut / BYTES_PER_SECOND)
    assert sum(isinstance(each, SpeechEnded) for each in recognitions) == 1


class Failing(StandIn):
    """Fails at its first utterance."""

    failed = False

    def before(self) -> None:
        if not self.failed:
            self.failed = True
            raise RuntimeError("CTranslate2 is out of memory")


async def session_finals(engine: SharedEngine, before: bytes, after: bytes) -> list[dict[str, Any]]:
    """The finals of a session that is flushed between two pieces of audio."""
    with run_server({"local": engine}) as url:
        async with connect(url) as http:
            session_id = await open_session(http)
            await upload(http, session_id, before)
            answer = await http.post(f"/sessions/{session_id}/flush")
            assert answer.status_code == 202
            await upload(http, session_id, after)
            await finish(http, session_id)
            events = await read_to_end(http, session_id)
    return [event.data for event in events if event.type == "final"]


async def test_a_second_recognizer_answers_a_flush_at_the_same_sample_with_the_same_text(
    engine: SharedEngine, korean_pcm: bytes
) -> None:
    before, after = korean_pcm[: 2 * BYTES_PER_SECOND], korean_pcm[2 * BYTES_PER_SECOND :]
    undisturbed = await session_finals(engine, before, after)
    whisper = Failing(engine.models.whisper)
    disturbed = await session_finals(engine.with_whisper(whisper), before, after)
    assert whisper.failed
    facts = [[(each["text"], each["through"], each.get("flushed")) for each in run] for run in (undisturbed, disturbed)]
    assert facts[0] == facts[1]
    assert [each[1:] for each in facts[0]] == [(2.0, len(before)), (facts[0][1][1], None)]
