"""The port between the HTTP half and the recognition half: one durable log for each session.

A session has an append-only **audio log** (bytes, addressed by offset), an append-only **event log** (numbered from
1), a **checkpoint** (where recognition resumes) and a **lease** (who recognises it). Implementations are held to
``tests/contract``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from server.models import EventType, SessionStatus


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
class Lease:
    """The right to recognise one session. ``fence`` grows with every claim, so a late writer can be told apart."""

    session_id: str
    owner: str
    fence: int


@dataclass(frozen=True, slots=True)
class SessionState:
    """A snapshot of everything about a session but its bytes and events.

    ``offset`` is the next expected byte of the upload, ``taken`` how far the recognizer has read, ``head`` the first
    bytes of the upload (kept when the audio is trimmed: they tell the format).
    """

    session_id: str
    status: SessionStatus
    reason: str | None
    config: dict[str, Any]
    created: float
    offset: int
    taken: int
    recognized_seconds: float
    checkpoint: Checkpoint
    last_event_id: int
    head: bytes


@dataclass(frozen=True, slots=True)
class AudioSlice:
    """Bytes of the upload from ``offset`` on. ``finished``: nothing comes after them."""

    offset: int
    pcm: bytes
    finished: bool


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be appended: ``payload`` is the JSON of the wire event."""

    type: EventType
    payload: bytes


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event as the log has it; ``id`` is its number."""

    id: int
    type: EventType
    payload: bytes


HEAD_BYTES = 64
"""How many first bytes of an upload are kept for telling its format."""


class SessionLog(Protocol):
    """Every method may be called by any process. Unknown or expired session: :class:`SessionNotFound`.

    Waiting methods return early when there is something, and an empty answer when there was nothing for ``wait``
    seconds. Methods that take a lease raise :class:`LeaseLost` when it is no longer the newest one.
    """

    async def create(self, session_id: str, config: dict[str, Any], engine: str, max_backlog_bytes: int) -> None:
        """Start a session's log. ``max_backlog_bytes`` bounds the audio ahead of the recognizer."""

    async def state(self, session_id: str) -> SessionState:
        """A snapshot."""

    async def append_audio(self, session_id: str, data: bytes, offset: int | None = None) -> SessionState:
        """Store ``data`` at ``offset`` (``None``: at the end) and return the state after it.

        Bytes that are already there are skipped. All or nothing: raises :class:`OffsetMismatch` past the end,
        :class:`SessionEnded`, :class:`BacklogFull` with nothing stored.
        """

    async def wait_for_room(self, session_id: str, wait: float) -> bool:
        """Wait until the backlog is at most half full; false when it still is not after ``wait`` seconds."""

    async def finish_audio(self, session_id: str, reason: str) -> None:
        """No more audio comes. Idempotent; the first reason stays."""

    async def read_events(self, session_id: str, after: int, wait: float) -> list[LoggedEvent]:
        """Events with an id above ``after``, in order, interims that a later event supersedes left out."""

    async def claim(self, owner: str, wait: float) -> Lease | None:
        """Take over a session that nobody recognises; ``None`` when there was none for ``wait`` seconds."""

    async def renew(self, lease: Lease) -> None:
        """Keep the lease for another term."""

    async def release(self, lease: Lease) -> None:
        """Give the session up: another process may claim it at once."""

    async def read_audio(
        self, lease: Lease, after: int, recognized_seconds: float, limit: int, wait: float
    ) -> AudioSlice:
        """Up to ``limit`` bytes from ``after`` on. Also tells the log how far recognition has come."""

    async def append_events(
        self, lease: Lease, events: Sequence[NewEvent], checkpoint: Checkpoint | None = None
    ) -> int:
        """Append events and move the checkpoint, trimming the audio before it, in one atomic step.

        Returns the last id. A ``session_end`` event ends the session: its audio is dropped and nothing more is
        appended.
        """

    async def sweep(self, idle_seconds: float, age_seconds: float, retention_seconds: float) -> None:
        """Finish sessions that are idle (no audio, no reader) or too old; forget those ended long ago."""

    async def open_sessions(self) -> list[str]:
        """Ids of the sessions that have not ended."""

    async def purge(self, session_id: str) -> None:
        """Forget everything about the session at once."""

    async def aclose(self) -> None:
        """Let go of connections; readers that wait return."""
