"""The app, composed of its parts. ``uvicorn server.main:app --port 8001``."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from server import __version__
from server.engines.base import Engine
from server.errors import RequestError
from server.lifecycle import SentenceForStart, running
from server.observe.metrics import Metrics
from server.routes import openapi, problems
from server.routes.audio import upload_audio
from server.routes.hot import Handler, put_in_front
from server.routes.pages import pages
from server.routes.sessions import sessions
from server.routes.sse import stream_events
from server.routes.system import system
from server.session_log.base import SessionLog
from server.settings import Settings

CORS: dict[str, Any] = {
    "allow_methods": ["GET", "HEAD", "POST", "DELETE"],
    "allow_headers": ["*"],
    "expose_headers": ["Upload-Offset", "Retry-After"],
}


HOT: dict[str, tuple[str, Handler]] = {"audio": ("POST", upload_audio), "stream": ("GET", stream_events)}


def create_app(
    settings: Settings | None = None,
    engines: Mapping[str, Engine] | None = None,
    session_log: SessionLog | None = None,
) -> FastAPI:
    """Compose the app. ``engines`` and ``session_log`` default to what the settings say."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(app, settings, engines, session_log):
            yield

    app = FastAPIOffline(
        title="Real-time speech-to-text over plain HTTP",
        version=__version__,
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    app.state.metrics = Metrics()
    app.state.cors = CORS | {"allow_origin_regex": settings.cors_origins}
    app.add_middleware(SentenceForStart)
    app.add_middleware(GZipMiddleware)
    app.add_middleware(CORSMiddleware, **app.state.cors)
    app.add_exception_handler(RequestError, problems.on_request_error)
    app.add_exception_handler(RequestValidationError, problems.on_validation_error)
    app.add_exception_handler(HTTPException, problems.on_http_exception)
    app.add_exception_handler(Exception, problems.on_unforeseen)
    for router in (sessions, system, pages):
        app.include_router(router)
    put_in_front(app, HOT, app.state.cors)
    openapi.describe(app)
    return app


app = create_app()
