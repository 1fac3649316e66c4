"""Asynchronous SDK: audio goes up in resumable POSTs, events come down by SSE, each byte and each event once.

    async with STTClient("http://127.0.0.1:8001") as client:
        session = await client.create_session(language="ko")
        await session.send(pcm)
        transcript = await session.finish()

``Session.send`` and ``Session.events`` are meant to run at the same time, in two tasks. Every method that asks the
server may raise the errors of ``client.wire``.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from types import TracebackType
from typing import Any, Literal, Self, overload
from urllib.parse import quote

import httpx

from client.connection import Connection, Patience
from client.upload import Upload
from client.wire import (
    Event,
    RequestRefused,
    RetryPolicy,
    Segment,
    ServerUnavailable,
    SessionLost,
    SessionState,
    STTClientError,
    Transcript,
    read_document,
    read_event,
    read_state,
    read_transcript,
)

__all__ = [
    "Event",
    "RequestRefused",
    "RetryPolicy",
    "STTClient",
    "STTClientError",
    "Segment",
    "ServerUnavailable",
    "Session",
    "SessionLost",
    "SessionState",
    "Transcript",
]

FINISH_TIMEOUT = httpx.Timeout(90.0, connect=5.0)  # longer than a server waits for the last finals


class STTClient:
    """One server. Use it as an async context manager: it owns the connections and the upload task of each session.

    ``stall_seconds``: an event stream that is silent for so long (heartbeats come each second) is opened anew.
    ``buffer_bytes``: unconfirmed audio that a session keeps before ``send`` blocks; ``chunk_bytes``: of one POST.
    Raises ``ValueError`` for an address that is no http(s) URL, or a key that cannot be a header.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        retry: RetryPolicy | None = None,
        stall_seconds: float = 10.0,
        buffer_bytes: int = 1 << 20,
        chunk_bytes: int = 1 << 16,
    ) -> None:
        self._connection = Connection(base_url, api_key, transport, retry or RetryPolicy(), stall_seconds)
        self._buffer_bytes = buffer_bytes
        self._chunk_bytes = min(chunk_bytes, buffer_bytes)
        self._tasks = asyncio.TaskGroup()
        self._uploads: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for upload in self._uploads:
            upload.cancel()
        # The group hears only of cancellation: any other error of the body is to leave as it is, not in a group.
        cancelled = error if isinstance(error, asyncio.CancelledError) else None
        try:
            await self._tasks.__aexit__(type(cancelled) if cancelled else None, cancelled, trace)
        finally:
            await self._connection.aclose()

    async def create_session(self, **config: Any) -> "Session":
        """Open a session; ``config`` are the fields of the server's ``SessionConfig``, each with its default.

        A try whose answer was lost leaves a session behind, which the server ends when it has been idle.
        """
        document = await self._connection.document("POST", "sessions", json={"config": config})
        return self._session(read_state(document | {"offset": 0}))

    async def session(self, session_id: str) -> "Session":
        """Take up a session that exists: ``send`` goes on at the first byte that the server lacks."""
        return self._session(read_state(await self._connection.document("GET", _path(session_id))))

    async def info(self) -> dict[str, Any]:
        """What the server can do, and its limits."""
        return await self._connection.document("GET", "info")

    def _session(self, state: SessionState) -> "Session":
        path = f"{_path(state.session_id)}/audio"
        upload = Upload(self._connection, path, state.offset, self._buffer_bytes, self._chunk_bytes, self._start)
        return Session(self._connection, state, upload)

    def _start(self, upload: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._tasks.create_task(upload)
        self._uploads.add(task)
        task.add_done_callback(self._uploads.discard)
        return task


class Session:
    """One session. Sending is safe from several tasks: the bytes of one ``send`` stay together."""

    def __init__(self, connection: Connection, state: SessionState, upload: Upload) -> None:
        self.session_id = state.session_id
        self.engine = state.engine
        self.config = state.config
        self._connection = connection
        self._path = _path(state.session_id)
        self._upload = upload

    @property
    def confirmed_bytes(self) -> int:
        """Bytes of the session that the server has stored for certain."""
        return self._upload.start

    @property
    def unconfirmed_bytes(self) -> int:
        """Bytes taken by ``send`` that are kept here until the server confirms them."""
        return self._upload.kept_bytes

    async def send(self, pcm: bytes) -> None:
        """Take bytes for the upload; block while the buffer is full.

        Returns as soon as the bytes are in the buffer, from which they go up in order until they are confirmed:
        ``flush`` and ``finish`` wait for that. Raises :class:`RequestRefused` or :class:`SessionLost` when the upload
        cannot go on. After :class:`ServerUnavailable` what was taken is still kept (``confirmed_bytes +
        unconfirmed_bytes`` tells how much of ``pcm`` that is), and another ``send`` or ``finish`` tries anew.
        """
        await self._upload.take(pcm)

    async def flush(self) -> None:
        """Wait until everything sent so far is confirmed. Raises what ``send`` does."""
        await self._upload.flush()

    async def finish(self) -> Transcript:
        """Send what is left, let the server recognise it, and return the whole transcript. May be called again."""
        await self._upload.flush()
        self._upload.stop()
        while True:
            answer = await self._connection.request("DELETE", self._path, timeout=FINISH_TIMEOUT)
            if answer.status_code != 202:
                return read_transcript(read_document(answer))
            await asyncio.sleep(self._connection.retry.delay(1))

    async def purge(self) -> None:
        """Have the server erase everything about the session at once. A session that is gone is no error."""
        self._upload.stop()
        try:
            await self._connection.request("DELETE", self._path, params={"purge": "true"})
        except SessionLost:
            return

    async def state(self) -> SessionState:
        return read_state(await self._connection.document("GET", self._path))

    @overload
    async def transcript(self, format: Literal["json"] = "json") -> Transcript: ...

    @overload
    async def transcript(self, format: Literal["text", "srt", "vtt"]) -> str: ...

    async def transcript(self, format: str = "json") -> Transcript | str:
        """What is final so far."""
        answer = await self._connection.request("GET", f"{self._path}/transcript", params={"format": format})
        return read_transcript(read_document(answer)) if format == "json" else answer.text

    async def events(self, after: int = 0, *, heartbeats: bool = False) -> AsyncGenerator[Event, None]:
        """Every event with an id above ``after``, once and in order, until the session ends.

        A stream that is cut or stalls is opened again where it stopped. Close the generator (``contextlib.aclosing``)
        when leaving it early.
        """
        patience = Patience(self._connection)
        reconnect_seconds = 0.0
        while True:
            try:
                async with aclosing(self._connection.frames(f"{self._path}/stream", after)) as frames:
                    async for frame in frames:
                        if frame.retry is not None:
                            reconnect_seconds = frame.retry / 1000
                        event = read_event(frame)
                        if event is None:
                            continue
                        patience.reset()
                        if event.event_type == "session_end":
                            yield event
                            return
                        if event.event_type == "heartbeat":
                            if heartbeats:
                                yield event
                        elif event.id is None or event.id > after:
                            after = event.id or after
                            yield event
                return
            except STTClientError as cut:
                cut.retry_after = cut.retry_after or reconnect_seconds
                await patience.wait(cut)


def _path(session_id: str) -> str:
    return f"sessions/{quote(session_id, safe='')}"
