"""A recognition half whose engines fail as they are told, and what is read of its sessions."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from server.engines.base import Engine
from server.errors import EngineError
from server.models import EventType, SessionConfig
from server.observe.metrics import Metrics
from server.recognition import session
from server.session_log.base import LoggedEvent, Room
from server.session_log.memory import MemorySessionLog
from server.settings import Settings
from server.stt_service import STTService
from tests.support.fake_engine import FakeEngine, Fault, said, speech
from tests.support.servers import settings_of

SENTENCES = ([1, 2], [3], [4, 5], [6])
PCM = speech(*SENTENCES)
WORDS = said(*SENTENCES)
GLITCH = EngineError("The cloud is away.", retryable=True)
OUTAGE = EngineError("The cloud is away.", retryable=True, outage=True)
REFUSAL = EngineError("The key is wrong.", retryable=False)
LEASE_SECONDS = 5.0
LONG = 60.0


@pytest.fixture(name="no_backoff", autouse=True)
def no_backoff_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "FIRST_BACKOFF_SECONDS", 0.001)


@dataclass
class Half:
    """A running recognition half and the log that it works on, whose clock runs ``ahead`` of the real one."""

    engines: dict[str, FakeEngine]
    settings: Settings
    metrics: Metrics = field(default_factory=Metrics)
    make_log: type[MemorySessionLog] = MemorySessionLog
    ahead: float = 0.0
    sessions: int = 0

    def __post_init__(self) -> None:
        self.log = self.make_log(lambda: time.monotonic() + self.ahead, LEASE_SECONDS)
        self.known: dict[str, Engine] = dict(self.engines)
        """The engines of the service; what is deleted here has vanished."""
        self.service = STTService(self.log, self.known, self.settings, self.metrics)

    async def open(self, **config: Any) -> str:
        """A session that begins with the first engine."""
        self.sessions += 1
        session_id = f"sess_{self.sessions}"
        checked = SessionConfig.model_validate(config)
        engine = next(iter(self.engines)) if checked.engine == "auto" else checked.engine
        room = Room(1000, {engine: None})
        await self.log.create(session_id, checked, room, max_backlog_bytes=10_000_000)
        return session_id

    async def recognise(self, audio: bytes, **config: Any) -> list[LoggedEvent]:
        """All events of a session of ``audio``."""
        session_id = await self.open(**config)
        await self.log.append_audio(session_id, audio)
        await self.log.finish_audio(session_id, "finished")
        return await self.events(session_id)

    async def events(self, session_id: str, until: EventType = EventType.SESSION_END) -> list[LoggedEvent]:
        """The session's events up to the first of a kind."""
        events: list[LoggedEvent] = []
        while not events or events[-1].type is not until:
            after = events[-1].id if events else 0
            events += (await self.log.read_events(session_id, after, LONG))[: 1 if until is EventType.FINAL else None]
        return events


@asynccontextmanager
async def running(
    *faults: Fault,
    engines: dict[str, FakeEngine] | None = None,
    log: type[MemorySessionLog] = MemorySessionLog,
    **settings: Any,
) -> AsyncIterator[Half]:
    """A recognition half with one engine that has the faults, or with ``engines``."""
    defaults = {"engine_timeout_seconds": 0.1, "lease_seconds": LEASE_SECONDS}
    half = Half(engines or {"fake": FakeEngine(list(faults))}, settings_of(**defaults | settings), make_log=log)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(half.service.run())
        yield half
        assert not task.done()
        task.cancel()


def data_of(event: LoggedEvent) -> dict[str, Any]:
    return event.data


def texts(events: list[LoggedEvent]) -> list[str]:
    return [data_of(event)["text"] for event in events if event.type is EventType.FINAL]


def errors(events: list[LoggedEvent]) -> list[str]:
    return [data_of(event)["code"] for event in events if event.type is EventType.ERROR]


def reason(events: list[LoggedEvent]) -> str:
    assert [event.type for event in events].count(EventType.SESSION_END) == 1
    assert events[-1].type is EventType.SESSION_END
    return str(data_of(events[-1])["reason"])
