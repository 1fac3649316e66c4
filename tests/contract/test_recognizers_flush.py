"""What every recognizer promises of a flush, and of what holds after a failure."""

import asyncio
from itertools import pairwise

import pytest

from server.engines.base import BYTES_PER_SECOND
from server.errors import EngineError
from server.models import Final
from tests.support.recognizers import STEP_BYTES, Heard, Kind, hear, send


def seconds(pcm: bytes) -> float:
    return len(pcm) / BYTES_PER_SECOND


def half_of(sentence: bytes) -> bytes:
    return sentence[: len(sentence) // 4 * 2]


async def test_a_flush_in_mid_speech_is_answered_by_one_final_with_its_words(kind: Kind) -> None:
    sentence = kind.sentences[0]
    head = half_of(sentence)
    heard = await hear(kind, head, sentence[len(head) :], start=50.0, flush=True)
    first, second = heard.answers
    assert first.text
    assert first.through == pytest.approx(50.0 + seconds(head), abs=1e-6)
    assert second.through == pytest.approx(50.0 + seconds(sentence), abs=1e-6)
    assert heard.ended and not heard.errors
    through = [each.through for each in heard.finals]
    assert all(before <= after for before, after in pairwise(through))


async def test_what_was_said_before_a_flush_is_told_before_its_answer_and_what_follows_after_it(kind: Kind) -> None:
    heard = await hear(kind, *kind.sentences, flush=True)
    lengths = [seconds(sentence) for sentence in kind.sentences]
    assert [each.through for each in heard.answers] == [
        pytest.approx(sum(lengths[: n + 1]), abs=1e-6) for n in range(len(lengths))
    ]
    mark = heard.finals.index(heard.answers[0])
    assert len([each for each in heard.finals[: mark + 1] if each.text]) == 1
    assert all(each.start >= heard.answers[0].through - 1e-6 for each in heard.finals[mark + 1 :])


async def test_a_text_with_a_flush_in_a_pause_is_the_text_of_its_parts(kind: Kind) -> None:
    parts = [text for sentence in kind.sentences for text in (await hear(kind, sentence)).texts]
    assert (await hear(kind, *kind.sentences, flush=True)).texts == parts


async def test_where_nothing_was_said_a_flush_is_answered_without_text(kind: Kind) -> None:
    heard = await hear(kind, bytes(BYTES_PER_SECOND // 2), kind.sentences[0], start=3.0, flush=True)
    first, _ = heard.answers
    assert not first.text
    assert first.through == pytest.approx(3.5, abs=1e-6)
    assert len(heard.texts) == 1


async def test_a_flush_before_any_audio_is_answered_at_once(kind: Kind) -> None:
    heard = await hear(kind, b"", kind.sentences[0], start=3.0, flush=True)
    assert (heard.answers[0].text, heard.answers[0].through) == ("", 3.0)
    assert len(heard.texts) == 1


async def test_each_of_two_flushes_is_answered(kind: Kind) -> None:
    head = half_of(kind.sentences[0])
    heard = await hear(kind, head, b"", flush=True)
    first, second = heard.answers
    assert first.text and not second.text
    assert first.through == second.through == pytest.approx(seconds(head), abs=1e-6)


async def test_flushes_asked_before_any_is_answered_come_in_order(kind: Kind) -> None:
    heard = Heard()
    pieces = [half_of(kind.sentences[0]), kind.sentences[0], kind.sentences[1]]
    async with kind.open() as recognizer, asyncio.TaskGroup() as tasks:

        async def feed() -> None:
            for piece in pieces:
                await recognizer.send_audio(piece)
                await recognizer.flush()
            await recognizer.finish()

        feeding = tasks.create_task(feed())
        await asyncio.wait([feeding], timeout=0.5)  # it may have to wait for a reader
        await heard.listen(recognizer)
    marks = [sum(map(seconds, pieces[: n + 1])) for n in range(len(pieces))]
    assert [each.through for each in heard.answers] == [pytest.approx(mark, abs=1e-6) for mark in marks]


async def test_the_stream_ends_after_a_flush_too(kind: Kind) -> None:
    heard = await hear(kind, half_of(kind.sentences[0]), flush=True)
    assert heard.ended and len(heard.answers) == 1


# --- failure --------------------------------------------------------------------------------------------------------


async def test_a_failure_is_raised_once_to_who_reads_after_what_was_settled_and_by_every_call(kind: Kind) -> None:
    heard = Heard()
    async with kind.open() as recognizer, asyncio.TaskGroup() as tasks, asyncio.timeout(30):
        reading = tasks.create_task(heard.listen(recognizer))
        await send(recognizer, kind.sentences[0])
        await heard.until(lambda: heard.texts)
        kind.fail(recognizer)
        with pytest.raises(EngineError):
            while True:
                await recognizer.send_audio(bytes(STEP_BYTES))
        await reading
        for call in (recognizer.send_audio(bytes(STEP_BYTES)), recognizer.flush(), recognizer.finish()):
            with pytest.raises(EngineError):
                await call
    assert len(heard.errors) == 1
    assert len(heard.texts) == 1
    assert not heard.ended


async def test_a_failure_is_raised_by_a_flush_and_never_answered(kind: Kind) -> None:
    heard = Heard()
    async with kind.open() as recognizer, asyncio.TaskGroup() as tasks, asyncio.timeout(30):
        reading = tasks.create_task(heard.listen(recognizer))
        await send(recognizer, half_of(kind.sentences[0]))
        await heard.until(lambda: heard.recognitions)
        kind.fail(recognizer)
        with pytest.raises(EngineError):
            while True:
                await recognizer.send_audio(bytes(STEP_BYTES))
        with pytest.raises(EngineError):
            await recognizer.flush()
        await reading
    assert heard.answers == []
    assert all(isinstance(each, Final) for each in heard.finals)
