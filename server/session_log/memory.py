"""The session log of a single process: everything in memory, gone with the process.

Nothing is awaited between a check and the change that depends on it, so every method is atomic without a lock.
"""

import asyncio
import copy
import json
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from server.errors import BacklogFull, LeaseLost, OffsetMismatch, SessionEnded, SessionNotFound
from server.models import EventType, SessionStatus
from server.session_log.base import HEAD_BYTES, AudioSlice, Checkpoint, Lease, LoggedEvent, NewEvent, SessionState

T = TypeVar("T")


class MemorySessionLog:
    """See :class:`~server.session_log.base.SessionLog`.

    ``clock`` gives the seconds that leases, idleness and ages are measured in. How long a call waits is measured by
    the event loop. A lease that is not renewed for ``lease_seconds`` may be claimed by another owner.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, lease_seconds: float = 5.0) -> None:
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._sessions: dict[str, _Session] = {}
        self._claimable = asyncio.Event()
        self._closed = False

    async def create(self, session_id: str, config: dict[str, Any], engine: str, max_backlog_bytes: int) -> None:
        if session_id in self._sessions:
            raise ValueError("the session exists already")
        self._sessions[session_id] = _Session(session_id, config, engine, max_backlog_bytes, self._clock())
        self._wake_claims()

    async def state(self, session_id: str) -> SessionState:
        return self._find(session_id).state()

    async def append_audio(self, session_id: str, data: bytes, offset: int | None = None) -> SessionState:
        session = self._find(session_id)
        session.active_at = self._clock()
        session.append_audio(data, offset)
        return session.state()

    async def wait_for_room(self, session_id: str, wait: float) -> bool:
        room = await self._wait_until(session_id, lambda session: session.has_room() or None, wait)
        return room is not None

    async def finish_audio(self, session_id: str, reason: str) -> None:
        self._find(session_id).finish_audio(reason)

    async def read_events(self, session_id: str, after: int, wait: float) -> list[LoggedEvent]:
        session = self._find(session_id)
        session.readers += 1
        try:
            return await self._wait_until(session_id, lambda session: session.events_after(after) or None, wait) or []
        finally:
            session.readers -= 1
            session.active_at = self._clock()

    async def claim(self, owner: str, wait: float) -> Lease | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            now, wake_at = self._clock(), deadline
            unended = (session for session in self._sessions.values() if session.status != "ended")
            if session := min(unended, key=lambda session: session.claimable_at, default=None):
                if session.claimable_at <= now:
                    return session.lease_to(owner, until=now + self._lease_seconds)
                wake_at = min(deadline, loop.time() + session.claimable_at - now)
            if self._closed or (not await _is_set_by(self._claimable, wake_at) and loop.time() >= deadline):
                return None

    async def renew(self, lease: Lease) -> None:
        self._find_leased(lease).claimable_at = self._clock() + self._lease_seconds

    async def release(self, lease: Lease) -> None:
        session = self._find_leased(lease)
        session.owner = None
        session.claimable_at = self._clock()
        session.wake()
        self._wake_claims()

    async def read_audio(
        self, lease: Lease, after: int, recognized_seconds: float, limit: int, wait: float
    ) -> AudioSlice:
        self._find_leased(lease).take(after, recognized_seconds)

        def ready(session: _Session) -> AudioSlice | None:
            session.check(lease)
            return session.audio_after(after, limit)

        return await self._wait_until(lease.session_id, ready, wait) or AudioSlice(after, b"", finished=False)

    async def append_events(
        self, lease: Lease, events: Sequence[NewEvent], checkpoint: Checkpoint | None = None
    ) -> int:
        session = self._find_leased(lease)
        session.append_events(events, checkpoint, now=self._clock())
        return session.last_event_id

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

    async def open_sessions(self) -> list[str]:
        return [session.session_id for session in self._sessions.values() if session.status != "ended"]

    async def purge(self, session_id: str) -> None:
        self._forget(self._find(session_id))

    async def aclose(self) -> None:
        self._closed = True
        self._wake_claims()
        for session in self._sessions.values():
            session.wake()

    def _find(self, session_id: str) -> "_Session":
        try:
            return self._sessions[session_id]
        except KeyError:
            raise SessionNotFound(session_id) from None

    def _find_leased(self, lease: Lease) -> "_Session":
        session = self._find(lease.session_id)
        session.check(lease)
        return session

    def _forget(self, session: "_Session") -> None:
        del self._sessions[session.session_id]
        session.wake()

    def _wake_claims(self) -> None:
        self._claimable.set()
        self._claimable = asyncio.Event()

    async def _wait_until(self, session_id: str, ready: Callable[["_Session"], T | None], wait: float) -> T | None:
        """What ``ready`` returns, tried again after every change of the session until it is not ``None``."""
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            session = self._find(session_id)
            if (answer := ready(session)) is not None:
                return answer
            if self._closed or not await _is_set_by(session.changed, deadline):
                return None


class _Session:
    """One session's bytes, events and lease. Nothing here waits; whoever changes something calls :meth:`wake`."""

    def __init__(
        self, session_id: str, config: dict[str, Any], engine: str, max_backlog_bytes: int, now: float
    ) -> None:
        self.session_id = session_id
        self.config = copy.deepcopy(config)
        self.max_backlog_bytes = max_backlog_bytes
        self.status: SessionStatus = "open"
        self.reason: str | None = None
        self.created = time.time()
        self.created_at = now
        self.active_at = now
        self.ended_at: float | None = None
        self.readers = 0

        self.audio = bytearray()  # of the upload from checkpoint.offset on; cheap to cut at the front
        self.end = 0
        self.taken = 0
        self.head = b""
        self.recognized_seconds = 0.0
        self.checkpoint = Checkpoint(engine=engine)

        self.events: list[LoggedEvent] = []
        self.last_event_id = 0

        self.owner: str | None = None
        self.fence = 0
        self.claimable_at = now
        self.changed = asyncio.Event()

    def wake(self) -> None:
        """Let every waiting call look again. They wait on the event they found, so none misses the next change."""
        self.changed.set()
        self.changed = asyncio.Event()

    def state(self) -> SessionState:
        return SessionState(
            session_id=self.session_id,
            status=self.status,
            reason=self.reason,
            config=copy.deepcopy(self.config),
            created=self.created,
            offset=self.end,
            taken=self.taken,
            recognized_seconds=self.recognized_seconds,
            checkpoint=self.checkpoint,
            last_event_id=self.last_event_id,
            head=self.head,
        )

    def append_audio(self, data: bytes, offset: int | None) -> None:
        if offset is not None and offset > self.end:
            raise OffsetMismatch(self.end, offset)
        new = data if offset is None else data[self.end - offset :]
        if not new:  # a repeat whose answer was lost: those bytes are stored, whatever happened since
            return
        if self.status != "open":
            raise SessionEnded("The session takes no more audio.")
        backlog = self.end - self.taken
        if backlog and backlog + len(new) > self.max_backlog_bytes:
            raise BacklogFull(self.end)
        self.audio += new
        self.end += len(new)
        if len(self.head) < HEAD_BYTES:
            self.head += new[: HEAD_BYTES - len(self.head)]
        self.wake()

    def has_room(self) -> bool:
        return self.status != "open" or (self.end - self.taken) * 2 <= self.max_backlog_bytes

    def finish_audio(self, reason: str) -> None:
        if self.status == "open":
            self.status, self.reason = "finishing", reason
            self.wake()

    def lease_to(self, owner: str, until: float) -> Lease:
        self.owner = owner
        self.fence += 1
        self.claimable_at = until
        self.taken = self.checkpoint.offset  # the new owner reads again from there
        self.wake()
        return Lease(self.session_id, owner, self.fence)

    def check(self, lease: Lease) -> None:
        if (lease.owner, lease.fence) != (self.owner, self.fence):
            raise LeaseLost("another process recognises this session now")

    def check_kept(self, offset: int) -> None:
        if not self.checkpoint.offset <= offset <= self.end:
            raise ValueError(f"byte {offset} is outside of the kept {self.checkpoint.offset} to {self.end}")

    def take(self, after: int, recognized_seconds: float) -> None:
        self.check_kept(after)
        self.recognized_seconds = recognized_seconds
        if after != self.taken:
            self.taken = after
            self.wake()

    def audio_after(self, after: int, limit: int) -> AudioSlice | None:
        """``None`` as long as nothing can be said about what comes after."""
        self.check_kept(after)
        start = after - self.checkpoint.offset
        pcm = bytes(self.audio[start : start + limit])
        finished = self.status == "ended" or (self.status == "finishing" and after + len(pcm) == self.end)
        return AudioSlice(after, pcm, finished) if pcm or finished else None

    def events_after(self, after: int) -> list[LoggedEvent]:
        return self.events[bisect_right(self.events, after, key=lambda event: event.id) :]

    def append_events(self, events: Sequence[NewEvent], checkpoint: Checkpoint | None, now: float) -> None:
        if self.status == "ended":
            raise SessionEnded("The session has ended.")
        if checkpoint:
            self.check_kept(checkpoint.offset)
        endings = [_reason(event) for event in events if event.type is EventType.SESSION_END]
        for event in events:
            self._append_event(event)
        if checkpoint:
            self._move_checkpoint(checkpoint)
        if endings:
            self.status, self.ended_at = "ended", now
            self.reason = endings[0] or self.reason
            self.audio = bytearray()
        self.wake()

    def _append_event(self, event: NewEvent) -> None:
        """Whoever reads an interim's successor reads on to it, so the interim itself need not stay."""
        if event.type in (EventType.TOKEN, EventType.FINAL):
            self._drop_interim()
        self.last_event_id += 1
        self.events.append(LoggedEvent(self.last_event_id, event.type, event.payload))

    def _drop_interim(self) -> None:
        for index in reversed(range(len(self.events))):
            if self.events[index].type is EventType.TOKEN:
                del self.events[index]
                return
            if self.events[index].type is EventType.FINAL:
                return

    def _move_checkpoint(self, checkpoint: Checkpoint) -> None:
        del self.audio[: checkpoint.offset - self.checkpoint.offset]
        self.checkpoint = checkpoint
        self.taken = max(self.taken, checkpoint.offset)
        self.recognized_seconds = max(self.recognized_seconds, checkpoint.seconds)


def _reason(event: NewEvent) -> str | None:
    reason = json.loads(event.payload)["data"].get("reason")
    return None if reason is None else str(reason)


async def _is_set_by(event: asyncio.Event, deadline: float) -> bool:
    """Whether ``event`` is set before ``deadline``, a time of the event loop."""
    try:
        async with asyncio.timeout_at(deadline):
            await event.wait()
    except TimeoutError:
        return False
    return True
