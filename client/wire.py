"""What comes over the wire: answers, events, refusals. Users start at ``client.stt_client``.

STTClientError
 ├── RequestRefused      the server said no: ``status``, ``code``, ``detail``, ``extra``
 ├── ServerUnavailable   no usable answer for as long as the :class:`RetryPolicy` allows
 └── SessionLost         the server does not know the session, or has other audio of it than was sent
"""

import json
import random
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import httpx
from httpx_sse import ServerSentEvent


class STTClientError(Exception):
    """Base of every error of this module. ``retryable``: another try of the same request can help."""

    retryable = False
    retry_after = 0.0
    """Seconds that the server asks to wait before another try."""


class RequestRefused(STTClientError):
    """The server refused the request. ``extra`` is what the problem document says beyond ``code`` and ``detail``."""

    def __init__(self, status: int, code: str, detail: str, extra: Mapping[str, Any]) -> None:
        super().__init__(f"{detail} ({status} {code})")
        self.status = status
        self.code = code
        self.detail = detail
        self.extra = extra
        self.retryable = status in (408, 429)


class ServerUnavailable(STTClientError):
    """The server cannot be reached, or what answers there is not the service."""

    retryable = True

    def __init__(self, detail: str, retry_after: float = 0.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class SessionLost(STTClientError):
    """The session cannot go on: it is unknown or expired, or its stored audio does not match what was sent."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait between tries, and when to give up. All in seconds; give-up times of 0 mean a single try."""

    first_seconds: float = 0.2
    longest_seconds: float = 5.0
    give_up_seconds: float = 60.0
    first_contact_seconds: float = 5.0
    """Give-up time until the server has answered once: a wrong address should not look like a slow server."""

    def delay(self, failures: int, retry_after: float = 0.0) -> float:
        """Wait after so many failures in a row (from 1), jittered so that clients do not come back in step."""
        backoff = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))
        return retry_after + backoff * random.uniform(0.5, 1.0)


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


def read_document(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError as error:
        raise ServerUnavailable("The answer is not JSON: something else answers at this address.") from error
    if not isinstance(document, dict):
        raise ServerUnavailable("The answer is no JSON object: something else answers at this address.")
    return document


def read_refusal(response: httpx.Response) -> STTClientError:
    """The error that a problem document, or whatever a proxy answers in its place, stands for."""
    try:
        problem = read_document(response)
    except ServerUnavailable:
        problem = {}
    code = problem.pop("code", f"http_{response.status_code}")
    detail = problem.pop("detail", response.reason_phrase)
    seconds = response.headers.get("retry-after", "")  # a date, the other form, is left to the backoff
    retry_after = float(seconds) if seconds.isdecimal() else 0.0
    if code == "session_not_found":
        return SessionLost(detail)
    if response.status_code >= 500:
        return ServerUnavailable(f"{detail} ({response.status_code} {code})", retry_after)
    refused = RequestRefused(response.status_code, code, detail, problem)
    refused.retry_after = retry_after
    return refused


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
