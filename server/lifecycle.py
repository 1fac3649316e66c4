"""Start and stop: both halves run from loaded engines to the last ``session_end``."""

import asyncio
import logging
import math
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.engines.base import Engine, status_of
from server.engines.registry import load_engines, notes
from server.errors import CannotStart, STTError
from server.observe.metrics import Metrics
from server.session_log.base import SessionLog
from server.session_log.registry import make_log
from server.settings import Settings
from server.streaming_manager import StreamingSessionManager
from server.stt_service import STTService

log = logging.getLogger("stt")

SEPARATE_PROCESSES = "Sessions are kept in this process's memory: start one worker (no --workers, WEB_CONCURRENCY=1)."


class SentenceForStart:
    """ASGI middleware that tells in a sentence, not in a traceback, what keeps the server from starting."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def say(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed" and isinstance(error := sys.exception(), STTError):
                message = {"type": "lifespan.startup.failed", "message": str(error)}
            await send(message)

        await self._app(scope, receive, say if scope["type"] == "lifespan" else send)


@asynccontextmanager
async def running(
    app: FastAPI, settings: Settings, engines: Mapping[str, Engine] | None, session_log: SessionLog | None
) -> AsyncIterator[None]:
    """Load the engines, run both halves on the log, and at the end let go of every session."""
    log_to_stderr(settings)
    session_log = session_log or make_log(settings)
    refuse_separate_processes(settings, session_log)
    engines = load_engines(settings) if engines is None else engines
    app.state.notes = notes(engines)
    for note in app.state.notes:
        log.warning(note)
    for name, engine in engines.items():
        log.info("loading engine %s", name)
        await engine.prewarm()
    async with session_log, _halves(app, settings, engines, session_log):
        yield
    for engine in engines.values():
        await engine.aclose()


@asynccontextmanager
async def _halves(
    app: FastAPI, settings: Settings, engines: Mapping[str, Engine], session_log: SessionLog
) -> AsyncIterator[None]:
    metrics: Metrics = app.state.metrics
    capabilities = {name: engine.capabilities for name, engine in engines.items()}

    def is_ready(name: str) -> bool:
        return bool(status_of(engines[name])["ready"])

    for name in engines:
        metrics.watch_engine(name, partial(is_ready, name))
    manager = StreamingSessionManager(session_log, capabilities, settings, metrics, is_ready)
    service = STTService(session_log, engines, settings, metrics)
    app.state.manager, app.state.engines, app.state.capabilities = manager, engines, capabilities

    async def drain() -> None:
        manager.draining = True
        await service.drain()

    async with asyncio.TaskGroup() as tasks:
        halves = [tasks.create_task(service.run()), tasks.create_task(manager.run())]
        for half in halves:  # when one fails, the server must not look alive
            half.add_done_callback(lambda _: setattr(manager, "draining", True))
        on_stop_signal(lambda: tasks.create_task(drain()), settings.drain_seconds)
        log.info("ready")
        yield
        await drain()
        for half in halves:
            half.cancel()


def log_to_stderr(settings: Settings) -> None:
    """Let our loggers be heard: uvicorn sets up none but its own."""
    log.setLevel(settings.log_level)
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s:     %(message)s"))
        log.addHandler(handler)


def on_stop_signal(stop: Callable[[], object], drain_seconds: float) -> None:
    """Call ``stop`` on the event loop when the process is told to stop, then do what was done before.

    Uvicorn closes the lifespan only after all connections have closed, and an event stream stays open until its
    session ends: so the sessions must be ended from the signal itself.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)
        if callable(before):
            _bound_graceful_shutdown(before, drain_seconds)

            def handle(signum: int, frame: Any, before: Callable[..., Any] = before) -> None:
                loop.call_soon_threadsafe(stop)
                before(signum, frame)

            try:
                signal.signal(number, handle)
            except ValueError:  # not the main thread: whoever runs us there stops us by the lifespan
                return


def _bound_graceful_shutdown(handler: Any, drain_seconds: float) -> None:
    """A viewer that takes nothing, or an upload that pauses, would keep Uvicorn for as long as it likes."""
    server = getattr(handler, "__self__", None)
    if isinstance(server, uvicorn.Server) and server.config.timeout_graceful_shutdown is None:
        server.config.timeout_graceful_shutdown = math.ceil(drain_seconds) + 1


def refuse_separate_processes(settings: Settings, session_log: SessionLog) -> None:
    """Raises :class:`CannotStart` where several processes would each have sessions that the others do not know."""
    several = settings.web_concurrency > 1 or any(each.partition("=")[0] == "--workers" for each in sys.argv[1:])
    if several and not session_log.shared:
        raise CannotStart(SEPARATE_PROCESSES)
