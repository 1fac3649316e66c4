"""One session in memory: its bytes, marks, events and lease. Nothing here waits but :class:`Signal`."""

import asyncio
import math
import time
from bisect import bisect_right
from collections.abc import Sequence

from server.errors import BacklogFull, LeaseLost, OffsetMismatch, SessionEnded
from server.models import EventType, SessionConfig, SessionStatus
from server.session_log.base import (
    HEAD_BYTES,
    MAX_MARKS,
    AudioSlice,
    Checkpoint,
    Lease,
    LoggedEvent,
    NewEvent,
    SessionState,
)


class Signal:
    """Calls wait for a change, each until a deadline of its own. A future and a timer cost less than a task."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[bool]] = set()

    def fire(self) -> None:
        """Let every waiting call look again. It waits anew if it has to, so it misses no later change."""
        for waiter in self._waiting:
            _settle(waiter, True)
        self._waiting = set()

    async def wait(self, deadline: float) -> bool:
        """Whether a change comes before ``deadline``, a time of the event loop, which may be infinite."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        waiting = self._waiting
        waiting.add(waiter)
        timer = loop.call_at(deadline, _settle, waiter, False) if deadline < math.inf else None
        try:
            return await waiter
        finally:
            if timer is not None:
                timer.cancel()
            waiting.discard(waiter)


def _settle(waiter: "asyncio.Future[bool]", changed: bool) -> None:
    if not waiter.done():
        waiter.set_result(changed)


class MemorySession:
    """Whoever changes something fires the signal of that change: ``receiving``, ``taking`` or ``publishing``."""

    __slots__ = (
        "active_at",
        "audio",
        "changes",
        "checkpoint",
        "claimable_at",
        "config",
        "created",
        "created_at",
        "end_offset",
        "ended_at",
        "events",
        "fence",
        "flushed",
        "head",
        "last_event_id",
        "marks",
        "max_backlog_bytes",
        "owner",
        "readers",
        "reason",
        "recognized_seconds",
        "session_id",
        "status",
        "taken",
    )

    def __init__(self, session_id: str, config: SessionConfig, engine: str, max_backlog_bytes: int, now: float) -> None:
        self.session_id = session_id
        self.config = config
        self.max_backlog_bytes = max_backlog_bytes
        self.status: SessionStatus = "open"
        self.reason: str | None = None
        self.created = time.time()
        self.created_at = now
        self.active_at = now
        self.ended_at: float | None = None
        self.readers = 0

        self.audio = bytearray()  # the upload from checkpoint.offset on; cheap to cut at the front
        self.end_offset = 0
        self.taken = 0
        self.head = b""
        self.recognized_seconds = 0.0
        self.checkpoint = Checkpoint(engine=engine)
        self.marks: list[int] = []
        self.flushed = -1

        self.events: list[LoggedEvent] = []
        self.last_event_id = 0

        self.owner: str | None = None
        self.fence = 0
        self.claimable_at = now
        self.changes = {"receiving": Signal(), "taking": Signal(), "publishing": Signal()}

    def wake_all(self) -> None:
        for change in self.changes.values():
            change.fire()

    def state(self) -> SessionState:
        return SessionState(
            self.session_id,
            self.status,
            self.reason,
            self.config,
            self.created,
            self.end_offset,
            self.taken,
            self.recognized_seconds,
            self.checkpoint,
            self.last_event_id,
            self.head,
        )

    # --- audio ------------------------------------------------------------------------------------------------------

    def append_audio(self, data: bytes, offset: int | None) -> None:
        if offset is not None and offset > self.end_offset:
            raise OffsetMismatch(self.end_offset, offset)
        new = data if offset is None or offset == self.end_offset else data[self.end_offset - offset :]
        if not new:  # a repeat whose answer was lost: those bytes are stored, whatever happened since
            return
        self._check_open()
        backlog = self.end_offset - self.taken
        if backlog and backlog + len(new) > self.max_backlog_bytes:
            raise BacklogFull(self.end_offset)
        self.audio += new
        self.end_offset += len(new)
        if len(self.head) < HEAD_BYTES:
            self.head += new[: HEAD_BYTES - len(self.head)]
        self.changes["receiving"].fire()

    def mark_flush(self) -> int:
        self._check_open()
        if self.end_offset > max([self.flushed, *self.marks[-1:]]):
            if len(self.marks) >= MAX_MARKS:
                raise BacklogFull(self.end_offset)
            self.marks.append(self.end_offset)
            self.changes["receiving"].fire()
        return self.end_offset

    def has_room(self) -> bool:
        return self.status != "open" or (self.end_offset - self.taken) * 2 <= self.max_backlog_bytes

    def finish_audio(self, reason: str) -> None:
        if self.status == "open":
            self.status, self.reason = "finishing", reason
            self.wake_all()

    def _check_open(self) -> None:
        if self.status != "open":
            raise SessionEnded("The session takes no more audio.")

    # --- recognition ------------------------------------------------------------------------------------------------

    def lease_to(self, owner: str, until: float) -> Lease:
        self.owner = owner
        self.fence += 1
        self.claimable_at = until
        self.taken = self.checkpoint.offset  # the new owner reads again from there
        self.wake_all()
        return Lease(self.session_id, owner, self.fence, self.checkpoint.engine)

    def release(self, now: float) -> None:
        self.owner = None
        self.claimable_at = now
        self.wake_all()

    def check(self, lease: Lease) -> None:
        if (lease.owner, lease.fence) != (self.owner, self.fence):
            raise LeaseLost("another process recognises this session now")

    def take(self, offset: int, recognized_seconds: float) -> None:
        self._check_kept(offset)
        self.recognized_seconds = recognized_seconds
        if offset != self.taken:
            self.taken = offset
            self.changes["taking"].fire()

    def audio_from(self, offset: int, limit: int, flushed: int) -> AudioSlice | None:
        """``None`` as long as nothing can be said about what comes behind ``offset``."""
        self._check_kept(offset)
        mark = next((each for each in self.marks if each > flushed), None)
        if mark is not None:
            limit = min(limit, max(0, mark - offset))
        start = offset - self.checkpoint.offset
        data = bytes(self.audio[start : start + limit])
        if mark is not None and offset + len(data) < mark:
            mark = None
        ends = self.status == "finishing" and offset + len(data) == self.end_offset and mark is None
        finished = self.status == "ended" or ends
        return AudioSlice(offset, data, finished, mark) if data or finished or mark is not None else None

    def _check_kept(self, offset: int) -> None:
        if not self.checkpoint.offset <= offset <= self.end_offset:
            raise ValueError(f"byte {offset} is outside of the kept {self.checkpoint.offset} to {self.end_offset}")

    # --- events -----------------------------------------------------------------------------------------------------

    def events_after(self, after: int) -> list[LoggedEvent]:
        if after >= self.last_event_id:
            return []
        return self.events[bisect_right(self.events, after, key=lambda event: event.id) :]

    def append_events(self, events: Sequence[NewEvent], checkpoint: Checkpoint | None, flushed: int | None) -> None:
        if self.status == "ended":
            raise SessionEnded("The session has ended.")
        if checkpoint:
            self._check_kept(checkpoint.offset)
        for event in events:
            self._append_event(event)
        if flushed is not None:
            self.flushed = flushed
            self.marks = [mark for mark in self.marks if mark > flushed]
        if checkpoint:
            self._move_checkpoint(checkpoint)
        if events:
            self.changes["publishing"].fire()

    def end(self, reason: str, now: float) -> None:
        self.status, self.reason, self.ended_at = "ended", reason, now
        self.audio = bytearray()
        self.wake_all()

    def _append_event(self, event: NewEvent) -> None:
        """Append an event and drop the interim that it supersedes: a reader of that one reads on to this one."""
        if event.type in (EventType.TOKEN, EventType.FINAL):
            self._drop_interim()
        self.last_event_id += 1
        self.events.append(LoggedEvent(self.last_event_id, event.type, event.body, event.timestamp))

    def _drop_interim(self) -> None:
        for index in range(len(self.events) - 1, -1, -1):
            if self.events[index].type is EventType.TOKEN:
                del self.events[index]
                return
            if self.events[index].type is EventType.FINAL:
                return

    def _move_checkpoint(self, checkpoint: Checkpoint) -> None:
        del self.audio[: checkpoint.offset - self.checkpoint.offset]
        self.checkpoint = checkpoint
        self.recognized_seconds = max(self.recognized_seconds, checkpoint.seconds)
        if checkpoint.offset > self.taken:
            self.taken = checkpoint.offset
            self.changes["taking"].fire()
