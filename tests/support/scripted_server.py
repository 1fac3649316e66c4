"""A server on loopback that keeps the wire contract, and breaks it where a test says so.

It does not recognise; where a test asks for it, its words are written in the audio as those of the fake engine are.
"""

import asyncio
import json
import socket
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from stt_client import RetryPolicy

SAMPLE_RATE = 16_000
WAV_HEADER_BYTES = 44
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
    marks: set[int] = field(default_factory=set)
    heard: int = 0
    words: list[dict[str, Any]] = field(default_factory=list)

    @property
    def reason(self) -> str | None:
        """Of the first ``session_end``."""
        ends = [event["data"]["reason"] for event in self.events if event["event_type"] == "session_end"]
        return ends[0] if ends else None

    @property
    def ended(self) -> bool:
        return self.reason is not None

    def hear(self) -> list[tuple[str, dict[str, Any]]]:
        """The events of the samples that have come since the last time: above zero is a word, below it the end."""
        heard, events = self.heard, []
        sound = bytes(self.audio[WAV_HEADER_BYTES if self.audio.startswith(b"RIFF") else 0 :])
        self.heard = len(sound) - len(sound) % 2
        samples = np.frombuffer(sound[heard : self.heard], "<i2")
        for index in np.flatnonzero(samples):
            seconds = (heard // 2 + int(index)) / SAMPLE_RATE
            if samples[index] > 0:
                self.words.append({"word": str(samples[index]), "start": seconds, "end": seconds + 0.01})
                events.append(("token", self.said(seconds)))
            elif self.words:  # times have three digits: an end may be heard again
                events.append(self.final(seconds + 1 / SAMPLE_RATE))
        return events

    def said(self, until: float) -> dict[str, Any]:
        text = " ".join(word["word"] for word in self.words)
        start = self.words[0]["start"] if self.words else until
        return {"text": text, "start": start, "end": until, "words": self.words.copy(), "language": "ko", "engine": "x"}

    def final(self, through: float, **more: Any) -> tuple[str, dict[str, Any]]:
        data = self.said(self.words[-1]["end"] if self.words else through)
        self.words.clear()
        return "final", {**data, "through": through, **more}


class ScriptedServer:
    """The wire without recognition. ``upload_faults`` and ``stream_faults`` are used up, one a request.

    ``first_words`` are published with the first audio, ``last_words`` when the session is finished. With ``listens``
    the words are those in the audio. ``refusals`` are answered to whatever is asked, before it is looked at.
    """

    def __init__(self) -> None:
        self.sessions: dict[str, StoredSession] = {}
        self.upload_faults: deque[str] = deque()
        self.stream_faults: deque[tuple[str, int]] = deque()
        self.first_words: list[tuple[str, dict[str, Any]]] = []
        self.last_words: list[tuple[str, dict[str, Any]]] = []
        self.refusal: Response | None = None
        self.refusals: deque[Response] = deque()
        self.listens = False
        self.opened = 0
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
                Route("/sessions/{id}/flush", self.flush, methods=["POST"]),
                Route("/sessions/{id}/stream", self.stream, methods=["GET"]),
                Route("/sessions/{id}/transcript", self.transcript, methods=["GET"]),
            ]
        )

    def lose_sessions(self) -> None:
        """As a server that was killed and started again."""
        self.sessions.clear()
        abort_all()

    @property
    def newest(self) -> StoredSession:
        return list(self.sessions.values())[-1]

    async def create(self, request: Request) -> Response:
        self.requests.append(request)
        if self.refusal or self.refusals:
            return self.refusal or self.refusals.popleft()
        session_id = f"sess_{self.opened}"
        self.opened += 1
        self.sessions[session_id] = StoredSession((await request.json())["config"])
        return JSONResponse({"session_id": session_id, "status": "open", "engine": "scripted", "new": 1}, 201)

    async def describe(self, request: Request) -> Response:
        session = self.sessions.get(request.path_params["id"])
        if session is None:
            return problem(404, "session_not_found")
        status, offset = "ended" if session.ended else "open", len(session.audio)
        config, reason = session.config, session.reason
        document = {"session_id": request.path_params["id"], "status": status, "offset": offset, "reason": reason}
        return JSONResponse(document | {"config": config})

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
        if self.refusals:
            return self.refusals.popleft()
        if session.ended:
            return problem(409, "session_ended")
        fault = self.upload_faults.popleft() if self.upload_faults else ""
        stored = {"lose answer": len(body), "": len(body), "lose session": len(body)}.get(fault, 0)
        if fault in ("backlog", "lose half", "mismatch"):
            stored = len(body) // 2
        if offset > len(session.audio):
            return problem(409, "offset_mismatch", offset=len(session.audio))
        session.audio += body[len(session.audio) - offset : stored]
        if not session.events:
            for event_type, data in self.first_words:
                await self.publish(session_id, event_type, data)
        for event_type, data in session.hear() if self.listens else []:
            await self.publish(session_id, event_type, data)
        if fault == "lose session":
            self.lose_sessions()
        return upload_answer(request, fault, len(session.audio))

    async def flush(self, request: Request) -> Response:
        session_id = request.path_params["id"]
        session = self.sessions.get(session_id)
        if session is None:
            return problem(404, "session_not_found")
        if session.ended:
            return problem(409, "session_ended")
        offset = len(session.audio)
        if offset not in session.marks:
            session.marks.add(offset)
            seconds = session.heard / 2 / SAMPLE_RATE
            nothing = ("speech_end", {"end": seconds, "through": seconds, "flushed": offset})
            answer = session.final(seconds, flushed=offset) if session.words else nothing
            await self.publish(session_id, *answer)
        return JSONResponse({"session_id": session_id, "offset": offset, "timestamp": 1.0}, 202)

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
        if session_id not in self.sessions:
            return problem(404, "session_not_found")
        self.finish_waits.set()
        await self.finish_open.wait()
        if self.unfinished_answers:
            self.unfinished_answers -= 1
            return JSONResponse(self.document(session_id, "finishing"), 202)
        session = self.sessions.get(session_id)
        if session is None:
            return problem(404, "session_not_found")
        if not session.ended:
            if session.words:
                await self.publish(session_id, *session.final(session.heard / 2 / SAMPLE_RATE))
            for event_type, data in [*self.last_words, ("session_end", {"reason": "finished"})]:
                await self.publish(session_id, event_type, data)
        return JSONResponse(self.document(session_id, "ended"))

    async def transcript(self, request: Request) -> Response:
        if request.path_params["id"] not in self.sessions:
            return problem(404, "session_not_found")
        format = request.query_params.get("format", "json")
        document = self.document(request.path_params["id"], "ended")
        return JSONResponse(document) if format == "json" else PlainTextResponse(f"{format}: {document['text']}")

    def document(self, session_id: str, status: str) -> dict[str, Any]:
        events, reason = self.sessions[session_id].events, self.sessions[session_id].reason
        finals = [event["data"] for event in events if event["event_type"] == "final"]
        text = " ".join(final["text"] for final in finals)
        return {
            "session_id": session_id,
            "status": status,
            "text": text,
            "segments": finals,
            "duration": 1.0,
            "reason": reason,
        }


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
    if fault == "lose session":
        return problem(404, "session_not_found")
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
