"""``GET /sessions/{id}/stream``: the events of a session as Server-Sent Events."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from server.errors import InvalidEventId
from server.models import EventType
from server.session_log.base import LoggedEvent
from server.settings import Settings
from server.streaming_manager import StreamingSessionManager

EVENT_ID = re.compile(r"^\d{1,15}$")
STREAM_HEADERS = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


async def stream_events(request: Request, session_id: str) -> Response:
    """Everything behind ``Last-Event-ID``, then live. 204 if the session has ended and that was its last event."""
    manager: StreamingSessionManager = request.app.state.manager
    settings: Settings = request.app.state.settings
    last_event_id = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
    if last_event_id and not EVENT_ID.match(last_event_id):
        state = await manager.state(session_id)
        raise InvalidEventId("Last-Event-ID is not a number.", last_event_id=state.last_event_id)
    after = int(last_event_id or 0)
    state = await manager.position(session_id, after)
    if state.status == "ended" and after == state.last_event_id:
        return Response(status_code=204)
    frames = _frames(session_id, manager.events(session_id, after), settings.retry_ms)
    return EventStreamResponse(frames, settings.send_timeout_seconds)


async def _frames(
    session_id: str, events: AsyncGenerator[list[LoggedEvent], None], retry_ms: int
) -> AsyncGenerator[bytes, None]:
    beginning = b"retry: %d\n" % retry_ms
    status = b"connected"
    async with aclosing(events):
        async for batch in events:
            yield beginning + (b"".join(frame(session_id, each) for each in batch) or _heartbeat(session_id, status))
            beginning, status = b"", b"alive"


def frame(session_id: str, event: LoggedEvent) -> bytes:
    """One event on the wire; the body of an event is JSON and holds no line break."""
    event_id = b"id: %d\n" % event.id if event.id else b""
    return event_id + _data(session_id, event.type, event.body, event.timestamp)


def _heartbeat(session_id: str, status: bytes) -> bytes:
    return _data(session_id, EventType.HEARTBEAT, b'{"status":"%b"}' % status, time.time())


def _data(session_id: str, event_type: EventType, body: bytes, timestamp: float) -> bytes:
    return b'data: {"event_type":"%b","data":%b,"timestamp":%.3f,"session_id":"%b"}\n\n' % (
        event_type.value.encode(),
        body,
        timestamp,
        session_id.encode(),
    )


class EventStreamResponse(StreamingResponse):
    """Server-Sent Events; a reader that takes nothing for ``send_timeout`` seconds is cut off."""

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncGenerator[bytes, None], send_timeout: float) -> None:
        super().__init__(frames, headers=STREAM_HEADERS)
        self._frames = frames
        self._send_timeout = send_timeout
        self._connection: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # ASGI has no way to hang up; uvicorn's ``receive`` is a method of what holds the connection
        self._connection = getattr(getattr(receive, "__self__", None), "transport", None)
        await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Any) -> None:
            async with asyncio.timeout(self._send_timeout):
                await send(message)

        async with aclosing(self._frames):
            try:
                await super().stream_response(send_in_time)
            except TimeoutError:
                if self._connection is not None:  # closing it would wait for the reader, for ever
                    self._connection.abort()
