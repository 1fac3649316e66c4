"""Every implementation of the session log, and what its tests say to it: each test runs once for each of ``STORES``."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest

from server.models import EventType, SessionConfig
from server.session_log.base import Checkpoint, Lease, NewEvent, Room, SessionLog
from server.session_log.memory import MemorySessionLog

LEASE_SECONDS = 5.0
LONG = 60.0  # a wait that must be cut short by what it waits for
FOREVER = 1e9
ENGINES = frozenset({"fake"})
ROOM = Room(total=1000, engines={"fake": None})
CONFIG = SessionConfig(language="ko", keywords=["한국어"])


@dataclass(frozen=True)
class Store:
    """One store as two processes see it: what is done through ``log`` is seen through ``other``.

    ``advance`` makes the store's clock run ahead by some seconds; ``settle`` returns once the calls begun before it
    are waiting.
    """

    log: SessionLog
    other: SessionLog
    advance: Callable[[float], None]
    settle: Callable[[], Awaitable[None]]


@asynccontextmanager
async def memory_store(lease_seconds: float = LEASE_SECONDS) -> AsyncIterator[Store]:
    """The same object stands for both processes: this log can only be shared inside one."""
    ahead = 0.0

    def advance(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    async with MemorySessionLog(clock=lambda: time.monotonic() + ahead, lease_seconds=lease_seconds) as log:
        yield Store(log, log, advance, settle=lambda: asyncio.sleep(0))


STORES: dict[str, Callable[..., AbstractAsyncContextManager[Store]]] = {"memory": memory_store}


@pytest.fixture(name="store", params=STORES)
async def store_fixture(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with STORES[request.param]() as opened:
        yield opened


@pytest.fixture(name="log")
async def log_fixture(store: Store) -> SessionLog:
    """A store's log in which session ``s`` is open and may be up to 100 bytes ahead."""
    await create(store.log, "s")
    return store.log


async def create(log: SessionLog, session_id: str, max_backlog_bytes: int = 100) -> None:
    await log.create(session_id, CONFIG, ROOM, max_backlog_bytes)


async def claimed(log: SessionLog, owner: str = "a") -> Lease:
    lease = await log.claim(owner, ENGINES, wait=0)
    assert lease is not None
    return lease


def event(event_type: EventType, **data: object) -> NewEvent:
    return NewEvent(event_type, json.dumps(data).encode(), 1_764_000_000.25)


def token(text: str) -> NewEvent:
    return event(EventType.TOKEN, text=text)


def final(text: str) -> NewEvent:
    return event(EventType.FINAL, text=text)


def end(reason: str = "closed") -> NewEvent:
    return event(EventType.SESSION_END, reason=reason)


SPEECH_END = event(EventType.SPEECH_END, end=1.0)


async def ids(log: SessionLog, after: int = 0) -> list[int]:
    return [logged.id for logged in await log.read_events("s", after, wait=0)]


async def audio(log: SessionLog, lease: Lease, offset: int = 0, limit: int = 1000, wait: float = 0) -> bytes:
    return (await log.read_audio(lease, offset, 0.0, limit, wait)).data


def calls_with(log: SessionLog, lease: Lease) -> list[Awaitable[object]]:
    return [
        log.renew(lease),
        log.read_audio(lease, 0, 9.0, 10, wait=0),
        log.append_events(lease, [final("zombie"), end()], checkpoint=Checkpoint(1, 1.0), end_reason="closed"),
        log.release(lease),
    ]
