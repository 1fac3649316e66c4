"""The two servers that ``benchmarks.gateway`` compares, each made to run in a process of its own.

``ours`` is this service with an engine that costs next to nothing; ``bare`` is the least that an ASGI app must do to
move the same bytes: it keeps the body of an upload as it came and answers with an event of the same length.
"""

import asyncio
import cProfile
import json
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from server.engines.base import BYTES_PER_SECOND, Capabilities
from server.main import create_app
from server.models import Final, Interim, Recognition, SessionConfig, Word
from server.settings import Settings

Name = Literal["ours", "bare"]

CHUNK_BYTES = BYTES_PER_SECOND // 10
FINAL_EVERY = 10
"""Chunks; the final accounts for their second of audio."""
SPOKEN = "음성을 글로 옮긴다"


def serve(name: Name, listening: socket.socket, core: int | None, profile: Path | None) -> None:
    """Serve until told to stop by a signal; ``core`` is the only processor that the server may use."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    app: ASGIApp = bare if name == "bare" else our_app()
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off" if name == "bare" else "on",
        access_log=False,
        log_level="critical",
    )
    server = uvicorn.Server(config)
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more at its end: the profile comes after
    if profile is None:
        server.run([listening])
    else:
        with cProfile.Profile() as profiler:
            server.run([listening])
        profiler.dump_stats(profile)


# --- ours -----------------------------------------------------------------------------------------------------------


def our_app() -> ASGIApp:
    return create_app(Settings(_env_file=None, max_sessions=100_000, log_level="ERROR"), {"scripted": Scripted()})


class Scripted:
    """An engine that says of each chunk the number in the chunk's first sample."""

    capabilities = Capabilities(languages=frozenset({"ko"}))

    async def prewarm(self) -> None:
        return

    @asynccontextmanager
    async def open(self, config: SessionConfig, start: float) -> AsyncIterator["ScriptedRecognizer"]:
        yield ScriptedRecognizer(start)

    def status(self) -> dict[str, Any]:
        return {"ready": True}

    async def aclose(self) -> None:
        return


class ScriptedRecognizer:
    """An interim for each chunk, a final for each second."""

    def __init__(self, start: float) -> None:
        self._said = self._seconds = start
        self._rest = b""
        self._words: tuple[Word, ...] = ()
        self._results: asyncio.Queue[Recognition | None] = asyncio.Queue()

    async def send_audio(self, pcm: bytes) -> None:
        self._rest += pcm
        while len(self._rest) >= CHUNK_BYTES:
            self._hear(struct.unpack_from("<H", self._rest)[0])
            self._rest = self._rest[CHUNK_BYTES:]

    async def flush(self) -> None:
        self._results.put_nowait(Final("", self._said, self._seconds, self._seconds, flushed=True))
        self._said = self._seconds

    async def finish(self) -> None:
        self._results.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Recognition]:
        while (recognition := await self._results.get()) is not None:
            yield recognition

    def _hear(self, number: int) -> None:
        """The words are made once for each second: what an engine costs is not measured here."""
        self._seconds += CHUNK_BYTES / BYTES_PER_SECOND
        text, start, end = f"{number} {SPOKEN}", self._said, self._seconds
        if not self._words:
            self._words = tuple(Word(each, start, end, 0.9) for each in SPOKEN.split())
        if number % FINAL_EVERY:
            self._results.put_nowait(Interim(text, start, end, 0.9, self._words, "ko"))
        else:
            self._results.put_nowait(Final(text, start, end, end, 0.9, self._words, "ko"))
            self._said, self._words = end, ()


# --- bare -----------------------------------------------------------------------------------------------------------

DATA = {
    "text": f"NUMBER {SPOKEN}",
    "confidence": 0.9,
    "is_partial": True,
    "start": 12.0,
    "end": 12.5,
    "words": [{"word": each, "start": 12.0, "end": 12.5, "confidence": 0.9} for each in SPOKEN.split()],
    "language": "ko",
    "engine": "scripted",
}
EVENT = {"event_type": "token", "data": DATA, "timestamp": 1764000000.123, "session_id": f"sess_{0:032x}"}
FRAME = b"id: NUMBER\ndata: %b\n\n" % json.dumps(EVENT, ensure_ascii=False, separators=(",", ":")).encode()
FRAME = FRAME.replace(b"NUMBER", b"%d")
ANSWER = (
    b'{"session_id":"sess_0123456789abcdef0123456789abcdef","chunk_id":null,"received_bytes":3200,'
    b'"timestamp":1764000000.1234567,"offset":%d,"buffered_seconds":0.0}'
)
HEADERS = [(b"content-type", b"application/json")]
STREAM_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store, no-transform")]


class BareSession:
    """Bodies in, frames out."""

    def __init__(self) -> None:
        self.bodies = bytearray()
        self.uploads = 0
        self.frames: list[bytes] = []
        self.changed = asyncio.Event()
        self.ended = False


bare_sessions: dict[str, BareSession] = {}


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """``POST /sessions``, ``POST …/audio``, ``GET …/stream``, ``DELETE …``; a path is a session's key."""
    method, (_, _, *rest) = scope["method"], scope["path"].split("/")
    if not rest:
        key = f"sess_{len(bare_sessions):032x}"
        bare_sessions[key] = BareSession()
        await answer(send, b'{"session_id":"%b"}' % key.encode())
    elif method == "GET":
        await stream(bare_sessions[rest[0]], send)
    elif method == "DELETE":
        session = bare_sessions.pop(rest[0])
        session.ended = True
        session.changed.set()
        await answer(send, b"{}")
    else:
        await store(bare_sessions[rest[0]], receive, send)


async def store(session: BareSession, receive: Receive, send: Send) -> None:
    if session.uploads % FINAL_EVERY == 0:
        session.bodies.clear()
    more = True
    while more:
        message = await receive()
        session.bodies += message.get("body", b"")
        more = message.get("more_body", False)
    session.uploads += 1
    session.frames.append(FRAME % (session.uploads, session.uploads))
    session.changed.set()
    await answer(send, ANSWER % (session.uploads * CHUNK_BYTES))


async def stream(session: BareSession, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
    while not session.ended:
        await session.changed.wait()
        session.changed.clear()
        body = b"".join(session.frames)
        session.frames.clear()
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def answer(send: Send, body: bytes) -> None:
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, (b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})
