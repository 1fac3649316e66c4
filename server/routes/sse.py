"""``GET /sessions/{id}/stream``: the events of a session as Server-Sent Events."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qs

from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from server.errors import InvalidEventId
from server.models import EventType
from server.routes.hot import HotRequest
from server.session_log.base import LoggedEvent
from server.settings import Settings

EVENT_ID = re.compile(rb"^\d{1,15}$")
STREAM_HEADERS = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


async def stream_events(request: HotRequest) -> Response:
    """Everything behind ``Last-Event-ID``, then live. 204 if the session has ended and that was its last event."""
    manager, session_id = request.manager, request.session_id
    query = parse_qs(request.scope["query_string"])
    last_event_id = request.headers.get(b"last-event-id") or query.get(b"last_event_id", [b""])[-1]
    if last_event_id and not EVENT_ID.match(last_event_id):
        state = await manager.state(session_id)
        raise InvalidEventId("Last-Event-ID is not a number.", last_event_id=state.last_event_id)
    after = int(last_event_id or 0)
    state = await manager.position(session_id, after)
    if state.status == "ended" and after == state.last_event_id:
        return Response(status_code=204)
    return EventStreamResponse(session_id, manager.events(session_id, after), request.settings)


def frame(session_id: str, event: LoggedEvent) -> bytes:
    """One event on the wire; the body of an event is JSON and holds no line break."""
    event_id = b"id: %d\n" % event.id if event.id else b""
    return event_id + _data(session_id, event.type, event.body, event.timestamp)


def heartbeat(session_id: str, status: bytes) -> bytes:
    return _data(session_id, EventType.HEARTBEAT, b'{"status":"%b"}' % status, time.time())


def _data(session_id: str, event_type: EventType, body: bytes, timestamp: float) -> bytes:
    return b'data: {"event_type":"%b","data":%b,"timestamp":%.3f,"session_id":"%b"}\n\n' % (
        event_type.value.encode(),
        body,
        timestamp,
        session_id.encode(),
    )


class EventStreamResponse(Response):
    """Server-Sent Events; a reader that takes nothing for ``send_timeout_seconds`` is cut off.

    To look now and then whether a send hangs costs less than a deadline for each of them.
    """

    media_type = "text/event-stream"

    def __init__(self, session_id: str, events: AsyncGenerator[list[LoggedEvent], None], settings: Settings) -> None:
        super().__init__(headers=STREAM_HEADERS)
        del self.headers["Content-Length"]
        self._session_id = session_id
        self._events = events
        self._beginning = b"retry: %d\n%b" % (settings.retry_ms, heartbeat(session_id, b"connected"))
        self._send_timeout = settings.send_timeout_seconds
        self._sending_since: float | None = None  # time of the event loop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._watch(receive))
                await self._send_frames(send)
                watching.cancel()
        except* _ReaderGone:
            pass

    async def _send_frames(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        loop, frames = asyncio.get_running_loop(), self._beginning
        async with aclosing(self._events):
            async for batch in self._events:
                frames += b"".join([frame(self._session_id, event) for event in batch])
                self._sending_since = loop.time()
                body = frames or heartbeat(self._session_id, b"alive")
                await send({"type": "http.response.body", "body": body, "more_body": True})
                self._sending_since, frames = None, b""
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, receive: Receive) -> None:
        """Raises :class:`_ReaderGone` when the reader has left, or takes nothing any more."""
        while not self._stalled():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._send_timeout / 4):
                    if (await receive())["type"] == "http.disconnect":
                        raise _ReaderGone
        # ASGI has no way to hang up; uvicorn's ``receive`` is a method of what holds the connection
        connection: Any = getattr(getattr(receive, "__self__", None), "transport", None)
        if connection is not None:  # closing it would wait for the reader, for ever
            connection.abort()
        raise _ReaderGone

    def _stalled(self) -> bool:
        since = self._sending_since
        return since is not None and asyncio.get_running_loop().time() - since >= self._send_timeout


class _ReaderGone(Exception):
    """Nobody reads this stream any more."""
