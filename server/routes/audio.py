"""``POST /sessions/{id}/audio``: base64 in JSON, a form with a file, or raw bytes, also as one long body."""

import time

from fastapi.responses import Response
from pydantic_core import to_json

from server.audio.formats import seconds_ahead
from server.errors import UnsupportedType, invalid
from server.models import AudioUploadRequest
from server.routes import bodies
from server.routes.hot import Answer, HotRequest
from server.routes.multipart import file_pieces
from server.session_log.base import SessionState

JSON = (b"content-type", b"application/json")


async def upload_audio(request: HotRequest) -> Response:
    """Store the audio and tell the session's next ``offset``: everything before it is stored."""
    kind = bodies.media_type(request.headers)
    if kind == "application/json":
        return await _upload_json(request)
    form = kind == "multipart/form-data"
    if not form and kind not in bodies.BINARY_TYPES and not kind.startswith(("audio/", "video/")):
        raise UnsupportedType(f"{_named(kind)} Send application/json, application/octet-stream, audio/* or video/*.")
    bodies.refuse_content_encoding(request.headers)
    bodies.refuse_declared_length(request.headers, request.settings.max_body_bytes)
    offset = bodies.upload_offset(request.headers)
    pieces = bodies.body_pieces(request.receive)
    if form:
        pieces = file_pieces(request.headers[b"content-type"].decode("latin-1"), pieces)
    return _accepted(*await request.manager.accept_stream(request.session_id, pieces, offset, kind), None)


def _named(kind: str) -> str:
    return f"{kind[:60]} is no audio." if kind else "There is no Content-Type."


async def _upload_json(request: HotRequest) -> Response:
    limits = request.settings
    limit = limits.max_chunk_bytes * 7 // 5 + bodies.JSON_OVERHEAD_BYTES  # base64 with line breaks
    body = await bodies.read_json(
        request.headers, request.receive, AudioUploadRequest, limit, limits.upload_idle_seconds
    )
    if body is None:
        raise invalid({"audio_data": "The body is empty."})
    data = bodies.decode_base64(body.audio_data)
    return _accepted(await request.manager.accept(request.session_id, data, body.offset), len(data), body.chunk_id)


def _accepted(state: SessionState, received: int, chunk_id: str | int | None) -> Response:
    """An ``AudioUploadResponse``, made without its model: a session gets ten of them a second."""
    ahead = seconds_ahead(state.config, state.head, state.offset, state.taken, state.recognized_seconds)
    answer = {
        "session_id": state.session_id,
        "chunk_id": chunk_id,
        "received_bytes": received,
        "timestamp": time.time(),
        "offset": state.offset,
        "buffered_seconds": ahead,
    }
    return Answer(to_json(answer), JSON, (b"upload-offset", b"%d" % state.offset))
