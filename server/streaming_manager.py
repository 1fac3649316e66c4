"""StreamingSessionManager, the HTTP half without HTTP: opens sessions, stores their audio, reads their events.

It gives objects. Statuses, URLs and frames belong to the wires on top of it; ``server.routes`` is one of them. It knows
no engine.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

from server.audio.declared import refusal_of
from server.audio.formats import container_of, upload_format
from server.audio.signatures import foreign_in, no_audio_in
from server.engines.base import Capabilities, able_engines
from server.errors import (
    BacklogFull,
    BodyTooLarge,
    Draining,
    InvalidEventId,
    InvalidRequest,
    LogUnavailable,
    RequestError,
    SessionNotFound,
    UnsupportedType,
    UploadTimeout,
    invalid,
)
from server.events import session_end_event
from server.models import EventType, SessionConfig
from server.observe.metrics import Metrics
from server.session_log.base import RETRY_SECONDS, LoggedEvent, Room, SessionLog, SessionState
from server.settings import Settings
from server.transcript import Transcript, segments_of

log = logging.getLogger("stt.manager")

NOTED = ("audio_suspicious", "audio_gap", "undecodable_audio")
MAX_NOTED_SESSIONS = 1_024
HEAD_BYTES = 512
"""First bytes of an upload that are looked at before they are stored."""
SWEEP_SECONDS = 5.0
PIECE_BYTES = 8_192
"""Size of the pieces in which a long body is stored: less than half of any backlog bound, so there will be room."""


class StreamingSessionManager:
    """What every wire does with sessions. Raises the errors of ``server.errors``."""

    def __init__(
        self,
        session_log: SessionLog,
        capabilities: Mapping[str, Capabilities],
        settings: Settings,
        metrics: Metrics,
        is_ready: Callable[[str], bool] = lambda engine: True,
    ) -> None:
        self._log = session_log
        self._capabilities = capabilities
        self._settings = settings
        self._metrics = metrics
        self._is_ready = is_ready
        self._notes: dict[str, tuple[int, list[str]]] = {}  # by session: the newest event that was looked at
        self.draining = False

    async def run(self) -> None:
        """Finish idle sessions and forget old ones, until cancelled."""
        limits = self._settings
        while True:
            try:
                await self._log.sweep(limits.idle_seconds, limits.max_session_seconds, limits.retention_seconds)
                self._metrics.sessions_open(sum((await self._log.open_by_engine()).values()))
            except LogUnavailable as exc:
                log.warning("no sweep: %s", exc)
            await asyncio.sleep(SWEEP_SECONDS)

    # --- sessions ---------------------------------------------------------------------------------------------------

    async def open(self, config: SessionConfig) -> SessionState:
        """Open a session.

        Raises:
            InvalidRequest: no engine can serve ``config``.
            TooManySessions: none that can has room.
            Draining: the server is stopping.

        """
        try:
            session_id = await self._create(config)
        except RequestError as exc:
            self._metrics.session_refused(exc.code)
            raise
        state = await self._log.state(session_id)
        self._metrics.session_opened(state.checkpoint.engine)
        return state

    async def _create(self, config: SessionConfig) -> str:
        if self.draining:
            raise Draining("The server is stopping.", retry_after=RETRY_SECONDS)
        engines = {name: self._capabilities[name].max_sessions for name in self.engines_for(config)}
        session_id = f"sess_{secrets.token_urlsafe(24)}"
        backlog = int(self._settings.max_backlog_seconds * upload_format(config, b"").bytes_per_second)
        await self._log.create(session_id, config, Room(self._settings.max_sessions, engines), backlog)
        return session_id

    def engines_for(self, config: SessionConfig) -> list[str]:
        """The engines that can do what ``config`` asks: the best one first, those that are out of order last.

        Raises:
            InvalidRequest: there is none, or no engine knows the ``model``; names each field and the reason.

        """
        if config.engine not in ("auto", *self._capabilities):
            known = ", ".join(("auto", *self._capabilities))
            raise invalid({"config.engine": f"There is no engine {config.engine!r} here; there is {known}."})
        able = able_engines(config, self._capabilities)
        names = self._capabilities if config.engine == "auto" else [config.engine]
        refusals = {name: self._capabilities[name].refusals(config) for name in names}
        readers = {name: refusals[name] for name in names if self._capabilities[name].models}
        if not able or (readers and all("model" in refused for refused in readers.values())):
            raise _refused_config(readers if able else refusals)
        return sorted(able, key=lambda name: not self._is_ready(name))

    async def state(self, session_id: str) -> SessionState:
        """Where the session stands."""
        return await self._log.state(session_id)

    async def finish(self, session_id: str) -> Transcript:
        """Recognise what is left and end; the status is still ``finishing`` if that takes too long."""
        await self._log.finish_audio(session_id, "finished")
        after = (await self._log.state(session_id)).last_event_id
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.finish_seconds):
                while (await self._log.state(session_id)).status != "ended":
                    events = await self._log.read_events(session_id, after, self._settings.finish_seconds)
                    after = events[-1].id if events else after
        return await self.transcript(session_id)

    async def transcript(self, session_id: str) -> Transcript:
        """What is final so far."""
        state = await self._log.state(session_id)
        return Transcript(state, segments_of(await self._log.read_events(session_id, after=0, wait=0)))

    async def notes(self, state: SessionState) -> list[str]:
        """What recognition has found doubtful about the audio so far.

        Reading events keeps a session from being idle, so they are read only where there are new ones.
        """
        read, notes = self._notes.pop(state.session_id, (0, []))
        if read != state.last_event_id:
            read = state.last_event_id
            events = await self._log.read_events(state.session_id, after=0, wait=0)
            errors = (event.data for event in events if event.type is EventType.ERROR)
            notes = [str(error["message"]) for error in errors if error.get("code") in NOTED]
        self._notes[state.session_id] = read, notes
        if len(self._notes) > MAX_NOTED_SESSIONS:
            del self._notes[next(iter(self._notes))]
        return notes

    async def purge(self, session_id: str) -> None:
        """Erase everything about the session at once."""
        await self._log.purge(session_id)

    # --- audio ------------------------------------------------------------------------------------------------------

    async def accept(self, session_id: str, data: bytes, offset: int | None = None) -> SessionState:
        """Store one chunk, whole or not at all. ``offset``: its place in the upload; ``None``: behind what is there."""
        if len(data) > self._settings.max_chunk_bytes:
            raise BodyTooLarge(f"A chunk may have {self._settings.max_chunk_bytes} bytes of audio.")
        if not data:  # as some browsers end a recording
            return await self._log.state(session_id)
        if not offset and (refusal := no_audio_in(data[:HEAD_BYTES])):
            self._refuse_first(await self._log.state(session_id), refusal)
        if offset is None and len(data) % 2:
            await self._refuse_half_samples(session_id, data)
        state = await self._log.append_audio(session_id, data, offset)
        self._metrics.audio_stored(len(data))
        return state

    async def accept_stream(
        self, session_id: str, body: AsyncIterator[bytes], offset: int | None = None, declared: str = ""
    ) -> tuple[SessionState, int]:
        """Store a body piece by piece as it arrives, at the pace of the recognizer.

        ``declared``: the media type that the sender gives; a container that is not there is refused.

        Returns the session's state and how many bytes the body had. When it breaks off, what had arrived stays
        stored: the next upload goes on at the session's ``offset``.
        """
        state = await self._log.state(session_id)
        received = 0
        while (arrived := await self._next_piece(body, state.offset)) is not None:
            if not received and not offset and (refusal := refusal_of(arrived[:HEAD_BYTES], declared)):
                self._refuse_first(state, refusal)
            for start in range(0, len(arrived), PIECE_BYTES):
                piece = arrived[start : start + PIECE_BYTES]
                state = await self._append_when_there_is_room(
                    session_id, piece, None if offset is None else offset + received
                )
                received += len(piece)
                self._metrics.audio_stored(len(piece))
        return state, received

    async def flush(self, session_id: str) -> int:
        """Make everything that is stored final now, and return the offset of its end.

        One event will say ``flushed`` with this offset: the final of what was said, or a ``speech_end`` if nothing was.
        """
        return await self._log.mark_flush(session_id)

    async def _next_piece(self, body: AsyncIterator[bytes], stored: int) -> bytes | None:
        try:
            async with asyncio.timeout(self._settings.upload_idle_seconds):
                async for piece in body:
                    if piece:
                        return piece
                return None
        except TimeoutError:
            raise UploadTimeout("The body stopped arriving.", offset=stored) from None

    async def _append_when_there_is_room(self, session_id: str, piece: bytes, offset: int | None) -> SessionState:
        """Append as soon as there is room: the sender is slowed down by TCP rather than by an error."""
        while True:
            try:
                return await self._log.append_audio(session_id, piece, offset)
            except BacklogFull:
                if not await self._log.wait_for_room(session_id, self._settings.upload_idle_seconds):
                    raise

    def _refuse_first(self, state: SessionState, refusal: str) -> None:
        """Refuse what an upload begins with; in the middle of one it is part of something."""
        if state.offset == 0 and state.config.encoding in ("auto", "linear16"):
            raise UnsupportedType(refusal)

    async def _refuse_half_samples(self, session_id: str, data: bytes) -> None:
        """A chunk of PCM16 with half a sample, sent without a position, would shift every later sample."""
        state = await self._log.state(session_id)
        head = state.head or data
        contained = state.config.encoding == "auto" and (container_of(head) or foreign_in(head))
        if upload_format(state.config, head).width == 2 and not contained:
            raise invalid({"audio_data": f"{len(data)} bytes are no whole number of 16-bit samples."})

    # --- events -----------------------------------------------------------------------------------------------------

    async def position(self, session_id: str, after: int) -> SessionState:
        """Where the session stands. Raises :class:`InvalidEventId` if the event ``after`` has not been published."""
        state = await self._log.state(session_id)
        if after > state.last_event_id:
            detail = f"Event {after} has not been published; the newest is {state.last_event_id}."
            raise InvalidEventId(detail, last_event_id=state.last_event_id)
        return state

    async def events(self, session_id: str, after: int = 0) -> AsyncGenerator[list[LoggedEvent], None]:
        """Every event behind ``after``, in order, as it comes, until the session has ended.

        They come in lists. An empty one is a heartbeat: connected, or nothing has happened for ``heartbeat_seconds``.
        A session that is erased meanwhile ends with a ``session_end`` that is in no log.
        """
        self._metrics.viewer_connected()
        try:
            yield []
            while True:
                events = await self._read_events(session_id, after)
                yield events
                if events:
                    after = events[-1].id
                    if events[-1].type is EventType.SESSION_END:
                        return
        except SessionNotFound:
            end = session_end_event("purged")
            yield [LoggedEvent(0, end.type, end.body, end.timestamp)]
        finally:
            self._metrics.viewer_disconnected()

    async def _read_events(self, session_id: str, after: int) -> list[LoggedEvent]:
        try:
            return await self._log.read_events(session_id, after, self._settings.heartbeat_seconds)
        except LogUnavailable:  # the reader stays connected and gets its heartbeat
            await asyncio.sleep(self._settings.heartbeat_seconds)
            return []


def _refused_config(refusals: Mapping[str, Mapping[str, str]]) -> InvalidRequest:
    """What the first engine refuses, field by field, and what the others do."""
    found: dict[str, list[str]] = {}
    for engine, fields in refusals.items():
        for field, reason in fields.items():
            found.setdefault(f"config.{field}", []).append(f"engine {engine}: {reason}")
    return invalid({field: "; ".join(reasons) for field, reasons in found.items()})
