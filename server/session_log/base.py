"""The port between the HTTP half and the recognition half: one log for each session.

A session has an append-only **audio log** (bytes, addressed by offset), an append-only **event log** (numbered from
1), **marks** in its audio (where a client wants everything before to become final), a **checkpoint** (where
recognition resumes) and a **lease** (who recognises it). Implementations are held to ``tests/contract``.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from server.errors import TooManySessions
from server.models import EventType, SessionConfig, SessionStatus

HEAD_BYTES = 64
"""First bytes of an upload that are kept when the audio is trimmed: they tell its format."""
MAX_MARKS = 100
"""How many marks of a session may be unanswered."""
RETRY_SECONDS = 5
"""How long a client that is refused a session is told to wait."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a recognizer resumes: the end of what the newest final accounts for.

    ``offset`` counts bytes of the upload, ``seconds`` is the same place on the audio clock. ``prelude`` is what a
    fresh decoder must be fed before the bytes at ``offset`` (a container's header). ``engine`` recognises from here.
    In compressed audio ``offset`` is up to ``skip_seconds`` earlier: the decoder drops what comes before ``seconds``.
    """

    offset: int = 0
    seconds: float = 0.0
    prelude: bytes = b""
    engine: str = ""
    skip_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Room:
    """How many sessions may be open, in all and by engine (``None``: no bound). The best engine comes first."""

    total: int
    engines: Mapping[str, int | None]

    def engine_beside(self, open_sessions: Mapping[str, int]) -> str:
        """The first engine that has room beside the open sessions, which are counted by engine.

        Raises:
            TooManySessions: there is none; one session more would make the others late.

        """
        count = sum(open_sessions.values())
        if count >= self.total:
            raise TooManySessions(f"All {count} sessions of this server are taken.", retry_after=RETRY_SECONDS)
        for engine, most in self.engines.items():
            if most is None or open_sessions.get(engine, 0) < most:
                return engine
        best = next(iter(self.engines))
        detail = f"The engine {best} carries {open_sessions.get(best, 0)} sessions and no more."
        raise TooManySessions(detail, retry_after=RETRY_SECONDS)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to recognise one session. ``fence`` grows with every claim, so a late writer can be told apart.

    ``engine`` is the one that the checkpoint named when the session was claimed.
    """

    session_id: str
    owner: str
    fence: int
    engine: str = field(default="", compare=False)


class SessionState(NamedTuple):
    """A snapshot of everything about a session but its bytes and events.

    ``offset`` is the next expected byte of the upload, ``taken`` how far the recognizer has read, ``head`` the first
    bytes of the upload (kept when the audio is trimmed: they tell the format).
    """

    session_id: str
    status: SessionStatus
    reason: str | None
    config: SessionConfig
    created: float
    offset: int
    taken: int
    recognized_seconds: float
    checkpoint: Checkpoint
    last_event_id: int
    head: bytes


class AudioSlice(NamedTuple):
    """Bytes of the upload from ``offset`` on.

    ``mark``: the offset of a mark that is reached with them. ``finished``: nothing comes after them.
    """

    offset: int
    data: bytes
    finished: bool = False
    mark: int | None = None


class NewEvent(NamedTuple):
    """An event to be appended. ``body``: its data as JSON; the log keeps it as it is. ``timestamp``: Unix seconds."""

    type: EventType
    body: bytes
    timestamp: float


class LoggedEvent(NamedTuple):
    """An event as the log has it; ``id`` is its number, 0 for an event that is in no log."""

    id: int
    type: EventType
    body: bytes
    timestamp: float

    @property
    def data(self) -> dict[str, Any]:
        """The body, decoded."""
        return dict(json.loads(self.body))


class SessionLog(AbstractAsyncContextManager["SessionLog"], Protocol):
    """Every method may be called by any process. Unknown or expired session: :class:`SessionNotFound`.

    Within ``async with`` the log is connected; after it, its connections are closed and waiting calls have returned.
    ``durable``: sessions survive the process. ``shared``: several processes may work on it at once. A log that cannot
    be reached raises :class:`LogUnavailable` from any method, with nothing stored; the caller may try again.

    ``after`` is an event's id and means "what comes behind it"; ``offset`` is a place between two bytes of an upload.
    Waiting methods return early when there is something, and an empty answer when there was nothing for ``wait``
    seconds, which may be infinite. Methods that take a lease raise :class:`LeaseLost` when it is not the newest one any
    more.
    """

    durable: bool
    shared: bool

    async def create(self, session_id: str, config: SessionConfig, room: Room, max_backlog_bytes: int) -> str:
        """Open a session if there is room and return its engine; check and creation are one atomic step.

        ``max_backlog_bytes`` bounds the audio ahead of the recognizer. Raises :class:`TooManySessions`.
        """

    async def open_by_engine(self) -> Mapping[str, int]:
        """How many sessions have not ended, by the engine that recognises them; one query."""

    async def state(self, session_id: str) -> SessionState:
        """A snapshot."""

    async def append_audio(self, session_id: str, data: bytes, offset: int | None = None) -> SessionState:
        """Store ``data`` at ``offset`` (``None``: at the end) and return the state after it.

        Bytes that are already there are skipped. All or nothing: raises :class:`OffsetMismatch` past the end,
        :class:`SessionEnded`, :class:`BacklogFull` with nothing stored.
        """

    async def mark_flush(self, session_id: str) -> int:
        """Set a mark at the end of the stored audio and return its offset. A place has one mark, answered once.

        Raises :class:`SessionEnded`, and :class:`BacklogFull` where ``MAX_MARKS`` marks are unanswered.
        """

    async def wait_for_room(self, session_id: str, wait: float) -> bool:
        """Whether the recognizer has taken enough for a piece of half the backlog bound to fit, within ``wait``."""

    async def finish_audio(self, session_id: str, reason: str) -> None:
        """No more audio comes. Idempotent; the first reason stays."""

    async def read_events(self, session_id: str, after: int, wait: float) -> list[LoggedEvent]:
        """Events behind ``after``, in order, interims that a later event supersedes left out.

        Tells every process's :meth:`sweep` that somebody reads this session now.
        """

    async def claim(self, owner: str, engines: Collection[str], wait: float) -> Lease | None:
        """Take over a session that nobody recognises and whose checkpoint names one of ``engines``.

        ``None`` when there was none for ``wait`` seconds. If the call is cancelled, a lease that it may have taken
        runs out by itself.
        """

    async def renew(self, lease: Lease) -> None:
        """Keep the lease for another term."""

    async def release(self, lease: Lease) -> None:
        """Give the session up: another process may claim it at once."""

    async def read_audio(
        self, lease: Lease, offset: int, recognized_seconds: float, limit: int, wait: float, flushed: int = -1
    ) -> AudioSlice:
        """Up to ``limit`` bytes from ``offset`` on, not beyond the first mark behind ``flushed``.

        ``flushed`` is the mark that the reader has honoured last. A mark before ``offset`` that nobody has answered is
        reached at once. Also tells the log how far recognition has come.
        """

    async def append_events(
        self,
        lease: Lease,
        events: Sequence[NewEvent],
        *,
        checkpoint: Checkpoint | None = None,
        flushed: int | None = None,
        end_reason: str | None = None,
    ) -> int:
        """Append events, move the checkpoint and trim the audio before it, all in one atomic step.

        ``flushed``: these events answer the marks up to this offset. ``end_reason``: the session has ended with them;
        its audio is dropped and nothing more is appended. Returns the last id.
        """

    async def sweep(self, idle_seconds: float, age_seconds: float, retention_seconds: float) -> None:
        """Finish sessions that are idle (no audio, no reader) or too old; forget those ended long ago."""

    async def purge(self, session_id: str) -> None:
        """Forget everything about the session at once."""
