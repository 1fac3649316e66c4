"""Bodies of requests: JSON read whole, raw audio as it arrives."""

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncIterator
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from server.errors import BodyTooLarge, UnsupportedType, UploadTimeout, invalid
from server.routes.problems import refusal_of

Model = TypeVar("Model", bound=BaseModel)

CONFIG_BYTES = 65_536
JSON_OVERHEAD_BYTES = 4_096
BINARY_TYPES = ("application/octet-stream", "application/ogg")
OFFSET = re.compile(r"^\d{1,15}$")


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse_content_encoding(request: Request) -> None:
    """A compressed body could unpack to any size."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedType(f"Content-Encoding {encoding[:40]} is not taken; send the body as it is.")


def refuse_declared_length(request: Request, limit: int) -> None:
    """Refuse a body that says it is too large before reading it."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > limit:
        raise BodyTooLarge(f"The body has {length} bytes; {limit} are the most. Send it in parts, or chunked.")


async def read_json(request: Request, model: type[Model], limit: int, idle_seconds: float) -> Model | None:
    """The body as ``model``; ``None`` when there is no body. It has to be complete within ``idle_seconds``."""
    refuse_content_encoding(request)
    refuse_declared_length(request, limit)
    body = b""
    try:
        async with asyncio.timeout(idle_seconds):
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
        raise refusal_of(exc) from None


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
