"""Between HTTP and the halves: bodies in, problem documents and event streams out."""

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from server.errors import BodyTooLarge, InvalidJSON, InvalidRequest, RequestError, UnsupportedType, UploadTimeout
from server.settings import Settings
from server.streaming_manager import invalid

Model = TypeVar("Model", bound=BaseModel)

CONFIG_BYTES = 65_536
JSON_OVERHEAD_BYTES = 4_096
BINARY_TYPES = ("application/octet-stream", "application/ogg")
OFFSET = re.compile(r"^\d{1,15}$")
STREAM_HEADERS = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse_content_encoding(request: Request) -> None:
    """A compressed body could unpack to any size."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedType(f"Content-Encoding {encoding[:40]} is not taken; send the body as it is.")


def declared_length(request: Request, limit: int) -> None:
    """Refuse a body that says it is too large before reading it."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > limit:
        raise BodyTooLarge(f"The body has {length} bytes; {limit} are the most. Send it in parts, or chunked.")


async def read_json(request: Request, model: type[Model], limit: int, settings: Settings) -> Model | None:
    """The body as ``model``; ``None`` when there is no body."""
    refuse_content_encoding(request)
    declared_length(request, limit)
    body = b""
    try:
        async with asyncio.timeout(settings.upload_idle_seconds):
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    raise BodyTooLarge(f"The body may have {limit} bytes.")
    except (TimeoutError, ClientDisconnect):
        raise UploadTimeout("The body stopped arriving; nothing of it was stored.") from None
    if not body:
        return None
    if media_type(request) != "application/json":
        raise UnsupportedType("Send JSON with Content-Type: application/json.")
    try:
        return model.model_validate_json(body)
    except ValidationError as exc:
        raise _refusal(exc) from None


def _refusal(error: ValidationError) -> RequestError:
    """What is wrong, never with the value: it may be someone's voice."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    if errors[0]["type"] == "json_invalid":
        return InvalidJSON(f"The body is not JSON. {errors[0]['msg']}")
    return _invalid_fields([(each["loc"], each["msg"]) for each in errors])


def _invalid_fields(errors: list[tuple[tuple[Any, ...], str]]) -> InvalidRequest:
    return invalid({".".join(str(part) for part in loc)[:200] or "body": message for loc, message in errors})


def decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid({"audio_data": "This is not base64."}) from None


def upload_offset(request: Request) -> int | None:
    """The ``Upload-Offset`` header."""
    value = request.headers.get("upload-offset")
    if value is None:
        return None
    if not OFFSET.match(value):
        raise invalid({"Upload-Offset": "This is no position in bytes."})
    return int(value)


async def body_pieces(request: Request) -> AsyncIterator[bytes]:
    """The body as it arrives; ends where the sender broke off, what came before counts."""
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        return


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


def problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None, **extra: Any) -> Response:
    """RFC 9457."""
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        **extra,
    }
    return JSONResponse(content, status, headers, media_type="application/problem+json")


async def on_request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if "offset" in error.extra:
        headers["Upload-Offset"] = str(error.extra["offset"])
    return problem(error.status, error.code, error.detail, headers, **error.extra)


async def on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return await on_request_error(request, _invalid_fields([(each["loc"][1:], each["msg"]) for each in error.errors()]))


async def on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).name.lower()
    return problem(error.status_code, code, str(error.detail), dict(error.headers or {}))


async def on_unforeseen(request: Request, error: Exception) -> Response:
    return problem(500, "internal_error", "Something went wrong here. The log of the server says more.")
