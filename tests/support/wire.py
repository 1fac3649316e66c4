"""What a client does with a server, over httpx."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.servers import STUCK_SECONDS


@dataclass(frozen=True)
class Event:
    """One frame of an event stream; ``id`` is ``None`` for a heartbeat."""

    id: int | None
    type: str
    data: dict[str, Any]
    session_id: str
    timestamp: float


def connect(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=STUCK_SECONDS, trust_env=False)


async def open_session(http: httpx.AsyncClient, **config: Any) -> str:
    answer = await http.post("/sessions", json={"config": config})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["session_id"])


async def upload(http: httpx.AsyncClient, session_id: str, pcm: bytes, offset: int | None = None) -> httpx.Response:
    """One raw body."""
    headers = {"Content-Type": "application/octet-stream"}
    if offset is not None:
        headers["Upload-Offset"] = str(offset)
    return await http.post(f"/sessions/{session_id}/audio", content=pcm, headers=headers)


async def finish(http: httpx.AsyncClient, session_id: str) -> dict[str, Any]:
    """The whole transcript."""
    answer = await http.delete(f"/sessions/{session_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@asynccontextmanager
async def stream(
    http: httpx.AsyncClient, session_id: str, last_event_id: int | str | None = None
) -> AsyncIterator[AsyncIterator[Event]]:
    """The event stream, connected; heartbeats included."""
    headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
    async with http.stream("GET", f"/sessions/{session_id}/stream", headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield events_in(answer)


async def events_in(answer: httpx.Response) -> AsyncIterator[Event]:
    """The frames of an event stream, as they come."""
    event_id, data = None, None
    async for line in answer.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "id":
            event_id = int(value)
        elif field == "data":
            data = json.loads(value)
        elif not line and data is not None:
            yield Event(event_id, data["event_type"], data["data"], data["session_id"], data["timestamp"])
            event_id, data = None, None


async def read_to_end(http: httpx.AsyncClient, session_id: str, last_event_id: int | str | None = None) -> list[Event]:
    """Everything but heartbeats, until the server closes the stream."""
    async with stream(http, session_id, last_event_id) as events:
        return [event async for event in events if event.type != "heartbeat"]


def finals(events: list[Event]) -> list[str]:
    return [event.data["text"] for event in events if event.type == "final"]
