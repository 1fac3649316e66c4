"""StreamingSessionManager, the HTTP half: opens sessions, stores their audio, streams their events. Knows no engine."""

import asyncio
import contextlib
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

from server.audio.decoder import container_of, upload_format
from server.engines.base import Capabilities
from server.errors import (
    BacklogFull,
    BodyTooLarge,
    Draining,
    InvalidEventId,
    InvalidRequest,
    RequestError,
    SessionNotFound,
    TooManySessions,
    UploadTimeout,
)
from server.events import session_end_event, wire_event
from server.models import (
    AudioUploadResponse,
    CreateSessionResponse,
    EventType,
    SessionConfig,
    SessionResponse,
    TranscriptResponse,
)
from server.observe.metrics import Metrics
from server.session_log.base import LoggedEvent, SessionLog, SessionState
from server.settings import Settings
from server.transcript import segments_of

SWEEP_SECONDS = 5.0
RETRY_SECONDS = 5
"""Told to a client that is refused a session."""
PIECE_BYTES = 8_192
"""Of a raw body stored at once. Smaller than half of any backlog bound, so that there comes to be room for it."""
COMPRESSED_BYTES_PER_SECOND = 16_000
"""Of Chrome's Opus, until the recognizer has seen how many there are."""
EVENT_ID = re.compile(r"^\d{1,15}$")


class StreamingSessionManager:
    """What the routes do, without HTTP. Raises the errors of ``server.errors``."""

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
        self.draining = False

    async def run(self) -> None:
        """Finish idle sessions and forget old ones, until cancelled."""
        limits = self._settings
        while True:
            await self._log.sweep(limits.idle_seconds, limits.max_session_seconds, limits.retention_seconds)
            await self._report_lags()
            await asyncio.sleep(SWEEP_SECONDS)

    async def _report_lags(self) -> None:
        lags = {}
        for session_id in await self._log.open_sessions():
            with contextlib.suppress(SessionNotFound):
                lags[session_id] = _buffered_seconds(await self._log.state(session_id))
        self._metrics.sessions_open(lags)

    # --- sessions ---------------------------------------------------------------------------------------------------

    async def create_session(self, config: SessionConfig) -> CreateSessionResponse:
        try:
            engine = await self._admit(config)
        except RequestError as exc:
            self._metrics.session_refused(exc.code)
            raise
        session_id = f"sess_{secrets.token_urlsafe(24)}"
        bytes_per_second = upload_format(config, b"").bytes_per_second
        backlog = int(self._settings.max_backlog_seconds * bytes_per_second)
        await self._log.create(session_id, config.model_dump(), engine, backlog)
        self._metrics.session_opened(engine)
        return CreateSessionResponse(
            session_id=session_id,
            stream_url=f"/sessions/{session_id}/stream",
            upload_url=f"/sessions/{session_id}/audio",
            engine=engine,
            config=config,
            timestamp=time.time(),
        )

    async def _admit(self, config: SessionConfig) -> str:
        """The engine for a new session. Raises :class:`TooManySessions` when it would make the others late."""
        if self.draining:
            raise Draining("The server is stopping.", retry_after=RETRY_SECONDS)
        able = self.engines_for(config)
        sessions = await self._log.open_sessions()
        if len(sessions) >= self._settings.max_sessions:
            raise TooManySessions(f"All {len(sessions)} sessions of this server are taken.", retry_after=RETRY_SECONDS)
        taken = Counter([(await self._log.state(each)).checkpoint.engine for each in sessions])
        for engine in able:
            most = self._capabilities[engine].max_sessions
            if most is None or taken[engine] < most:
                return engine
        detail = f"The engine {able[0]} carries {taken[able[0]]} sessions and no more."
        raise TooManySessions(detail, retry_after=RETRY_SECONDS)

    def engines_for(self, config: SessionConfig) -> list[str]:
        """The engines that can do what ``config`` asks, best first.

        Raises:
            InvalidRequest: there is none, or ``model`` is one that nobody knows; names each field and why.

        """
        if config.engine not in ("auto", *self._capabilities):
            known = ", ".join(("auto", *self._capabilities))
            raise invalid({"config.engine": f"There is no engine {config.engine!r} here; there is {known}."})
        names = list(self._capabilities) if config.engine == "auto" else [config.engine]
        refusals = {name: self._capabilities[name].refusals(config) for name in names}
        able = [name for name in names if not refusals[name]]
        readers = {name: refusals[name] for name in names if self._capabilities[name].models}
        if not able or (readers and all("model" in refused for refused in readers.values())):
            raise invalid(_by_field(refusals if not able else readers))
        return sorted(able, key=lambda name: not self._is_ready(name))

    async def describe(self, session_id: str) -> SessionResponse:
        state = await self._log.state(session_id)
        return SessionResponse(
            session_id=session_id,
            status=state.status,
            reason=state.reason,
            received_bytes=state.offset,
            offset=state.offset,
            recognized_seconds=round(state.recognized_seconds, 3),
            buffered_seconds=_buffered_seconds(state),
            last_event_id=state.last_event_id,
            engine=state.checkpoint.engine,
            config=SessionConfig.model_validate(state.config),
            created=state.created,
        )

    async def finish(self, session_id: str) -> TranscriptResponse:
        """Recognise what is left and end; the status is still ``finishing`` if that takes too long."""
        await self._log.finish_audio(session_id, "finished")
        after = (await self._log.state(session_id)).last_event_id
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.finish_seconds):
                while (await self._log.state(session_id)).status != "ended":
                    events = await self._log.read_events(session_id, after, self._settings.finish_seconds)
                    after = events[-1].id if events else after
        return await self.transcript(session_id)

    async def transcript(self, session_id: str) -> TranscriptResponse:
        state = await self._log.state(session_id)
        segments = segments_of(await self._log.read_events(session_id, after=0, wait=0))
        return TranscriptResponse(
            session_id=session_id,
            status=state.status,
            reason=state.reason,
            text=" ".join(segment.text for segment in segments),
            segments=segments,
            duration=round(state.recognized_seconds, 3),
        )

    async def purge(self, session_id: str) -> None:
        await self._log.state(session_id)
        await self._log.purge(session_id)

    # --- audio ------------------------------------------------------------------------------------------------------

    async def accept_audio(
        self, session_id: str, data: bytes, offset: int | None, chunk_id: str | int | None = None
    ) -> AudioUploadResponse:
        """Store one chunk, whole or not at all."""
        if len(data) > self._settings.max_chunk_bytes:
            raise BodyTooLarge(f"A chunk may have {self._settings.max_chunk_bytes} bytes of audio.")
        if not data:
            raise invalid({"audio_data": "The chunk is empty."})
        if offset is None and len(data) % 2:
            await self._refuse_half_samples(session_id, data)
        state = await self._log.append_audio(session_id, data, offset)
        return self._accepted(state, len(data), chunk_id)

    async def accept_stream(
        self, session_id: str, body: AsyncIterator[bytes], offset: int | None
    ) -> AudioUploadResponse:
        """Store a body piece by piece as it arrives, at the pace of the recognizer.

        When it breaks off, what had arrived stays stored: the next upload goes on at the session's ``offset``.
        """
        state = await self._log.state(session_id)
        received = 0
        while (arrived := await self._next_piece(body, state.offset)) is not None:
            for start in range(0, len(arrived), PIECE_BYTES):
                piece = arrived[start : start + PIECE_BYTES]
                state = await self._append_patiently(session_id, piece, None if offset is None else offset + received)
                received += len(piece)
        if not received:
            raise invalid({"body": "The body is empty."})
        return self._accepted(state, received, None)

    async def _next_piece(self, body: AsyncIterator[bytes], stored: int) -> bytes | None:
        try:
            async with asyncio.timeout(self._settings.upload_idle_seconds):
                async for piece in body:
                    if piece:
                        return piece
                return None
        except TimeoutError:
            raise UploadTimeout("The body stopped arriving.", offset=stored) from None

    async def _append_patiently(self, session_id: str, piece: bytes, offset: int | None) -> SessionState:
        """Append as soon as there is room: the sender is slowed down by TCP rather than by an error."""
        while True:
            try:
                return await self._log.append_audio(session_id, piece, offset)
            except BacklogFull:
                if not await self._log.wait_for_room(session_id, self._settings.upload_idle_seconds):
                    raise

    async def _refuse_half_samples(self, session_id: str, data: bytes) -> None:
        """A chunk of PCM16 with half a sample, sent without a position, would shift every later sample."""
        state = await self._log.state(session_id)
        config = SessionConfig.model_validate(state.config)
        head = state.head or data
        contained = config.encoding == "auto" and container_of(head)
        if upload_format(config, head).width == 2 and not contained:
            raise invalid({"audio_data": f"{len(data)} bytes are no whole number of 16-bit samples."})

    def _accepted(self, state: SessionState, received: int, chunk_id: str | int | None) -> AudioUploadResponse:
        self._metrics.audio_stored(received)
        return AudioUploadResponse(
            session_id=state.session_id,
            chunk_id=chunk_id,
            received_bytes=received,
            timestamp=time.time(),
            offset=state.offset,
            buffered_seconds=_buffered_seconds(state),
        )

    # --- stream -----------------------------------------------------------------------------------------------------

    async def position_of(self, session_id: str, last_event_id: str | None) -> int | None:
        """The id after which to stream; ``None``: the client has seen everything and the session has ended."""
        state = await self._log.state(session_id)
        after = 0
        if last_event_id:
            if not EVENT_ID.match(last_event_id):
                raise InvalidEventId("Last-Event-ID is not a number.", last_event_id=state.last_event_id)
            after = int(last_event_id)
        if after > state.last_event_id:
            raise InvalidEventId(
                f"Event {after} has not been published; the newest is {state.last_event_id}.",
                last_event_id=state.last_event_id,
            )
        return None if state.status == "ended" and after == state.last_event_id else after

    async def stream_results(self, session_id: str, after: int) -> AsyncGenerator[bytes, None]:
        """Frames of the event stream: everything after ``after``, then live, until the session ends."""
        self._metrics.viewer_connected()
        try:
            yield b"retry: %d\n" % self._settings.retry_ms + _heartbeat(session_id, "connected")
            while True:
                events = await self._log.read_events(session_id, after, self._settings.heartbeat_seconds)
                yield b"".join(_frame(event) for event in events) or _heartbeat(session_id, "alive")
                if events:
                    after = events[-1].id
                    if events[-1].type is EventType.SESSION_END:
                        return
        except SessionNotFound:  # erased while it was read
            yield b"data: %b\n\n" % session_end_event(session_id, "purged").payload
        finally:
            self._metrics.viewer_disconnected()


def _frame(event: LoggedEvent) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (event.id, event.payload)


def _heartbeat(session_id: str, status: str) -> bytes:
    return b"data: %b\n\n" % wire_event(session_id, EventType.HEARTBEAT, {"status": status}).payload


def _buffered_seconds(state: SessionState) -> float:
    config = SessionConfig.model_validate(state.config)
    bytes_per_second: float = upload_format(config, state.head).bytes_per_second
    if config.encoding == "auto" and container_of(state.head) not in (None, "WAV"):
        known = state.taken > 0 and state.recognized_seconds > 0
        bytes_per_second = state.taken / state.recognized_seconds if known else COMPRESSED_BYTES_PER_SECOND
    return round(max(0, state.offset - state.taken) / bytes_per_second, 3)


def _by_field(refusals: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """What the first engine refuses, field by field, and what the others do."""
    found: dict[str, list[str]] = {}
    for engine, fields in refusals.items():
        for field, reason in fields.items():
            found.setdefault(f"config.{field}", []).append(f"engine {engine}: {reason}")
    return {field: "; ".join(reasons) for field, reasons in found.items()}


def invalid(errors: Mapping[str, str]) -> InvalidRequest:
    """A 422 that names each field and what is wrong with it."""
    detail = "; ".join(f"{field}: {reason}" for field, reason in errors.items())
    return InvalidRequest(detail, errors=[{"field": field, "message": reason} for field, reason in errors.items()])
