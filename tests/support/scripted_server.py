"""A server on loopback that keeps the wire contract without recognising, and breaks it where a test says so."""

import asyncio
import json
import socket
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from stt_client import RetryPolicy

QUICK = RetryPolicy(first_seconds=0.001, longest_seconds=0.002, give_up_seconds=10.0)


class AbortableProtocol(H11Protocol):
    """Lets an endpoint drop its own connection, by the address of the client."""

    transports: dict[Any, asyncio.Transport] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transports[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.transports.pop(self.client, None)


@dataclass
class StoredSession:
    config: dict[str, Any]
    audio: bytearray = field(default_factory=bytearray)
    events: list[dict[str, Any]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1]["event_type"] == "session_end"


class ScriptedServer:
    """The wire without recognition. ``upload_faults`` and ``stream_faults`` are used up, one a request.

    ``first_words`` are published with the first audio, ``last_words`` when the session is finished.
    """

    def __init__(self) -> None:
        self.sessions: dict[str, StoredSession] = {}
        self.upload_faults: deque[str] = deque()
        self.stream_faults: deque[tuple[str, int]] = deque()
        self.first_words: list[tuple[str, dict[str, Any]]] = []
        self.last_words: list[tuple[str, dict[str, Any]]] = []
        self.refusal: Response | None = None
        self.unfinished_answers = 0
        self.heartbeat_seconds = 0.02
        self.upload_offsets: list[int] = []
        self.uploads_open = asyncio.Event()
        self.uploads_open.set()
        self.upload_waits = asyncio.Event()
        self.finish_waits = asyncio.Event()
        self.finish_open = asyncio.Event()
        self.finish_open.set()
        self.requests: list[Request] = []
        self.app = Starlette(
            routes=[
                Route("/sessions", self.create, methods=["POST"]),
                Route("/sessions/{id}", self.describe, methods=["GET"]),
                Route("/sessions/{id}", self.finish, methods=["DELETE"]),
                Route("/sessions/{id}/audio", self.upload, methods=["POST"]),
                Route("/sessions/{id}/stream", self.stream, methods=["GET"]),
                Route("/sessions/{id}/transcript", self.transcript, methods=["GET"]),
            ]
        )

    @property
    def newest(self) -> StoredSession:
        return list(self.sessions.values())[-1]

    async def create(self, request: Request) -> Response:
        self.requests.append(request)
        if self.refusal:
            return self.refusal
        session_id = f"sess_{len(self.sessions)}"
        self.sessions[session_id] = StoredSession((await request.json())["config"])
        return JSONResponse({"session_id": session_id, "status": "open", "engine": "scripted", "new": 1}, 201)

    async def describe(self, request: Request) -> Response:
        session = self.sessions.get(request.path_params["id"])
        if session is None:
            return problem(404, "session_not_found")
        status, offset = "ended" if session.ended else "open", len(session.audio)
        return JSONResponse({"session_id": request.path_params["id"], "status": status, "offset": offset})

    async def publish(self, session_id: str, event_type: str, data: dict[str, Any]) -> None:
        session = self.sessions[session_id]
        async with session.changed:
            session.events.append(wire_event(session_id, event_type, data))
            session.changed.notify_all()

    async def upload(self, request: Request) -> Response:
        session_id, body = request.path_params["id"], await request.body()
        self.upload_waits.set()
        await self.uploads_open.wait()
        session, offset = self.sessions.get(session_id), int(request.headers["upload-offset"])
        self.upload_offsets.append(offset)
        if session is None:
            return problem(404, "session_not_found")
        if session.ended:
            return problem(409, "session_ended")
        fault = self.upload_faults.popleft() if self.upload_faults else ""
        stored = {"lose answer": len(body), "": len(body)}.get(fault, 0)
        if fault in ("backlog", "lose half", "mismatch"):
            stored = len(body) // 2
        if offset > len(session.audio):
            return problem(409, "offset_mismatch", offset=len(session.audio))
        session.audio += body[len(session.audio) - offset : stored]
        if not session.events:
            for event_type, data in self.first_words:
                await self.publish(session_id, event_type, data)
        return upload_answer(request, fault, len(session.audio))

    async def stream(self, request: Request) -> Response:
        self.requests.append(request)
        session_id, after = request.path_params["id"], int(request.headers.get("last-event-id", 0))
        session = self.sessions.get(session_id)
        if session is None:
            return problem(404, "session_not_found")
        if session.ended and after == len(session.events):
            return Response(status_code=204)
        fault, count = self.stream_faults.popleft() if self.stream_faults else ("", 0)
        if fault == "503":
            return problem(503, "draining")
        frames = self.frames(request, session_id, session, 0 if fault == "repeat" else after, fault, count)
        return StreamingResponse(frames, media_type="text/event-stream")

    async def frames(
        self, request: Request, session_id: str, session: StoredSession, after: int, fault: str, count: int
    ) -> AsyncGenerator[str, None]:
        """Frames until the session ends; a fault strikes after ``count`` events."""
        yield "retry: 1\n" + frame(wire_event(session_id, "heartbeat", {"status": "connected"}))
        sent = 0
        while True:
            for event in session.events[after:]:
                if fault and fault != "repeat" and sent == count:
                    if fault == "half a frame":
                        yield frame(event, after + 1)[:-9]
                    if fault == "stall":
                        await asyncio.Event().wait()
                    if fault == "abort":
                        abort(request)
                    return
                after, sent = after + 1, sent + 1
                yield frame(event, after)
                if event["event_type"] == "session_end":
                    return
            try:
                async with asyncio.timeout(self.heartbeat_seconds), session.changed:
                    await session.changed.wait_for(lambda: len(session.events) > after)  # noqa: B023
            except TimeoutError:
                yield frame(wire_event(session_id, "heartbeat", {"status": "alive"}))

    async def finish(self, request: Request) -> Response:
        session_id = request.path_params["id"]
        if "purge" in request.query_params:
            gone = self.sessions.pop(session_id, None)
            return Response(status_code=204) if gone else problem(404, "session_not_found")
        self.finish_waits.set()
        await self.finish_open.wait()
        if self.unfinished_answers:
            self.unfinished_answers -= 1
            return JSONResponse(self.document(session_id, "finishing"), 202)
        if not self.sessions[session_id].ended:
            for event_type, data in [*self.last_words, ("session_end", {"reason": "finished"})]:
                await self.publish(session_id, event_type, data)
        return JSONResponse(self.document(session_id, "ended"))

    async def transcript(self, request: Request) -> Response:
        format = request.query_params.get("format", "json")
        document = self.document(request.path_params["id"], "ended")
        return JSONResponse(document) if format == "json" else PlainTextResponse(f"{format}: {document['text']}")

    def document(self, session_id: str, status: str) -> dict[str, Any]:
        events = self.sessions[session_id].events
        finals = [event["data"] for event in events if event["event_type"] == "final"]
        text = " ".join(final["text"] for final in finals)
        return {"session_id": session_id, "status": status, "text": text, "segments": finals, "duration": 1.0}


def problem(status: int, code: str, retry_after: int = 0, **extra: Any) -> Response:
    headers = {"Retry-After": str(retry_after)} if status in (429, 503) else {}
    document = {"code": code, "detail": f"scripted {code}", **extra}
    return JSONResponse(document, status, headers, media_type="application/problem+json")


def upload_answer(request: Request, fault: str, offset: int) -> Response:
    if fault in ("500", "503", "408"):
        return problem(int(fault), "scripted")
    if fault == "backlog":
        return problem(429, "backlog_full", offset=offset)
    if fault == "mismatch":
        return problem(409, "offset_mismatch", offset=offset)
    if fault == "not json":
        return PlainTextResponse("<html>a proxy</html>")
    if fault:
        abort(request)
    return JSONResponse({"offset": offset})


def abort(request: Request) -> None:
    AbortableProtocol.transports[request.scope["client"]].abort()


def abort_all() -> None:
    for transport in list(AbortableProtocol.transports.values()):
        transport.abort()


def wire_event(session_id: str, event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"event_type": event_type, "data": data, "timestamp": 1.0, "session_id": session_id}


def frame(event: dict[str, Any], id: int | None = None) -> str:
    return ("" if id is None else f"id: {id}\n") + f"data: {json.dumps(event, ensure_ascii=False)}\n\n"


def final(text: str, start: float = 0.0, end: float = 1.0) -> tuple[str, dict[str, Any]]:
    return "final", {"text": text, "is_partial": False, "start": start, "end": end, "language": "ko", "engine": "x"}


@asynccontextmanager
async def serving(scripted: ScriptedServer, port: int = 0) -> AsyncIterator[str]:
    """The server on loopback, until the block ends: then it is gone at once, with all its connections."""
    listener = socket.create_server(("127.0.0.1", port))  # from here on connections wait for it, so nobody has to
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio would do it, had it made the socket
    config = uvicorn.Config(scripted.app, http=AbortableProtocol, lifespan="off", log_config=None, ws="none")
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True  # a client connects anew as soon as it is cut off
            scripted.uploads_open.set()
            scripted.finish_open.set()
            abort_all()
    abort_all()


@contextmanager
def serving_between_runs() -> Iterator[tuple[ScriptedServer, str, asyncio.Runner]]:
    """A server, its address, and the loop that it lives in: for a test that Hypothesis runs many times."""
    with asyncio.Runner() as runner:
        scripted = ScriptedServer()
        server = serving(scripted)
        url = runner.run(server.__aenter__())
        try:
            yield scripted, url, runner
        finally:
            runner.run(server.__aexit__(None, None, None))


@pytest.fixture(name="scripted")
def scripted_fixture() -> ScriptedServer:
    return ScriptedServer()


@pytest.fixture(name="url")
async def url_fixture(scripted: ScriptedServer) -> AsyncIterator[str]:
    async with serving(scripted) as url:
        yield url
