"""The session log of a single process: everything in memory, gone with the process.

Nothing is awaited between a check and the change that depends on it, so every method is atomic without a lock.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

from server.errors import SessionNotFound
from server.models import SessionConfig
from server.session_log.base import AudioSlice, Checkpoint, Lease, LoggedEvent, NewEvent, Room, SessionState
from server.session_log.memory_session import MemorySession, Signal
from server.settings import Settings

T = TypeVar("T")


class MemorySessionLog:
    """See :class:`~server.session_log.base.SessionLog`.

    ``clock`` gives the seconds that leases, idleness and ages are measured in. How long a call waits is measured by
    the event loop. A lease that is not renewed for ``lease_seconds`` may be claimed by another owner.
    """

    durable = False
    shared = False

    def __init__(self, clock: Callable[[], float] = time.monotonic, lease_seconds: float = 5.0) -> None:
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._sessions: dict[str, MemorySession] = {}
        self._open: dict[str, MemorySession] = {}
        self._claimable = Signal()
        self._closed = False

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(lease_seconds=settings.lease_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed = True
        self._claimable.fire()
        for session in self._sessions.values():
            session.wake_all()

    # --- sessions ---------------------------------------------------------------------------------------------------

    async def create(self, session_id: str, config: SessionConfig, room: Room, max_backlog_bytes: int) -> str:
        if session_id in self._sessions:
            raise ValueError("the session exists already")
        engine = room.engine_beside(await self.open_by_engine())
        session = MemorySession(session_id, config, engine, max_backlog_bytes, self._clock())
        self._sessions[session_id] = self._open[session_id] = session
        self._claimable.fire()
        return engine

    async def open_by_engine(self) -> Mapping[str, int]:
        return Counter(session.checkpoint.engine for session in self._open.values())

    async def state(self, session_id: str) -> SessionState:
        return self._find(session_id).state()

    async def finish_audio(self, session_id: str, reason: str) -> None:
        self._find(session_id).finish_audio(reason)

    async def sweep(self, idle_seconds: float, age_seconds: float, retention_seconds: float) -> None:
        now = self._clock()
        for session in list(self._sessions.values()):
            if session.ended_at is not None:
                if now - session.ended_at >= retention_seconds:
                    self._forget(session)
            elif not session.readers and now - session.active_at >= idle_seconds:
                session.finish_audio("idle_timeout")
            elif now - session.created_at >= age_seconds:
                session.finish_audio("max_duration")

    async def purge(self, session_id: str) -> None:
        self._forget(self._find(session_id))

    # --- the HTTP half ----------------------------------------------------------------------------------------------

    async def append_audio(self, session_id: str, data: bytes, offset: int | None = None) -> SessionState:
        session = self._find(session_id)
        session.active_at = self._clock()
        session.append_audio(data, offset)
        return session.state()

    async def mark_flush(self, session_id: str) -> int:
        session = self._find(session_id)
        session.active_at = self._clock()
        return session.mark_flush()

    async def wait_for_room(self, session_id: str, wait: float) -> bool:
        def ready(session: MemorySession) -> bool | None:
            return session.has_room() or None

        return await self._wait_until(session_id, "taking", ready, wait) is not None

    async def read_events(self, session_id: str, after: int, wait: float) -> list[LoggedEvent]:
        session = self._find(session_id)
        session.readers += 1
        try:
            return (
                await self._wait_until(session_id, "publishing", lambda it: it.events_after(after) or None, wait) or []
            )
        finally:
            session.readers -= 1
            session.active_at = self._clock()

    # --- the recognition half ---------------------------------------------------------------------------------------

    async def claim(self, owner: str, engines: Collection[str], wait: float) -> Lease | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            now, wake_at = self._clock(), deadline
            fitting = (session for session in self._open.values() if session.checkpoint.engine in engines)
            if session := min(fitting, key=lambda session: session.claimable_at, default=None):
                if session.claimable_at <= now:
                    return session.lease_to(owner, until=now + self._lease_seconds)
                wake_at = min(deadline, loop.time() + session.claimable_at - now)
            if self._closed or (not await self._claimable.wait(wake_at) and loop.time() >= deadline):
                return None

    async def renew(self, lease: Lease) -> None:
        self._find_leased(lease).claimable_at = self._clock() + self._lease_seconds

    async def release(self, lease: Lease) -> None:
        self._find_leased(lease).release(self._clock())
        self._claimable.fire()

    async def read_audio(
        self, lease: Lease, offset: int, recognized_seconds: float, limit: int, wait: float, flushed: int = -1
    ) -> AudioSlice:
        self._find_leased(lease).take(offset, recognized_seconds)

        def ready(session: MemorySession) -> AudioSlice | None:
            session.check(lease)
            return session.audio_from(offset, limit, flushed)

        return await self._wait_until(lease.session_id, "receiving", ready, wait) or AudioSlice(offset, b"")

    async def append_events(
        self,
        lease: Lease,
        events: Sequence[NewEvent],
        *,
        checkpoint: Checkpoint | None = None,
        flushed: int | None = None,
        end_reason: str | None = None,
    ) -> int:
        session = self._find_leased(lease)
        session.append_events(events, checkpoint, flushed)
        if end_reason is not None:
            session.end(end_reason, self._clock())
            self._open.pop(session.session_id, None)
        return session.last_event_id

    # --- inside -----------------------------------------------------------------------------------------------------

    def _find(self, session_id: str) -> MemorySession:
        try:
            return self._sessions[session_id]
        except KeyError:
            raise SessionNotFound(session_id) from None

    def _find_leased(self, lease: Lease) -> MemorySession:
        session = self._find(lease.session_id)
        session.check(lease)
        return session

    def _forget(self, session: MemorySession) -> None:
        del self._sessions[session.session_id]
        self._open.pop(session.session_id, None)
        session.wake_all()

    async def _wait_until(
        self, session_id: str, change: str, ready: Callable[[MemorySession], T | None], wait: float
    ) -> T | None:
        """What ``ready`` returns, tried again after every such ``change`` of the session until it is not ``None``."""
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            session = self._find(session_id)
            if (answer := ready(session)) is not None:
                return answer
            if self._closed or wait <= 0 or not await session.changes[change].wait(deadline):
                return None
