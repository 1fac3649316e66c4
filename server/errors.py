"""Everything that can go wrong, by name. HTTP statuses live here so that all routes share one handler.

STTError
 ├── RequestError                 the caller is wrong; nothing was stored
 │    ├── InvalidRequest  422     ├── InvalidJSON  400       ├── InvalidEventId  400
 │    ├── SessionNotFound 404     ├── SessionEnded 409       ├── OffsetMismatch  409
 │    ├── BodyTooLarge    413     ├── UnsupportedType 415    ├── UploadTimeout   408
 │    ├── BacklogFull     429     ├── TooManySessions 429    └── Draining        503
 │    └── LogUnavailable  503
 ├── AudioError                   the audio itself cannot be decoded: ends the session
 ├── EngineError                  a recognizer failed; ``retryable`` says whether another try can help
 ├── LeaseLost                    another process recognises this session now
 └── CannotStart                  the server must not start as it is configured
"""

from collections.abc import Mapping
from typing import Any


class STTError(Exception):
    """Base of every error of ours. ``code`` is stable and part of the wire contract."""

    code = "internal_error"


class RequestError(STTError):
    """The request is refused; nothing of it was stored.

    ``extra`` goes into the problem document as it is, ``retry_after`` (whole seconds) into the header.
    """

    status = 400

    def __init__(self, detail: str, *, retry_after: int | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        self.extra = extra


class InvalidRequest(RequestError):
    """A field is missing, malformed or impossible. ``errors`` names each one."""

    status, code = 422, "invalid_request"


def invalid(errors: Mapping[str, str]) -> InvalidRequest:
    """A refusal that names each field and what is wrong with it."""
    detail = "; ".join(f"{field}: {reason}" for field, reason in errors.items())
    return InvalidRequest(detail, errors=[{"field": field, "message": reason} for field, reason in errors.items()])


class InvalidJSON(RequestError):
    """The body is not JSON."""

    status, code = 400, "invalid_json"


class InvalidEventId(RequestError):
    """``Last-Event-ID`` is not an id that this session has published."""

    status, code = 400, "invalid_event_id"


class SessionNotFound(RequestError):
    """There is no such session, or it has expired."""

    status, code = 404, "session_not_found"

    def __init__(self, session_id: str) -> None:
        super().__init__("There is no such session. It may have expired.")
        self.session_id = session_id


class SessionEnded(RequestError):
    """The session takes no more audio."""

    status, code = 409, "session_ended"


class OffsetMismatch(RequestError):
    """The chunk starts after the end of what is stored; ``offset`` says where to go on."""

    status, code = 409, "offset_mismatch"

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(
            f"The chunk starts at byte {got}, but only {expected} bytes are stored. Send from byte {expected}.",
            offset=expected,
        )
        self.expected = expected


class BodyTooLarge(RequestError):
    """The body is larger than one request may be."""

    status, code = 413, "body_too_large"


class UnsupportedType(RequestError):
    """The body's media type or content encoding is not taken."""

    status, code = 415, "unsupported_media_type"


class UploadTimeout(RequestError):
    """The body stopped arriving."""

    status, code = 408, "upload_timeout"


class BacklogFull(RequestError):
    """The upload is too far ahead of the recognizer. ``offset`` says how much is stored."""

    status, code = 429, "backlog_full"

    def __init__(self, offset: int) -> None:
        super().__init__("The upload is too far ahead of the recognizer.", retry_after=1, offset=offset)


class TooManySessions(RequestError):
    """The server carries as many sessions as it can."""

    status, code = 429, "too_many_sessions"


class Draining(RequestError):
    """The server is stopping and opens no new session."""

    status, code = 503, "draining"


class LogUnavailable(RequestError):
    """The session log cannot be reached; nothing was stored. Ends no session: both halves try again."""

    status, code = 503, "log_unavailable"

    def __init__(self, detail: str = "The session log does not answer. Nothing was stored; try again.") -> None:
        super().__init__(detail, retry_after=1)


class AudioError(STTError):
    """The uploaded bytes are no audio that can be decoded."""

    code = "undecodable_audio"


class EngineError(STTError):
    """A recognizer or its engine failed.

    Decided where the error is raised: ``retryable`` when reopening the same engine may help, ``outage`` when it may
    take a while until it does.
    """

    code = "engine_failed"

    def __init__(self, detail: str, *, retryable: bool, outage: bool = False) -> None:
        super().__init__(detail)
        self.retryable = retryable
        self.outage = outage


class LeaseLost(STTError):
    """The session's lease belongs to another owner now; stop without writing anything."""

    code = "lease_lost"


class CannotStart(STTError):
    """The server must not start as it is configured; the sentence says why."""

    code = "cannot_start"
