"""What ``/docs`` says about what FastAPI can't see: the hot routes, raw audio, the event stream, problem documents."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from server.models import (
    AudioUploadRequest,
    AudioUploadResponse,
    CreateSessionRequest,
    EventType,
    StreamingTokenResponse,
)

DESCRIPTION = """
Open a session, POST audio to it, read the transcript live from its event stream.
Uploads resume (`offset`), events replay (`Last-Event-ID`), so nothing is lost when a connection is.

1. `POST /sessions` gives a `session_id`, a `stream_url` and an `upload_url`.
2. `GET {stream_url}` is a Server-Sent Events stream (`EventSource` in a browser, `curl -N` in a shell).
3. `POST {upload_url}` takes audio: base64 in JSON, or raw bytes.
4. `POST /sessions/{session_id}/flush` makes what was said so far final, at any time.
5. `DELETE /sessions/{session_id}` ends the session and answers with the whole transcript.
"""

STREAM_EXAMPLE = """retry: 1000
data: {"event_type":"heartbeat","data":{"status":"connected"},"timestamp":1764000000.1,"session_id":"sess_…"}

id: 1
data: {"event_type":"speech_start","data":{"start":0.62},"timestamp":1764000001.0,"session_id":"sess_…"}

id: 2
data: {"event_type":"token","data":{"text":"그는","confidence":0.98,"is_partial":true,"start":0.62,"end":0.96,\
"words":[{"word":"그는","start":0.62,"end":0.96,"confidence":0.98}],"language":"ko","engine":"local"},\
"timestamp":1764000001.4,"session_id":"sess_…"}

id: 3
data: {"event_type":"speech_end","data":{"end":3.36},"timestamp":1764000004.2,"session_id":"sess_…"}

id: 4
data: {"event_type":"final","data":{"text":"그는 걸어갔다","confidence":0.97,"is_partial":false,"start":0.62,\
"end":3.38,"words":[{"word":"그는","start":0.62,"end":0.96,"confidence":0.99},{"word":"걸어갔다","start":2.7,"end":3.38,\
"confidence":0.95}],"language":"ko","engine":"local",\
"through":4.16},"timestamp":1764000004.3,"session_id":"sess_…"}

data: {"event_type":"heartbeat","data":{"status":"alive"},"timestamp":1764000005.3,"session_id":"sess_…"}

id: 5
data: {"event_type":"error","data":{"code":"engine_restarted","message":"The recognizer takes no audio.",\
"recoverable":true,"engine":"local"},"timestamp":1764000006.0,"session_id":"sess_…"}

id: 6
data: {"event_type":"session_end","data":{"reason":"finished"},"timestamp":1764000009.0,"session_id":"sess_…"}

"""

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable; what a program should look at."},
        "detail": {"type": "string", "description": "For a person."},
        "offset": {"type": "integer", "description": "Where the upload goes on (`offset_mismatch`, `backlog_full`)."},
        "last_event_id": {"type": "integer", "description": "The newest event (`invalid_event_id`)."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


def problems(**descriptions: str) -> dict[int | str, dict[str, Any]]:
    """Problem responses: ``problems(_404="no such session")``."""
    content = {"application/problem+json": {"schema": PROBLEM_SCHEMA}}
    return {int(name.strip("_")): {"description": text, "content": content} for name, text in descriptions.items()}


def request_body(content: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": content}}


SESSION_BODY = request_body(
    {
        "application/json": {
            "schema": CreateSessionRequest.model_json_schema(ref_template="#/components/schemas/{model}"),
            "example": {"config": {"language": "ko", "interim_results": True}},
        }
    },
    required=False,
)

AUDIO_BODY = request_body(
    {
        "application/json": {
            "schema": AudioUploadRequest.model_json_schema(),
            "example": {"audio_data": "AAABAAIA", "chunk_id": "chunk-1", "offset": 0},
        },
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "audio/*": {"schema": {"type": "string", "format": "binary"}},
        "video/*": {"schema": {"type": "string", "format": "binary"}},
    },
    required=True,
)

STREAM_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Frames of `id:` (absent for heartbeats) and `data:`, whose JSON is the schema here.",
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "string",
                    "description": f"`data:` is a {StreamingTokenResponse.__name__}; `event_type` is one of "
                    + ", ".join(f"`{each.value}`" for each in EventType),
                },
                "itemSchema": StreamingTokenResponse.model_json_schema(),
                "example": STREAM_EXAMPLE,
            }
        },
    },
    204: {"description": "The session has ended and `Last-Event-ID` is its last event: nothing more comes."},
}

FINISH_RESPONSES: dict[int | str, dict[str, Any]] = {
    202: {"description": "Still recognising; ask again."},
    204: {"description": "Erased (`purge=true`)."},
}

SESSION_ID: dict[str, Any] = {"name": "session_id", "in": "path", "required": True, "schema": {"type": "string"}}


def _parameter(name: str, place: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": False, "schema": {"type": "string"}, "description": description}


def _responses(responses: dict[int | str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {str(status): response for status, response in responses.items()}


UPLOAD_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Stored up to `offset`.",
        "headers": {"Upload-Offset": {"schema": {"type": "integer"}}},
        "content": {"application/json": {"schema": AudioUploadResponse.model_json_schema()}},
    }
}

HOT_PATHS: dict[str, Any] = {
    "/sessions/{session_id}/stream": {
        "get": {
            "tags": ["sessions"],
            "summary": "Stream Stt Results",
            "operationId": "stream_stt_results",
            "description": "The live transcript as Server-Sent Events.",
            "parameters": [
                SESSION_ID,
                _parameter("Last-Event-ID", "header", "Replay everything after this event."),
                _parameter("last_event_id", "query", "The same, for a client that can't set headers."),
            ],
            "responses": _responses(
                STREAM_RESPONSE | problems(_400="`Last-Event-ID` is none of this session's", _404="no such session")
            ),
        }
    },
    "/sessions/{session_id}/audio": {
        "post": {
            "tags": ["sessions"],
            "summary": "Upload Audio",
            "operationId": "upload_audio",
            "description": "Audio: base64 in JSON, a form with a file, or raw bytes, also as one long chunked body "
            "that is taken in as it arrives.\n\nA raw body's position in the session's upload goes into the header "
            "`Upload-Offset`. Of a video the first audio track is recognised.",
            "parameters": [
                SESSION_ID,
                _parameter("Upload-Offset", "header", "Position in bytes of a raw body in the session's upload."),
            ],
            **AUDIO_BODY,
            "responses": _responses(
                UPLOAD_RESPONSE
                | problems(
                    _400="not JSON",
                    _404="no such session",
                    _408="the body stopped arriving",
                    _409="`session_ended`, or `offset_mismatch` with the expected `offset`",
                    _413="too large",
                    _415="no audio, wrong Content-Type or Content-Encoding",
                    _422="bad base64, half a sample, a form without a file",
                    _429="too far ahead of the recognizer",
                    _503="the session log does not answer",
                )
            ),
        }
    },
}
"""The two routes that ``server.routes.hot`` answers in front of FastAPI."""


def describe(app: FastAPI) -> None:
    """Have the app's schema tell of the hot routes, too."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            made["paths"] |= HOT_PATHS
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]
