"""The life of a session: open, ask, flush, finish, read the transcript."""

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, Response

from server.audio.formats import seconds_ahead
from server.models import (
    CreateSessionRequest,
    CreateSessionResponse,
    FlushResponse,
    SessionResponse,
    TranscriptResponse,
)
from server.routes import bodies, openapi
from server.routes.dependencies import Limits, Manager
from server.session_log.base import SessionState
from server.transcript import Transcript, to_srt, to_text, to_vtt

TEXT_FORMATS = {"text": (to_text, "text/plain"), "srt": (to_srt, "application/x-subrip"), "vtt": (to_vtt, "text/vtt")}

sessions = APIRouter(tags=["sessions"])


@sessions.post(
    "/sessions",
    status_code=201,
    openapi_extra=openapi.SESSION_BODY,
    responses=openapi.problems(_400="not JSON", _422="a field is wrong", _429="no room", _503="stopping"),
)
async def create_session(request: Request, manager: Manager, limits: Limits) -> CreateSessionResponse:
    """Open a session. The body is optional."""
    body = await bodies.read_json(
        dict(request.scope["headers"]),
        request.receive,
        CreateSessionRequest,
        bodies.CONFIG_BYTES,
        limits.upload_idle_seconds,
    )
    state = await manager.open((body or CreateSessionRequest()).config)
    return CreateSessionResponse(
        session_id=state.session_id,
        stream_url=f"/sessions/{state.session_id}/stream",
        upload_url=f"/sessions/{state.session_id}/audio",
        engine=state.checkpoint.engine,
        config=state.config,
        timestamp=time.time(),
    )


@sessions.get("/sessions/{session_id}", responses=openapi.problems(_404="no such session"))
async def describe_session(session_id: str, manager: Manager) -> SessionResponse:
    """Where the session stands; `offset` is where an interrupted upload goes on."""
    state = await manager.state(session_id)
    return _described(state, await manager.notes(state))


@sessions.post(
    "/sessions/{session_id}/flush",
    status_code=202,
    responses=openapi.problems(
        _404="no such session", _409="it takes no more audio", _429="too many flushes are unanswered"
    ),
)
async def flush_session(session_id: str, manager: Manager) -> FlushResponse:
    """Make everything that was sent final now; the session goes on.

    One event of the stream answers with `flushed`, the `offset` of this answer: the `final` of what was said, or a
    `speech_end` where nothing was.
    """
    offset = await manager.flush(session_id)
    return FlushResponse(session_id=session_id, offset=offset, timestamp=time.time())


@sessions.delete(
    "/sessions/{session_id}",
    response_model=TranscriptResponse,
    responses=openapi.FINISH_RESPONSES | openapi.problems(_404="no such session"),
)
async def finish_session(
    session_id: str,
    response: Response,
    manager: Manager,
    purge: Annotated[bool, Query(description="Erase all of it at once, transcript included.")] = False,
) -> TranscriptResponse | Response:
    """Recognise what is left, end the session, answer with the whole transcript."""
    if purge:
        await manager.purge(session_id)
        return Response(status_code=204)
    transcript = await manager.finish(session_id)
    response.status_code = 200 if transcript.state.status == "ended" else 202
    return _written(transcript)


@sessions.get(
    "/sessions/{session_id}/transcript",
    response_model=TranscriptResponse,
    responses=openapi.problems(_404="no such session"),
)
async def read_transcript(
    session_id: str,
    manager: Manager,
    style: Annotated[Literal["json", "text", "srt", "vtt"], Query(alias="format")] = "json",
) -> TranscriptResponse | Response:
    """What is final so far."""
    transcript = await manager.transcript(session_id)
    if style == "json":
        return _written(transcript)
    render, kind = TEXT_FORMATS[style]
    return PlainTextResponse(render(transcript.segments), media_type=kind)


def _described(state: SessionState, notes: list[str]) -> SessionResponse:
    ahead = seconds_ahead(state.config, state.head, state.offset, state.taken, state.recognized_seconds)
    return SessionResponse(
        session_id=state.session_id,
        status=state.status,
        reason=state.reason,
        received_bytes=state.offset,
        offset=state.offset,
        recognized_seconds=round(state.recognized_seconds, 3),
        buffered_seconds=ahead,
        last_event_id=state.last_event_id,
        engine=state.checkpoint.engine,
        config=state.config,
        created=state.created,
        notes=notes,
    )


def _written(transcript: Transcript) -> TranscriptResponse:
    state = transcript.state
    return TranscriptResponse(
        session_id=state.session_id,
        status=state.status,
        reason=state.reason,
        text=transcript.text,
        segments=transcript.segments,
        duration=round(state.recognized_seconds, 3),
    )
