"""The embedded engine as a whole, with its real models: what is heard, in which order, and what never is."""

import asyncio
import json
import threading
from itertools import pairwise

import pytest

from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE
from server.engines.local.phantom import agreement
from server.engines.local.whisper import Whisper
from server.engines.local.workers import Priority
from server.errors import EngineError
from server.models import Final, Interim, Recognition, SessionConfig, SpeechEnded, SpeechStarted
from tests.support.local_engine import (
    GAP,
    QUILTER,
    STUCK_SECONDS,
    SharedEngine,
    StandIn,
    collected,
    finals,
    load_local_engine,
    recognise,
)
from tests.support.servers import KOREAN_TEXT, run_server
from tests.support.wire import connect, finish, open_session, read_to_end, upload
from tests.support.wire import finals as published


@pytest.fixture(scope="session")
def engine() -> SharedEngine:
    return load_local_engine()


class HeldWhisper(StandIn):
    """Is at work on its first utterance until it is let go."""

    def __init__(self, whisper: Whisper) -> None:
        super().__init__(whisper)
        self.began, self.let_go = threading.Event(), threading.Event()

    def before(self) -> None:
        self.began.set()
        assert self.let_go.wait(STUCK_SECONDS)


class FailingWhisper(StandIn):
    """Fails at the utterance of this number, once; 0: at every one."""

    def __init__(self, whisper: Whisper, at: int) -> None:
        super().__init__(whisper)
        self._at = at
        self.calls = 0

    def before(self) -> None:
        self.calls += 1
        if self._at in (0, self.calls):
            raise RuntimeError("CTranslate2 is out of memory")


def summary(final: Final) -> tuple[str, list[str], str | None]:
    return final.text, [word.word for word in final.words], final.language


def in_order(recognitions: list[Recognition]) -> bool:
    """Nothing of an utterance comes once a later one has begun to be told, and its final is the last of it."""
    begins = [each.start for each in recognitions if isinstance(each, Interim | Final | SpeechStarted)]
    last_final = 0.0
    for each in recognitions:
        if isinstance(each, Interim | SpeechStarted) and each.start < last_final:
            return False
        last_final = each.through if isinstance(each, Final) else last_final
    return all(before <= after + 0.5 for before, after in pairwise(begins))


# --- Korean: two passes ---------------------------------------------------------------------------------------------


async def test_korean_is_guessed_by_vosk_and_final_by_whisper(engine: SharedEngine, korean_pcm: bytes) -> None:
    started, *interims, ended, final = await recognise(engine, korean_pcm)
    assert isinstance(started, SpeechStarted) and isinstance(ended, SpeechEnded) and isinstance(final, Final)
    assert len(interims) >= 2
    assert all(isinstance(each, Interim) for each in interims)
    (by_vosk,) = finals(await recognise(engine, korean_pcm, two_pass=False))
    last = interims[-1]
    assert isinstance(last, Interim)
    assert by_vosk.text.startswith(last.text)
    assert agreement(final.text, KOREAN_TEXT) > agreement(by_vosk.text, KOREAN_TEXT)
    assert final.text.endswith(".") and not by_vosk.text.endswith(".")


async def test_a_final_has_words_with_times_and_a_confidence(engine: SharedEngine, korean_pcm: bytes) -> None:
    started, *_, final = await recognise(engine, korean_pcm, start=100.0)
    assert isinstance(started, SpeechStarted) and isinstance(final, Final)
    assert " ".join(word.word for word in final.words) == final.text
    times = [each for word in final.words for each in (word.start, word.end)]
    assert times == sorted(times)
    assert started.start <= final.start == times[0]
    assert times[-1] == final.end <= final.through <= 100.0 + len(korean_pcm) / BYTES_PER_SECOND
    figures = [final.confidence, *(word.confidence for word in final.words)]
    assert all(figure is not None and 0 < figure <= 1 for figure in figures)


async def test_the_final_of_an_utterance_comes_before_anything_of_the_next(
    engine: SharedEngine, korean_pcm: bytes
) -> None:
    recognitions = await recognise(engine, korean_pcm + GAP + korean_pcm)
    assert len(finals(recognitions)) == 2
    assert in_order(recognitions)


async def test_so_it_does_when_whisper_is_late(engine: SharedEngine, korean_pcm: bytes) -> None:
    whisper = HeldWhisper(engine.models.whisper)
    seen: list[Recognition] = []
    async with (
        engine.with_whisper(whisper).open(SessionConfig(), 0.0) as recognizer,
        asyncio.timeout(STUCK_SECONDS),
        asyncio.TaskGroup() as tasks,
    ):

        async def read() -> None:
            async for recognition in recognizer:
                seen.append(recognition)

        tasks.create_task(read())
        pcm = korean_pcm + GAP + korean_pcm
        for at in range(0, len(pcm), 3200):
            await recognizer.send_audio(pcm[at : at + 3200])
        assert whisper.began.is_set()
        before = list(seen)
        whisper.let_go.set()
        await recognizer.finish()
    assert sum(isinstance(each, SpeechStarted) for each in before) == 1
    assert sum(isinstance(each, Interim) for each in before) >= 2
    assert not finals(before)
    assert len(finals(seen)) == 2
    assert in_order(seen)
    assert isinstance(seen[len(before)], Final)
    prompt = finals(await recognise(engine, pcm))
    assert [summary(final) for final in finals(seen)] == [summary(final) for final in prompt]


async def test_a_session_whose_finals_are_late_is_told_to_wait(engine: SharedEngine, korean_pcm: bytes) -> None:
    """Else a backlog of second passes would grow without bound."""
    whisper = HeldWhisper(engine.models.whisper)
    async with (
        engine.with_whisper(whisper).open(SessionConfig(), 0.0) as recognizer,
        asyncio.TaskGroup() as tasks,
    ):
        reading = tasks.create_task(collected(recognizer))
        sending = tasks.create_task(recognizer.send_audio((korean_pcm + GAP) * 5))
        assert await asyncio.to_thread(whisper.began.wait, STUCK_SECONDS)
        while engine.workers.waiting() < 2 and not sending.done():
            await asyncio.wait([sending], timeout=0.02)
        assert not sending.done()
        whisper.let_go.set()
        await sending
        await recognizer.finish()
        assert len(finals(await reading)) == 5


async def test_who_sends_without_end_does_not_keep_others_from_their_finals(
    engine: SharedEngine, korean_pcm: bytes
) -> None:
    async with engine.open(SessionConfig(), 0.0) as greedy, asyncio.TaskGroup() as tasks:

        async def send_for_ever() -> None:
            while True:
                await greedy.send_audio(korean_pcm + GAP)

        greed = [tasks.create_task(send_for_ever()), tasks.create_task(collected(greedy))]
        async with asyncio.timeout(STUCK_SECONDS):
            others = await asyncio.gather(recognise(engine, korean_pcm), recognise(engine, korean_pcm))
        assert [len(finals(other)) for other in others] == [1, 1]
        for task in greed:
            task.cancel()


async def test_while_finals_wait_no_interims_are_made(engine: SharedEngine, english_pcm: bytes) -> None:
    let_go = threading.Event()
    for _ in range(2 * engine.workers.threads):
        engine.workers.submit(Priority.FINAL, lambda: let_go.wait(STUCK_SECONDS))
    async with engine.open(SessionConfig(language="en"), 0.0) as recognizer, asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(collected(recognizer))
        await recognizer.send_audio(english_pcm)
        assert recognizer._interim is None
        let_go.set()
        await recognizer.finish()
        assert len(finals(await reading)) == 1


async def test_with_one_pass_vosk_has_the_last_word(engine: SharedEngine, korean_pcm: bytes) -> None:
    whisper = FailingWhisper(engine.models.whisper, 0)
    (final,) = finals(await recognise(engine.with_whisper(whisper), korean_pcm, two_pass=False))
    assert final.text.endswith("걸어갔다")
    assert whisper.calls == 0


async def test_keywords_reach_both_passes(engine: SharedEngine, korean_pcm: bytes) -> None:
    plain = await recognise(engine, korean_pcm)
    asked = await recognise(engine, korean_pcm, keywords=["이리저리", "피아면서"])
    (before,), (after,) = finals(plain), finals(asked)
    assert "이리저리" not in before.text and "이리저리" in after.text
    guesses = [[each.text for each in run if isinstance(each, Interim)][-1] for run in (plain, asked)]
    assert "피하면서" in guesses[0] and "피아면서" in guesses[1]
    (one_pass,) = finals(await recognise(engine, korean_pcm, two_pass=False, keywords=["피아면서"]))
    assert "피아면서" in one_pass.text


async def test_without_punctuate_there_is_none(engine: SharedEngine, korean_pcm: bytes) -> None:
    (final,) = finals(await recognise(engine, korean_pcm, punctuate=False))
    assert final.text.endswith("걸어갔다")
    assert final.words[-1].word.endswith("걸어갔다")


# --- other languages ------------------------------------------------------------------------------------------------


@pytest.mark.speech
async def test_english_is_guessed_while_it_is_spoken(engine: SharedEngine, english_pcm: bytes) -> None:
    recognitions = await recognise(engine, english_pcm + GAP, "en", every_interim=True)
    interims = [each for each in recognitions if isinstance(each, Interim)]
    (final,) = finals(recognitions)
    assert len(interims) >= 4
    assert in_order(recognitions)
    assert agreement(final.text, QUILTER) > 0.97
    assert {final.language, *(each.language for each in interims)} == {"en"}
    assert agreement(interims[-1].text, QUILTER) > 0.8
    ends = [each.end for each in interims]
    assert ends == sorted(ends)


@pytest.mark.speech
async def test_interims_are_left_out_where_they_are_not_wanted(engine: SharedEngine, english_pcm: bytes) -> None:
    recognitions = await recognise(engine, english_pcm, "en", every_interim=True, interim_results=False)
    assert not any(isinstance(each, Interim) for each in recognitions)
    assert len(finals(recognitions)) == 1


@pytest.mark.speech
async def test_multi_says_which_language_each_utterance_is_in(
    engine: SharedEngine, korean_pcm: bytes, english_pcm: bytes
) -> None:
    recognitions = await recognise(engine, korean_pcm + GAP + english_pcm + GAP + korean_pcm, "multi")
    found = finals(recognitions)
    assert [final.language for final in found] == ["ko", "en", "ko"]
    assert agreement(found[1].text, QUILTER) > 0.97
    assert in_order(recognitions)


@pytest.mark.speech
@pytest.mark.parametrize("language", ["en", "en-US", "EN-gb"])
async def test_a_region_does_not_matter(engine: SharedEngine, english_pcm: bytes, language: str) -> None:
    (final,) = finals(await recognise(engine, english_pcm, language))
    assert final.language == "en"


async def test_a_language_that_nobody_knows_is_refused_with_those_that_are(engine: SharedEngine) -> None:
    with run_server({"local": engine}) as url:
        async with connect(url) as http:
            answer = await http.post("/sessions", json={"config": {"language": "xx"}})
    assert answer.status_code == 422
    supported = answer.json()["detail"].split("supported: ")[1].split(", ")
    assert {"ko", "en", "ja", "multi"} < set(supported)


# --- recovery -------------------------------------------------------------------------------------------------------


async def resumed_at_each_final(engine: SharedEngine, pcm: bytes, language: str, utterances: int) -> None:
    recognitions = await recognise(engine, pcm, language)
    checkpoints = [each.through for each in recognitions if isinstance(each, Final)]
    whole = finals(recognitions)
    assert len(whole) == utterances
    for checkpoint in checkpoints:
        rest = pcm[round(checkpoint * SAMPLE_RATE) * 2 :]
        left = finals(await recognise(engine, rest, language, start=checkpoint))
        expected = [final for final in whole if final.through > checkpoint]
        assert [summary(final) for final in left] == [summary(final) for final in expected]
        for one, other in zip(left, expected, strict=True):
            assert (one.start, one.end) == pytest.approx((other.start, other.end), abs=0.1)


async def test_korean_resumed_at_any_final_has_the_same_finals_left(engine: SharedEngine, korean_pcm: bytes) -> None:
    await resumed_at_each_final(engine, (korean_pcm + GAP) * 3, "ko", 3)


@pytest.mark.speech
async def test_english_resumed_at_any_final_has_the_same_finals_left(engine: SharedEngine, english_pcm: bytes) -> None:
    await resumed_at_each_final(engine, (english_pcm + GAP) * 2, "en", 2)


async def test_an_error_in_whisper_reaches_who_reads(engine: SharedEngine, korean_pcm: bytes) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await recognise(engine.with_whisper(FailingWhisper(engine.models.whisper, 0)), korean_pcm)
    assert caught.group_contains(EngineError, match="RuntimeError")


@pytest.mark.parametrize("at", [1, 2])
async def test_a_session_survives_an_error_in_whisper(engine: SharedEngine, korean_pcm: bytes, at: int) -> None:
    pcm = (korean_pcm + GAP) * 2
    expected = [final.text for final in finals(await recognise(engine, pcm))]
    whisper = FailingWhisper(engine.models.whisper, at)
    with run_server({"local": engine.with_whisper(whisper)}) as url:
        async with connect(url) as http:
            session_id = await open_session(http, language="ko")
            await upload(http, session_id, pcm)
            transcript = await finish(http, session_id)
            events = await read_to_end(http, session_id)
    assert whisper.calls > at
    assert [each["text"] for each in transcript["segments"]] == published(events) == expected
    errors = [event.data for event in events if event.type == "error"]
    assert [(error["code"], error["recoverable"]) for error in errors] == [("engine_restarted", True)]
    assert transcript["reason"] == "finished", json.dumps(transcript)


# --- closing --------------------------------------------------------------------------------------------------------


async def test_a_recognizer_that_is_dropped_leaves_no_task_and_loses_nothing(
    engine: SharedEngine, korean_pcm: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recognise(engine, korean_pcm)  # now there is a warm one

    def refuse(model: object) -> None:
        raise AssertionError("a warm recognizer has not come back")

    monkeypatch.setattr("server.engines.local.vosk._new_recognizer", refuse)
    whisper = HeldWhisper(engine.models.whisper)

    async def session() -> None:
        async with engine.with_whisper(whisper).open(SessionConfig(), 0.0) as recognizer:
            await recognizer.send_audio(korean_pcm + GAP + korean_pcm[: 2 * BYTES_PER_SECOND])
            await collected(recognizer)

    before = asyncio.all_tasks()
    task = asyncio.create_task(session())
    assert await asyncio.to_thread(whisper.began.wait, STUCK_SECONDS)
    task.cancel()
    async with asyncio.timeout(STUCK_SECONDS):
        await asyncio.wait([task])
    assert task.cancelled()
    assert asyncio.all_tasks() == before
    whisper.let_go.set()
    assert len(finals(await recognise(engine, korean_pcm))) == 1
