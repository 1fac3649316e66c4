"""What comes over the wire: events, transcripts, states."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from httpx_sse import ServerSentEvent

from stt_client.errors import ServerUnavailable


@dataclass(frozen=True, slots=True)
class Event:
    """One event. ``id`` is ``None`` for heartbeats, which are in no log; ``timestamp`` is in Unix seconds."""

    event_type: str
    data: dict[str, Any]
    timestamp: float
    session_id: str
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """One final. ``start`` and ``end`` in seconds of audio; ``words`` as the server sent them."""

    text: str
    start: float
    end: float
    confidence: float | None = None
    language: str = ""
    engine: str = ""
    words: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """``duration`` in seconds of recognised audio; ``document`` is the server's JSON as it came."""

    session_id: str
    status: str
    text: str
    segments: tuple[Segment, ...]
    duration: float
    reason: str | None = None
    document: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class SessionState:
    """``offset``: next byte that the server expects. ``created`` in Unix seconds."""

    session_id: str
    status: str
    offset: int
    received_bytes: int = 0
    recognized_seconds: float = 0.0
    buffered_seconds: float = 0.0
    last_event_id: int = 0
    reason: str | None = None
    engine: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    created: float = 0.0


def read_event(frame: ServerSentEvent) -> Event | None:
    """The event of a frame; ``None`` for a frame without data, such as the one that only says ``retry:``."""
    if not frame.data:
        return None
    try:
        document = json.loads(frame.data)
    except ValueError as error:
        raise ServerUnavailable("The event stream carries something that is not JSON.") from error
    event = Event(**_known(Event, document if isinstance(document, dict) else {}))
    # A frame without an id still has the last one of the stream: heartbeats are told by their type.
    logged = event.event_type != "heartbeat" and frame.id.isdecimal()
    return Event(event.event_type, event.data, event.timestamp, event.session_id, int(frame.id) if logged else None)


def read_transcript(document: dict[str, Any]) -> Transcript:
    segments = tuple(
        Segment(**_known(Segment, segment) | {"words": tuple(segment.get("words", ()))})
        for segment in document.get("segments", ())
    )
    return Transcript(**_known(Transcript, document) | {"segments": segments, "document": document})


def read_state(document: dict[str, Any]) -> SessionState:
    return SessionState(**_known(SessionState, document))


def _known(kind: type, document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that ``kind`` has: a newer server may say more."""
    known = {each.name: document[each.name] for each in fields(kind) if each.name in document}
    for each in fields(kind):
        if each.name not in known and each.default is MISSING and each.default_factory is MISSING:
            raise ServerUnavailable(f"The answer has no {each.name!r}: something else answers at this address.")
    return known
