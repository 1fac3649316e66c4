"""The app and its routes. ``uvicorn server.main:app --port 8001``."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from server import __version__
from server.engines.base import Engine
from server.errors import RequestError, UnsupportedType
from server.lifecycle import refuse_separate_processes, running
from server.models import (
    AudioUploadRequest,
    AudioUploadResponse,
    CreateSessionRequest,
    CreateSessionResponse,
    SessionResponse,
    TranscriptResponse,
)
from server.observe.metrics import Metrics
from server.routes import http, openapi
from server.routes.pages import pages
from server.routes.usage import info
from server.session_log.base import SessionLog
from server.session_log.memory import MemorySessionLog
from server.settings import Settings
from server.streaming_manager import StreamingSessionManager, invalid
from server.transcript import to_srt, to_text, to_vtt

TEXT_FORMATS = {"text": (to_text, "text/plain"), "srt": (to_srt, "application/x-subrip"), "vtt": (to_vtt, "text/vtt")}

sessions = APIRouter(tags=["sessions"])
system = APIRouter(tags=["system"])


def create_app(
    settings: Settings | None = None,
    engines: Mapping[str, Engine] | None = None,
    session_log: SessionLog | None = None,
) -> FastAPI:
    """Compose the app. ``engines`` and ``session_log`` default to what the settings say."""
    settings = settings or Settings()
    refuse_separate_processes(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(
            app, settings, engines, session_log or MemorySessionLog(lease_seconds=settings.lease_seconds)
        ):
            yield

    app = FastAPIOffline(
        title="Real-time speech-to-text over plain HTTP",
        version=__version__,
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.metrics = Metrics()
    app.add_middleware(
        CORSMiddleware,
        allow_origin_regex=settings.cors_origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=["Upload-Offset", "Retry-After"],
    )
    app.add_exception_handler(RequestError, http.on_request_error)
    app.add_exception_handler(RequestValidationError, http.on_validation_error)
    app.add_exception_handler(HTTPException, http.on_http_exception)
    app.add_exception_handler(Exception, http.on_unforeseen)
    app.include_router(sessions)
    app.include_router(system)
    app.include_router(pages)
    return app


def _manager(request: Request) -> StreamingSessionManager:
    manager: StreamingSessionManager = request.app.state.manager
    return manager


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


Manager = Annotated[StreamingSessionManager, Depends(_manager)]
Limits = Annotated[Settings, Depends(_settings)]


# --- sessions -------------------------------------------------------------------------------------------------------


@sessions.post(
    "/sessions",
    status_code=201,
    openapi_extra=openapi.SESSION_BODY,
    responses=openapi.problems(_400="not JSON", _422="a field is wrong", _429="no room", _503="stopping"),
)
async def create_session(request: Request, manager: Manager, limits: Limits) -> CreateSessionResponse:
    """Open a session. The body is optional."""
    body = await http.read_json(request, CreateSessionRequest, http.CONFIG_BYTES, limits)
    return await manager.create_session((body or CreateSessionRequest()).config)


@sessions.get("/sessions/{session_id}", responses=openapi.problems(_404="no such session"))
async def describe_session(session_id: str, manager: Manager) -> SessionResponse:
    """Where the session stands; `offset` is where an interrupted upload goes on."""
    return await manager.describe(session_id)


@sessions.get(
    "/sessions/{session_id}/stream",
    status_code=200,  # FastAPI reads it off the response class otherwise, and ours has none
    response_class=http.EventStreamResponse,
    responses=openapi.STREAM_RESPONSE
    | openapi.problems(_400="`Last-Event-ID` is none of this session's", _404="no such session"),
)
async def stream_stt_results(
    session_id: str,
    manager: Manager,
    limits: Limits,
    last_event_id: Annotated[str | None, Header(description="Replay everything after this event.")] = None,
    in_query: Annotated[
        str | None, Query(alias="last_event_id", description="The same, for a client that can't set headers.")
    ] = None,
) -> Response:
    """The live transcript as Server-Sent Events."""
    after = await manager.position_of(session_id, last_event_id or in_query)
    if after is None:
        return Response(status_code=204)
    return http.EventStreamResponse(manager.stream_results(session_id, after), limits.send_timeout_seconds)


@sessions.post(
    "/sessions/{session_id}/audio",
    openapi_extra=openapi.AUDIO_BODY,
    responses=openapi.problems(
        _400="not JSON",
        _404="no such session",
        _408="the body stopped arriving",
        _409="`session_ended`, or `offset_mismatch` with the expected `offset`",
        _413="too large",
        _415="wrong Content-Type or Content-Encoding",
        _422="bad base64, empty, half a sample",
        _429="too far ahead of the recognizer",
    ),
)
async def upload_audio(
    request: Request, response: Response, session_id: str, manager: Manager, limits: Limits
) -> AudioUploadResponse:
    """Audio: base64 in JSON, or raw bytes, also as one long chunked body that is taken in as it arrives.

    A raw body's position in the session's upload goes into the header `Upload-Offset`. Of a video the first audio track
    is recognised.
    """
    kind = http.media_type(request)
    if kind == "application/json":
        accepted = await _upload_json(request, session_id, manager, limits)
    elif kind in http.BINARY_TYPES or kind.startswith(("audio/", "video/")):
        http.refuse_content_encoding(request)
        http.declared_length(request, limits.max_body_bytes)
        accepted = await manager.accept_stream(session_id, http.body_pieces(request), http.upload_offset(request))
    else:
        raise UnsupportedType("Send application/json, application/octet-stream, audio/* or video/*.")
    response.headers["Upload-Offset"] = str(accepted.offset)
    return accepted


async def _upload_json(
    request: Request, session_id: str, manager: StreamingSessionManager, limits: Settings
) -> AudioUploadResponse:
    limit = limits.max_chunk_bytes * 4 // 3 + http.JSON_OVERHEAD_BYTES
    body = await http.read_json(request, AudioUploadRequest, limit, limits)
    if body is None:
        raise invalid({"audio_data": "The body is empty."})
    data = http.decode_base64(body.audio_data)
    return await manager.accept_audio(session_id, data, body.offset, body.chunk_id)


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
    response.status_code = 200 if transcript.status == "ended" else 202
    return transcript


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
        return transcript
    render, kind = TEXT_FORMATS[style]
    return PlainTextResponse(render(transcript.segments), media_type=kind)


# --- system ---------------------------------------------------------------------------------------------------------


@system.get("/health")
async def health(request: Request, manager: Manager, limits: Limits) -> JSONResponse:
    """200 while the server takes sessions; 503 with the same fields while it does not."""
    engines = {name: engine.status() for name, engine in request.app.state.engines.items()}
    ready = not manager.draining and any(each["ready"] for each in engines.values())
    status = "ok" if ready else "unavailable"
    body = {"status": status, "ready": ready, "version": __version__, "engines": engines, "notes": limits.notes()}
    return JSONResponse(body, 200 if ready else 503)


@system.get("/info")
async def server_info(request: Request, limits: Limits) -> dict[str, Any]:
    """Engines, languages, formats, limits."""
    return info(request.app.state.capabilities, limits)


@system.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    return Response(request.app.state.metrics.render(), media_type=Metrics.content_type)


app = create_app()
