"""A flush at Deepgram: Finalize, its answer, and what is done where none comes."""

from collections.abc import Awaitable, Callable

import pytest

from server.engines.deepgram import engine as deepgram
from server.engines.deepgram import recognizer
from server.engines.deepgram.flushing import Mark
from server.engines.deepgram.messages import Results, SpeechBegan
from server.engines.deepgram.recognizer import DeepgramRecognizer
from server.engines.deepgram.utterances import Clock, UtteranceAssembler
from server.models import Final, SpeechEnded, Word
from tests.engines.test_deepgram_silence import AnySound
from tests.support.deepgram_peer import DeepgramPeer
from tests.support.deepgram_recognition import NOWHERE, SECOND, Outcome, engine_for, recognise
from tests.support.deepgram_sessions import serving, words_of
from tests.support.deepgram_speech import coded_speech
from tests.support.deepgram_stream import Misfortune, Trouble
from tests.support.wire import finish, open_session, read_to_end, upload

BEFORE = coded_speech([1, 2, 3], pause=0)
AFTER = coded_speech([4, 5])


def then_flush(after: bytes = AFTER) -> Callable[[DeepgramRecognizer], Awaitable[None]]:
    async def flush(recognizer: DeepgramRecognizer) -> None:
        await recognizer.flush()
        await recognizer.send_audio(after)

    return flush


def answers(outcome: Outcome) -> list[tuple[str, float]]:
    return [(each.text, each.through) for each in outcome.finals if each.flushed]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognizer, "FLUSH_SECONDS", 0.1)


async def test_a_flush_has_the_words_before_it_and_the_stream_goes_on() -> None:
    async with DeepgramPeer() as peer:
        outcome = await recognise(engine_for(peer), BEFORE, 60.0, then=then_flush())
        (stream,) = peer.streams
    assert answers(outcome) == [("w1 w2 w3", 60.0 + len(BEFORE) / SECOND)]
    assert (outcome.texts, outcome.error) == (["w1 w2 w3", "w4 w5"], None)
    assert outcome.finals[1].words[0].start == pytest.approx(60.0 + len(BEFORE) / SECOND)
    assert [text["type"] for text in stream.texts] == ["Finalize", "CloseStream"]
    assert bytes(stream.audio) == BEFORE + AFTER


async def test_an_utterance_that_a_flush_ends_is_told_to_have_ended() -> None:
    async with DeepgramPeer() as peer:
        outcome = await recognise(engine_for(peer), BEFORE, then=then_flush())
    at = next(index for index, each in enumerate(outcome.recognitions) if isinstance(each, Final) and each.flushed)
    assert isinstance(outcome.recognitions[at - 1], SpeechEnded)


async def test_where_nothing_was_sent_a_flush_is_answered_without_a_connection() -> None:
    outcome = await recognise(engine_for(NOWHERE), b"", 3.0, then=then_flush(b""))
    assert (answers(outcome), outcome.error) == ([("", 3.0)], None)


@pytest.mark.parametrize("times", [1, 3])
async def test_what_is_settled_already_needs_no_finalize(times: int) -> None:
    async with DeepgramPeer() as peer:

        async def flush(recognizer: DeepgramRecognizer) -> None:
            await peer.until(lambda peer: any(said.get("speech_final") for said in peer.streams[0].said))
            for _ in range(times):
                await recognizer.flush()
            await recognizer.send_audio(AFTER)

        outcome = await recognise(engine_for(peer), coded_speech([1, 2], pause=0.8), then=flush)
        (stream,) = peer.streams
    assert [text for text, _ in answers(outcome)] == [""] * times
    assert (outcome.texts, outcome.error) == (["w1 w2", "w4 w5"], None)
    assert stream.count("Finalize") <= 1


@pytest.mark.usefixtures("hurried")
async def test_without_an_answer_what_was_last_heard_counts() -> None:
    async with DeepgramPeer([Trouble(ignores=("Finalize",))]) as peer:
        outcome = await recognise(engine_for(peer), BEFORE, then=then_flush())
    assert answers(outcome) == [("w1 w2 w3", len(BEFORE) / SECOND)]
    assert (outcome.texts, outcome.error) == (["w1 w2 w3", "w4 w5"], None)


@pytest.mark.usefixtures("hurried")
async def test_silence_is_answered_too() -> None:
    async with DeepgramPeer([Trouble(ignores=("Finalize",))]) as peer:
        outcome = await recognise(engine_for(peer), bytes(SECOND), then=then_flush())
    assert answers(outcome) == [("", 1.0)]
    assert (outcome.texts, outcome.error) == (["w4 w5"], None)


@pytest.mark.usefixtures("hurried")
async def test_a_deepgram_that_is_behind_is_waited_for() -> None:
    """It is late by longer than an answer may take, but at work: what it has not heard yet is not given up."""
    long = coded_speech(list(range(1, 9)), pause=0)
    async with DeepgramPeer([Trouble(delay=0.5)]) as peer:
        outcome = await recognise(engine_for(peer), long, then=then_flush())
    assert [text for text, _ in answers(outcome)] == [outcome.texts[0]]
    assert " ".join(outcome.texts) == "w1 w2 w3 w4 w5 w6 w7 w8 w4 w5"
    assert outcome.error is None


@pytest.mark.usefixtures("hurried")
async def test_one_that_has_stopped_in_mid_work_fails_and_loses_nothing() -> None:
    long = coded_speech(list(range(1, 9)), pause=0)
    async with DeepgramPeer([Trouble(mute_after=0.5)]) as peer:
        engine = engine_for(peer, deepgram_silence_seconds=0.3)
        outcome = await recognise(engine, long, then=then_flush())
    assert outcome.error is not None and outcome.error.retryable
    assert answers(outcome) == []
    assert outcome.through < 1.0


async def test_a_connection_that_breaks_before_the_answer_fails() -> None:
    async with DeepgramPeer([Trouble(ignores=("Finalize",))]) as peer:

        async def flush(recognizer: DeepgramRecognizer) -> None:
            await recognizer.flush()
            await peer.until(lambda peer: peer.streams[0].count("Finalize") == 1)
            peer.streams[0].connection.transport.abort()
            await recognizer.send_audio(AFTER)

        outcome = await recognise(engine_for(peer), BEFORE, then=flush)
    assert outcome.error is not None and outcome.error.retryable
    assert answers(outcome) == []


async def test_the_answer_of_an_earlier_finalize_is_not_taken_for_that_of_the_flush() -> None:
    """An idle stream has its words settled; the answer is late, and meanwhile one speaks on and asks for a flush."""
    async with DeepgramPeer([Trouble(delay=0.3)]) as peer:
        engine = engine_for(peer, deepgram_keepalive_seconds=0.05)

        async def flush(recognizer: DeepgramRecognizer) -> None:
            await peer.until(lambda peer: bool(peer.streams) and peer.streams[0].count("Finalize") == 1)
            await recognizer.send_audio(AFTER)
            await recognizer.flush()

        outcome = await recognise(engine, BEFORE, then=flush)
    assert " ".join(outcome.texts) == "w1 w2 w3 w4 w5"
    assert [through for _, through in answers(outcome)] == [len(BEFORE + AFTER) / SECOND]
    assert outcome.error is None


async def test_where_silence_is_not_sent_a_flush_still_ends_at_its_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepgram, "VoiceActivityDetector", AnySound)
    async with DeepgramPeer() as peer:
        engine = engine_for(peer, deepgram_skip_silence=True)
        await engine.prewarm()
        outcome = await recognise(engine, BEFORE + bytes(3 * SECOND + 1000), then=then_flush())
        assert bytes(peer.streams[0].audio).startswith(BEFORE)
    assert [through for _, through in answers(outcome)] == [pytest.approx(len(BEFORE) / SECOND + 3 + 1000 / SECOND)]
    assert " ".join(outcome.texts) == "w1 w2 w3 w4 w5"


async def test_where_silence_is_not_sent_a_flush_in_mid_speech_is_one_finalize(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepgram, "VoiceActivityDetector", AnySound)
    async with DeepgramPeer() as peer:
        engine = engine_for(peer, deepgram_skip_silence=True)
        await engine.prewarm()
        outcome = await recognise(engine, BEFORE[: -SECOND // 10], then=then_flush(b""))
        assert peer.streams[0].count("Finalize") == 1
    assert [text for text, _ in answers(outcome)] == ["w1 w2 w3"]


# --- which message is the answer ------------------------------------------------------------------------------------


def settled(start: float, end: float, *, from_finalize: bool = False, text: str = "말") -> Results:
    words = (Word(text, start, end),) if text else ()
    return Results(start, end, text, words, is_final=True, from_finalize=from_finalize)


MARK = Mark(through=14.0, sent=4.0, finalized=2.0)
ANSWERS = {
    "a final of all audio": (MARK, settled(0, 4.0), True),
    "an interim of all audio": (MARK, Results(0, 4.0, "말", ()), False),
    "a final of the beginning": (MARK, settled(0, 3.0), False),
    "the answer of the finalize before": (MARK, settled(0, 2.0, from_finalize=True), False),
    "an answer that leaves the last moment out": (MARK, settled(2.0, 3.8, from_finalize=True), True),
    "the answer of a finalize of the same audio": (
        Mark(14.0, 4.0, 4.0),
        settled(0, 3.8, from_finalize=True),
        True,
    ),
    "the only one there can be": (Mark(14.0, 4.0, None), settled(0, 3.8, from_finalize=True), True),
    "something else": (MARK, SpeechBegan(1.0), False),
}


@pytest.mark.parametrize(("mark", "message", "is_answer"), ANSWERS.values(), ids=ANSWERS)
def test_what_answers_a_flush(mark: Mark, message: Results | SpeechBegan, is_answer: bool) -> None:
    assert mark.is_answered_by(message) is is_answer


def test_words_that_only_an_interim_has_are_in_the_flushed_final() -> None:
    clock = Clock(10.0)
    assembler = UtteranceAssembler(clock, "ko", 28.0)
    clock.advance(4 * SECOND)
    heard = Results(0, 3.9, "하나 둘", (Word("하나", 0.5, 1.0), Word("둘", 3.0, 3.5)))
    assembler.take(heard)
    final = assembler.flush(14.0, settled(0, 2.0, from_finalize=True, text="하나"))[-1]
    assert isinstance(final, Final)
    assert (final.text, final.through, final.flushed) == ("하나 둘", 14.0, True)


def test_the_answer_that_comes_after_all_says_nothing_again() -> None:
    clock = Clock(0.0)
    assembler = UtteranceAssembler(clock, "ko", 28.0)
    clock.advance(4 * SECOND)
    assembler.take(Results(0, 3.9, "하나", (Word("하나", 0.5, 1.0),)))
    assembler.flush(4.0)
    assert assembler.take(settled(0, 4.0, from_finalize=True, text="하나")) == []


# --- a whole session ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "plan",
    [[], [Trouble(close_after=0.5)], [Trouble(ignores=("Finalize",), close_after=1.2)]],
    ids=["undisturbed", "lost before", "lost at the mark"],
)
async def test_a_session_s_flush_is_answered_once_whatever_becomes_of_the_connection(plan: list[Misfortune]) -> None:
    async with DeepgramPeer(plan) as peer, serving(peer) as http:
        session_id = await open_session(http)
        await upload(http, session_id, BEFORE)
        answer = await http.post(f"/sessions/{session_id}/flush")
        assert (answer.status_code, answer.json()["offset"]) == (202, len(BEFORE))
        await upload(http, session_id, AFTER)
        await finish(http, session_id)
        events = await read_to_end(http, session_id)
    flushed = [event for event in events if "flushed" in event.data]
    assert [(event.type, event.data["flushed"]) for event in flushed] == [("final", len(BEFORE))]
    assert flushed[0].data["through"] == pytest.approx(len(BEFORE) / SECOND, abs=1e-3)
    assert words_of(events) == ["w1", "w2", "w3", "w4", "w5"]
