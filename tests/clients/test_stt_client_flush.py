"""The SDK asks for the final of what was sent, while the session goes on."""

import asyncio

import pytest

from stt_client import RequestRefused, ServerUnavailable, STTClient
from tests.support.fake_engine import silence, speech
from tests.support.scripted_server import QUICK, ScriptedServer, problem, scripted_fixture, serving, url_fixture  # noqa: F401

SENTENCE = speech((1, 2), seconds=0.1)
HALF = speech((1, 2, 3), seconds=0.1)[:1600]  # two words without the end of their utterance


async def test_a_flush_returns_the_final_of_what_was_sent_and_the_session_goes_on(
    scripted: ScriptedServer, url: str
) -> None:
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(HALF)
        assert await session.flush() == "1 2"
        await session.send(SENTENCE)
        transcript = await session.finish()
        finals = [event async for event in session.events() if event.event_type == "final"]
    assert [segment.text for segment in transcript.segments] == ["1 2", "1 2"]
    assert [event.data.get("flushed") for event in finals] == [len(HALF), None]
    assert scripted.newest.audio == HALF + SENTENCE


async def test_a_flush_where_nothing_was_said_returns_nothing(scripted: ScriptedServer, url: str) -> None:
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(SENTENCE)
        assert await session.flush() is None
        assert await session.flush() is None  # the same mark, answered once


async def test_a_flush_of_a_session_that_was_just_opened_returns_nothing(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(url, retry=QUICK) as client:
        assert await (await client.create_session()).flush() is None


async def test_a_flush_of_a_lost_session_is_answered_by_the_new_one(scripted: ScriptedServer, url: str) -> None:
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(SENTENCE + HALF)
        await session.confirmed()
        async for event in session.events():
            if event.event_type == "final":
                break
        scripted.lose_sessions()
        assert await session.flush() == "1 2"
        assert (await session.finish()).text == "1 2 1 2"


async def test_a_server_that_never_answers_a_flush_is_not_waited_for_for_ever() -> None:
    class Mute(ScriptedServer):
        async def publish(self, session_id: str, event_type: str, data: dict[str, object]) -> None:
            return

    async with serving(Mute()) as mute, STTClient(mute, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(silence(0.1))
        with pytest.raises(ServerUnavailable, match="within 0.05 s"):
            await session.flush(0.05)


async def test_a_flush_that_is_refused_raises_and_the_session_goes_on(scripted: ScriptedServer, url: str) -> None:
    class Old(ScriptedServer):
        async def flush(self, request: object) -> object:  # type: ignore[override]
            return problem(404, "not_found")

    old = Old()
    old.listens = True
    async with serving(old) as old_url, STTClient(old_url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(SENTENCE)
        with pytest.raises(RequestRefused, match="not_found"):
            await session.flush()
        assert (await session.finish()).text == "1 2"


async def test_flushes_of_several_tasks_are_all_answered(scripted: ScriptedServer, url: str) -> None:
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(HALF)
        assert set(await asyncio.gather(session.flush(), session.flush(), session.flush())) == {"1 2"}
