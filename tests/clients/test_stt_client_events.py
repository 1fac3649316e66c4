"""The SDK: events on their way down, whatever cuts the stream."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stt_client import Event, Session, STTClient
from tests.support.scripted_server import (  # noqa: F401
    QUICK,
    ScriptedServer,
    final,
    frame,
    scripted_fixture,
    serving,
    serving_between_runs,
    url_fixture,
    wire_event,
)

STREAM_FAULTS = ("end", "abort", "half a frame", "repeat", "503")


async def all_events(session: Session, after: int = 0) -> list[Event]:
    return [event async for event in session.events(after)]


async def test_events_come_live_in_order_and_end_with_the_session(scripted: ScriptedServer, url: str) -> None:
    scripted.first_words = [("speech_start", {"start": 0.1}), ("token", {"text": "안녕"})]
    scripted.last_words = [final("안녕하세요")]
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        async with aclosing(session.events()) as events:
            await session.send(b"pcm")
            assert (await anext(events)).event_type == "speech_start"
            live = await anext(events)
            assert live == Event("token", {"text": "안녕"}, 1.0, session.session_id, 2)
            await session.finish()
            rest = [(event.event_type, event.id) async for event in events]
    assert rest == [("final", 3), ("session_end", 4)]


def test_whatever_cuts_the_stream_each_event_comes_once_and_in_order() -> None:
    with serving_between_runs() as (scripted, url, runner):

        async def read(faults: list[tuple[str, int]], count: int) -> None:
            async with STTClient(url, retry=QUICK) as client:
                scripted.last_words = [final(str(number)) for number in range(count)]
                session = await client.create_session()
                scripted.stream_faults = deque(faults)
                async with asyncio.TaskGroup() as tasks:
                    reading = tasks.create_task(all_events(session))
                    await session.finish()
            texts = [event.data.get("text") for event in reading.result()]
            assert texts == [str(number) for number in range(count)] + [None]

        @settings(max_examples=40, deadline=None)
        @given(
            st.lists(st.tuples(st.sampled_from(STREAM_FAULTS), st.integers(0, 3)), max_size=6),
            st.integers(0, 8),
        )
        def check(faults: list[tuple[str, int]], count: int) -> None:
            runner.run(read(faults, count))

        check()


async def test_a_stream_that_falls_silent_is_opened_anew(scripted: ScriptedServer, url: str) -> None:
    scripted.first_words = [final("one"), final("two")]
    scripted.stream_faults = deque([("stall", 1)])
    async with STTClient(url, retry=QUICK, stall_seconds=0.2) as client:
        session = await client.create_session()
        await session.send(b"pcm")
        await session.finish()
        events = await all_events(session)
    assert [event.data.get("text") for event in events] == ["one", "two", None]
    assert [request.headers.get("last-event-id") for request in scripted.requests[1:]] == [None, "1"]


async def test_heartbeats_come_only_when_asked_for_and_have_no_id(scripted: ScriptedServer, url: str) -> None:
    scripted.first_words = [final("one")]
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(b"pcm")
        async with aclosing(session.events(heartbeats=True)) as events:
            seen = [await anext(events) for _ in range(4)]
    assert {event.event_type for event in seen} == {"heartbeat", "final"}
    assert all(event.id is None for event in seen if event.event_type == "heartbeat")


async def test_a_session_end_that_was_never_logged_is_told_too(scripted: ScriptedServer, url: str) -> None:
    class Purging(ScriptedServer):
        async def frames(self, *_: Any) -> AsyncGenerator[str, None]:
            yield frame(wire_event("sess_0", *final("one")), 1)
            yield frame(wire_event("sess_0", "session_end", {"reason": "purged"}))

    async with serving(Purging()) as url, STTClient(url, retry=QUICK) as client:
        events = await all_events(await client.create_session())
    assert [(event.event_type, event.data.get("reason")) for event in events] == [
        ("final", None),
        ("session_end", "purged"),
    ]


async def test_a_reader_that_has_seen_the_end_gets_nothing_more(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.finish()
        assert await all_events(session, after=1) == []


async def test_uploads_and_events_go_on_when_the_server_comes_back(scripted: ScriptedServer) -> None:
    scripted.first_words, scripted.last_words = [final("one")], [final("two")]
    async with AsyncExitStack() as first_life:
        url = await first_life.enter_async_context(serving(scripted))
        async with STTClient(url, retry=QUICK) as client:
            session = await client.create_session()
            events = session.events()
            await session.send(b"before ")
            assert (await anext(events)).data["text"] == "one"
            await session.confirmed()
            await first_life.aclose()
            await session.send(b"after")  # nobody is there now
            async with serving(scripted, int(url.rpartition(":")[2])):
                await session.finish()
                rest = [event.data.get("text") async for event in events]
    assert scripted.newest.audio == b"before after"
    assert rest == ["two", None]
