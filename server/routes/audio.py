"""``POST /sessions/{id}/audio``: base64 in JSON, or raw bytes, also as one long body that is taken in as it arrives."""

import json
import time
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from server.audio.formats import seconds_ahead
from server.errors import UnsupportedType, invalid
from server.models import AudioUploadRequest
from server.routes import bodies
from server.session_log.base import SessionState
from server.settings import Settings
from server.streaming_manager import StreamingSessionManager


async def upload_audio(request: Request, session_id: str) -> Response:
    """Store the audio and tell the session's next ``offset``: everything before it is stored."""
    manager: StreamingSessionManager = request.app.state.manager
    settings: Settings = request.app.state.settings
    kind = bodies.media_type(request)
    if kind == "application/json":
        return await _upload_json(request, session_id, manager, settings)
    if kind in bodies.BINARY_TYPES or kind.startswith(("audio/", "video/")):
        bodies.refuse_content_encoding(request)
        bodies.refuse_declared_length(request, settings.max_body_bytes)
        pieces = bodies.body_pieces(request)
        state, received = await manager.accept_stream(session_id, pieces, bodies.upload_offset(request))
        return _accepted(state, received, None)
    raise UnsupportedType("Send application/json, application/octet-stream, audio/* or video/*.")


async def _upload_json(
    request: Request, session_id: str, manager: StreamingSessionManager, settings: Settings
) -> Response:
    limit = settings.max_chunk_bytes * 4 // 3 + bodies.JSON_OVERHEAD_BYTES
    body = await bodies.read_json(request, AudioUploadRequest, limit, settings.upload_idle_seconds)
    if body is None:
        raise invalid({"audio_data": "The body is empty."})
    data = bodies.decode_base64(body.audio_data)
    return _accepted(await manager.accept(session_id, data, body.offset), len(data), body.chunk_id)


def _accepted(state: SessionState, received: int, chunk_id: str | int | None) -> Response:
    """An ``AudioUploadResponse``, written by hand: it is sent ten times a second for each session."""
    answer: dict[str, Any] = {
        "session_id": state.session_id,
        "chunk_id": chunk_id,
        "received_bytes": received,
        "timestamp": time.time(),
        "offset": state.offset,
        "buffered_seconds": seconds_ahead(
            state.config, state.head, state.offset, state.taken, state.recognized_seconds
        ),
    }
    headers = {"Upload-Offset": str(state.offset)}
    return Response(json.dumps(answer, ensure_ascii=False).encode(), 200, headers, "application/json")
