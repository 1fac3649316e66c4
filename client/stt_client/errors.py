"""What goes wrong between a client and the service.

STTClientError
 ├── RequestRefused      the server said no: ``status``, ``code``, ``detail``, ``extra``
 ├── ServerUnavailable   no usable answer for as long as the :class:`RetryPolicy` allows
 └── SessionLost         the server does not know the session, and it cannot go on in a new one
"""

from collections.abc import Mapping
from typing import Any

import httpx

from stt_client.codes import ANSWERS, SERVER_AWAY, Action, on_answer

OVERLOADED = (408, 429)


class STTClientError(Exception):
    """Base of every error of the SDK."""

    code = SERVER_AWAY
    """The server's code, or one of ours; ``codes.json`` says what is done about it."""
    retry_after = 0.0
    """Seconds that the server asks to wait before another try."""

    @property
    def action(self) -> Action:
        return on_answer(self.code)

    @property
    def retryable(self) -> bool:
        """Another try of the same request can help."""
        return self.action in (Action.RETRY, Action.WAIT, Action.RESUME)


class RequestRefused(STTClientError):
    """The server refused the request. ``extra`` is what the problem document says beyond ``code`` and ``detail``."""

    def __init__(self, status: int, code: str, detail: str, extra: Mapping[str, Any]) -> None:
        super().__init__(f"{detail} ({status} {code})")
        self.status = status
        self.code = code
        self.detail = detail
        self.extra = extra


class ServerUnavailable(STTClientError):
    """The server cannot be reached, cannot answer now, or what answers there is not the service."""

    def __init__(self, detail: str, retry_after: float = 0.0, code: str = SERVER_AWAY) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.code = code


class SessionLost(STTClientError):
    """The session cannot go on: it is unknown or expired, or its stored audio does not match what was sent."""

    def __init__(self, detail: str, code: str = "session_lost") -> None:
        super().__init__(detail)
        self.code = code


def read_document(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer. Raises :class:`ServerUnavailable`."""
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
    status, code = response.status_code, problem.pop("code", None)
    detail = problem.pop("detail", response.reason_phrase)
    seconds = response.headers.get("retry-after", "")  # a date, the other form, is left to the backoff
    retry_after = float(seconds) if seconds.isdecimal() else 0.0
    if code == "session_not_found":
        return SessionLost(detail, code)
    if status >= 500 or (status in OVERLOADED and code not in ANSWERS):
        known = code if code in ANSWERS else SERVER_AWAY
        return ServerUnavailable(f"{detail} ({status} {code or SERVER_AWAY})", retry_after, known)
    refused = RequestRefused(status, code or f"http_{status}", detail, problem)
    refused.retry_after = retry_after
    return refused
