"""A real server whose Deepgram is the peer, and what its client hears of a session."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from server.engines.base import Engine
from server.engines.deepgram.settings import DeepgramSettings
from tests.support.deepgram_engine import CodedEngine, seconds_of, warm_engine
from tests.support.deepgram_peer import KEY, DeepgramPeer
from tests.support.deepgram_speech import coded_speech
from tests.support.engine_settings import deepgram_engine, split
from tests.support.servers import run_server
from tests.support.wire import Event, connect, finals, finish, open_session, read_to_end, upload

SENTENCES = [list(range(first, first + 1 + first % 4)) for first in range(10, 110, 10)]
SPEECH = coded_speech(*SENTENCES)
SPOKEN: dict[str, Any] = {"deepgram_max_speed": 3.0, "deepgram_silence_seconds": 4.0}
"""As fast as the embedded engine can hear."""
PERIOD = 5.4
"""Seconds from one beginning of the real sentence to the next."""
LIMITS = {"deepgram_connect_seconds": 0.5, "deepgram_silence_seconds": 0.5, "deepgram_finish_seconds": 5.0}


def with_pauses(sentence: bytes, times: int, pause: float | None = None) -> bytes:
    """The sentence again and again; without ``pause`` it begins every ``PERIOD`` seconds."""
    seconds = PERIOD - seconds_of(sentence) if pause is None else pause
    return (sentence + bytes(round(seconds * 16_000) * 2)) * times


@pytest.fixture(name="embedded_engine")
def embedded_engine_fixture() -> Engine:
    return warm_engine()


@asynccontextmanager
async def serving(
    peer: DeepgramPeer, engines: Mapping[str, Engine] | None = None, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A server whose Deepgram is ``peer``; beside it the ``engines``, by default one that hears coded speech."""
    values = {
        "deepgram_api_key": KEY,
        "deepgram_base_url": peer.url,
        "deepgram_max_speed": 20,
        "deepgram_probe": False,
        **LIMITS,
        **settings,
    }
    chain: dict[str, Engine] = {
        "deepgram": deepgram_engine(**values),
        **(engines or {"local": CodedEngine()}),
    }
    running = run_server(chain, split(DeepgramSettings, values)[1])
    url = await asyncio.to_thread(running.__enter__)  # the peer lives on this event loop
    try:
        async with connect(url) as http:
            yield http
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def play(http: httpx.AsyncClient, pcm: bytes, **config: Any) -> list[Event]:
    """A whole session; its events as they came."""
    session_id = await open_session(http, **config)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read_to_end(http, session_id))
        await upload(http, session_id, pcm)
        await finish(http, session_id)
    return reading.result()


def words_of(events: Sequence[Event]) -> list[str]:
    return " ".join(finals(list(events))).split()


def codes(events: Sequence[Event]) -> list[str]:
    return [event.data["code"] for event in events if event.type == "error"]


def assert_times_are_monotone(events: Sequence[Event]) -> None:
    now = 0.0
    for event in events:
        if event.type == "final":
            for word in event.data["words"]:
                assert now <= word["start"] <= word["end"]
                now = word["end"]
            assert event.data["start"] <= now <= event.data["end"]
