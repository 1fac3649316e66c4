"""``POST /sessions/{id}/flush``: what was sent becomes final at once, and the session goes on."""

import httpx
import pytest

from server.errors import EngineError
from server.models import EventType
from tests.support.fake_engine import FakeEngine, Fault, silence, speech
from tests.support.recognition_half import GLITCH, data_of, errors, no_backoff_fixture, running, texts  # noqa: F401
from tests.support.wire import Event, finals, finish, open_session, read_to_end, stream, upload

pytestmark = pytest.mark.timeout(30)

SENTENCE = speech([1, 2, 3])
MIDDLE = 2 * (len(SENTENCE) // 4)
"""Byte in the middle of the sentence, behind its second word."""


async def flush(http: httpx.AsyncClient, session_id: str) -> int:
    answer = await http.post(f"/sessions/{session_id}/flush")
    assert answer.status_code == 202, answer.text
    document = answer.json()
    assert document["session_id"] == session_id
    return int(document["offset"])


async def answer_of(http: httpx.AsyncClient, session_id: str, offset: int) -> Event:
    """The event that answers the flush at this place."""
    async with stream(http, session_id) as events:
        async for event in events:
            if event.data.get("flushed") == offset:
                return event
    raise AssertionError("the stream ended without an answer")


async def test_the_words_so_far_become_final_and_the_rest_is_another_final(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, SENTENCE[:MIDDLE])
    assert await flush(http, session_id) == MIDDLE
    answer = await answer_of(http, session_id, MIDDLE)
    assert (answer.type, answer.data["text"]) == ("final", "말1 말2")
    await upload(http, session_id, SENTENCE[MIDDLE:])
    await finish(http, session_id)
    assert finals(await read_to_end(http, session_id)) == ["말1 말2", "말3"]


async def test_the_clock_goes_on(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, SENTENCE[:MIDDLE])
    await flush(http, session_id)
    await answer_of(http, session_id, MIDDLE)
    await upload(http, session_id, SENTENCE[MIDDLE:])
    transcript = await finish(http, session_id)
    undisturbed = await open_session(http)
    await upload(http, undisturbed, SENTENCE)
    whole = await finish(http, undisturbed)
    words = [word for segment in transcript["segments"] for word in segment["words"]]
    assert words == whole["segments"][0]["words"]
    assert transcript["duration"] == whole["duration"]


@pytest.mark.parametrize("sent", [b"", silence(0.4), SENTENCE], ids=["nothing", "silence", "a whole sentence"])
async def test_where_nothing_is_open_the_end_of_speech_answers(http: httpx.AsyncClient, sent: bytes) -> None:
    session_id = await open_session(http)
    if sent:
        await upload(http, session_id, sent)
    assert await flush(http, session_id) == len(sent)
    answer = await answer_of(http, session_id, len(sent))
    assert answer.type == "speech_end"
    assert answer.data == {"end": len(sent) / 32_000, "through": len(sent) / 32_000, "flushed": len(sent)}


async def test_flushing_twice_at_a_place_is_answered_once(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, SENTENCE[:MIDDLE])
    assert [await flush(http, session_id), await flush(http, session_id)] == [MIDDLE, MIDDLE]
    await answer_of(http, session_id, MIDDLE)
    assert await flush(http, session_id) == MIDDLE
    await finish(http, session_id)
    assert [event.data["flushed"] for event in await read_to_end(http, session_id) if "flushed" in event.data] == [
        MIDDLE
    ]


async def test_a_flush_right_before_the_end_is_answered_too(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, SENTENCE[:MIDDLE])
    await flush(http, session_id)
    transcript = await finish(http, session_id)
    assert transcript["text"] == "말1 말2"
    events = await read_to_end(http, session_id)
    assert [event.data["flushed"] for event in events if "flushed" in event.data] == [MIDDLE]


async def test_a_session_that_is_over_or_unknown_is_not_flushed(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    await finish(http, session_id)
    answer = await http.post(f"/sessions/{session_id}/flush")
    assert (answer.status_code, answer.json()["code"]) == (409, "session_ended")
    answer = await http.post("/sessions/sess_unknown/flush")
    assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")


# --- engines that fail in between -----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["send", "read", "flush", "finish"])
@pytest.mark.parametrize("error", [GLITCH, RuntimeError("a bug"), None], ids=["raises", "has a bug", "hangs"])
async def test_a_failure_changes_neither_the_texts_nor_the_place_that_is_flushed(
    error: Exception | None, where: str
) -> None:
    async with running(Fault(error, at=0.4, where=where)) as half:  # type: ignore[arg-type]
        session_id = await half.open()
        await half.log.append_audio(session_id, SENTENCE[:MIDDLE])
        assert await half.log.mark_flush(session_id) == MIDDLE
        await half.log.append_audio(session_id, SENTENCE[MIDDLE:] + speech([4]))
        await half.log.finish_audio(session_id, "finished")
        events = await half.events(session_id)
    assert texts(events) == ["말1 말2", "말3", "말4"]
    assert [data_of(event)["flushed"] for event in events if "flushed" in data_of(event)] == [MIDDLE]
    assert errors(events) == ["engine_restarted"]


async def test_another_engine_honours_the_mark_at_the_same_sample() -> None:
    first = FakeEngine([Fault(EngineError("The key is wrong.", retryable=False), where="flush")])
    async with running(engines={"first": first, "second": FakeEngine()}) as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, SENTENCE[:MIDDLE])
        await half.log.mark_flush(session_id)
        await half.log.append_audio(session_id, SENTENCE[MIDDLE:])
        await half.log.finish_audio(session_id, "finished")
        events = await half.events(session_id)
    assert texts(events) == ["말1 말2", "말3"]
    final = next(event for event in events if event.type is EventType.FINAL)
    assert (data_of(final)["flushed"], data_of(final)["engine"]) == (MIDDLE, "second")


async def test_a_recognizer_that_takes_a_flush_and_never_answers_is_replaced() -> None:
    async with running(Fault(where="answer")) as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, SENTENCE[:MIDDLE])
        await half.log.mark_flush(session_id)
        (final,) = [event for event in await half.events(session_id, EventType.FINAL) if event.type is EventType.FINAL]
        assert (data_of(final)["text"], data_of(final)["flushed"]) == ("말1 말2", MIDDLE)
