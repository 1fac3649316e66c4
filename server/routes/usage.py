"""``/info`` and ``/usage``: what this server can do, and how to use it, filled in for the host that was asked."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from server import __version__
from server.engines.base import Capabilities
from server.models import EventType
from server.settings import Settings

AUDIO_FORMATS = (
    "PCM16 little endian",
    "mu-law",
    "A-law",
    "WAV",
    "WebM, Matroska",
    "Ogg (Opus, Vorbis, FLAC)",
    "MP4, M4A, MOV, 3GP (AAC, ALAC, AMR, AC-3, Opus)",
    "MP3",
    "AAC (ADTS)",
    "FLAC",
    "AIFF, AU, CAF (PCM), AMR, W64, WMA (ASF), FLV, MPEG-TS, MPEG-PS, MP2, AC-3, AVI, TTA, VOC",
    "WAV with ADPCM, G.722, G.726, GSM or MP3",
)


def info(capabilities: Mapping[str, Capabilities], settings: Settings) -> dict[str, Any]:
    """Engines with what they can do, audio formats, events and limits."""
    engines = {name: _listed(asdict(each)) for name, each in capabilities.items()}
    limits = (
        "max_sessions",
        "max_chunk_bytes",
        "max_body_bytes",
        "max_backlog_seconds",
        "idle_seconds",
        "max_session_seconds",
        "retention_seconds",
        "heartbeat_seconds",
    )
    return {
        "service": "stt-realtime",
        "version": __version__,
        "engines": engines,
        "default_engine": next(iter(engines)),
        "audio": {"formats": AUDIO_FORMATS, "sample_rate": {"default": 16000, "min": 8000, "max": 48000}},
        "events": [each.value for each in EventType],
        "limits": {name: getattr(settings, name) for name in limits},
    }


def _listed(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no sets."""
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in fields.items()}


def usage(base_url: str) -> dict[str, Any]:
    """The four steps, each with a command that works when pasted."""
    return {
        "steps": [
            {
                "title": "Open a session",
                "request": "POST /sessions",
                "curl": f"curl -s -X POST {base_url}/sessions -H 'Content-Type: application/json' "
                """-d '{"config": {"language": "ko"}}'""",
            },
            {
                "title": "Read the transcript live",
                "request": "GET /sessions/{session_id}/stream",
                "curl": f"curl -N {base_url}/sessions/$SESSION_ID/stream",
            },
            {
                "title": "Send audio: the bytes of an audio or video file, or 16 kHz PCM16",
                "request": "POST /sessions/{session_id}/audio",
                "curl": f"curl -s -X POST {base_url}/sessions/$SESSION_ID/audio -H 'Content-Type: audio/wav' "
                "--data-binary @samples/ko.wav",
            },
            {
                "title": "Finish and take the whole transcript",
                "request": "DELETE /sessions/{session_id}",
                "curl": f"curl -s -X DELETE {base_url}/sessions/$SESSION_ID",
            },
        ],
        "transcript_formats": [
            f"{base_url}/sessions/{{session_id}}/transcript?format={name}" for name in ("json", "text", "srt", "vtt")
        ],
        "events": {
            "token": "interim text of the utterance being spoken; replaces the one before",
            "final": "text that will not change",
            "speech_start": "someone begins to speak",
            "speech_end": "the utterance is over",
            "heartbeat": "the connection is alive",
            "error": "something went wrong; `recoverable` says whether the session goes on",
            "session_end": "nothing comes after this",
        },
        "docs": f"{base_url}/docs",
    }
