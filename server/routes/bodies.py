"""Bodies of requests: JSON read whole, raw audio as it arrives. ``headers``: as they came, names in lower case."""

import asyncio
import binascii
import re
from collections.abc import AsyncIterator, Mapping
from typing import TypeVar

import pybase64
from pydantic import BaseModel, ValidationError
from starlette.types import Receive

from server.errors import BodyTooLarge, UnsupportedType, UploadTimeout, invalid
from server.routes.problems import refusal_of

Model = TypeVar("Model", bound=BaseModel)
Headers = Mapping[bytes, bytes]

CONFIG_BYTES = 65_536
JSON_OVERHEAD_BYTES = 4_096
BINARY_TYPES = ("application/octet-stream", "application/ogg")
DATA_URL = re.compile(r"^\s*data:[^,]{0,200};base64,", re.IGNORECASE)
PLAIN = str.maketrans({"-": "+", "_": "/"} | dict.fromkeys(" \t\r\n"))
OFFSET = re.compile(rb"^\d{1,15}$")


def media_type(headers: Headers) -> str:
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")


def refuse_content_encoding(headers: Headers) -> None:
    """A compressed body could unpack to any size."""
    encoding = headers.get(b"content-encoding", b"identity").lower()
    if encoding != b"identity":
        name = encoding[:40].decode("latin-1")
        raise UnsupportedType(f"Content-Encoding {name} is not taken; send the body as it is.")


def refuse_declared_length(headers: Headers, limit: int) -> None:
    """Refuse a body that says it is too large before reading it."""
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > limit:
        raise BodyTooLarge(f"The body has {int(length)} bytes; {limit} are the most. Send it in parts, or chunked.")


async def read_json(
    headers: Headers, receive: Receive, model: type[Model], limit: int, idle_seconds: float
) -> Model | None:
    """The body as ``model``; ``None`` when there is no body. It has to be complete within ``idle_seconds``."""
    refuse_content_encoding(headers)
    refuse_declared_length(headers, limit)
    try:
        async with asyncio.timeout(idle_seconds):
            body = await _read(receive, limit)
    except TimeoutError:
        body = None
    if body is None:
        raise UploadTimeout("The body stopped arriving; nothing of it was stored.")
    if not body:
        return None
    if media_type(headers) != "application/json":
        raise UnsupportedType("Send JSON with Content-Type: application/json.")
    try:
        return model.model_validate_json(body)
    except ValidationError as exc:
        raise refusal_of(exc) from None


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The whole body; ``None`` if the sender broke off."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > limit:
            raise BodyTooLarge(f"The body may have {limit} bytes.")
        if not message.get("more_body", False):
            return bytes(body)


def decode_base64(text: str) -> bytes:
    """Base64 as browsers and shells make it, too: a data URL, with line breaks, URL-safe, without padding."""
    try:
        return pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        plain = DATA_URL.sub("", text, count=1).translate(PLAIN)
    try:
        return pybase64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid({"audio_data": "This is not base64."}) from None


def upload_offset(headers: Headers) -> int | None:
    """The ``Upload-Offset`` header."""
    value = headers.get(b"upload-offset")
    if value is None:
        return None
    if not OFFSET.match(value):
        raise invalid({"Upload-Offset": "This is no position in bytes."})
    return int(value)


async def body_pieces(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it arrives; ends where the sender broke off, what came before counts."""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        yield message.get("body", b"")
        more = message.get("more_body", False)
