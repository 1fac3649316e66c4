"""From what a recognizer says to what goes over the wire."""

import json
import time
from collections.abc import Mapping
from typing import Any

from server.models import EventType, Final, Interim, Recognition, SessionConfig, SpeechEnded, SpeechStarted, Word
from server.session_log.base import NewEvent

TIME_DIGITS = 3
CONFIDENCE_DIGITS = 4


def recognition_events(session_id: str, recognition: Recognition, config: SessionConfig, engine: str) -> list[NewEvent]:
    """The events of one recognition: one, or none where there is nothing that the client wants to read."""
    match recognition:
        case Interim() if config.interim_results:
            return [wire_event(session_id, EventType.TOKEN, _hypothesis(recognition, config, engine))]
        case Final() if recognition.text:
            return [wire_event(session_id, EventType.FINAL, _hypothesis(recognition, config, engine))]
        case SpeechStarted():
            return [wire_event(session_id, EventType.SPEECH_START, {"start": _time(recognition.start)})]
        case SpeechEnded():
            return [wire_event(session_id, EventType.SPEECH_END, {"end": _time(recognition.end)})]
        case _:
            return []


def session_end_event(session_id: str, reason: str) -> NewEvent:
    return wire_event(session_id, EventType.SESSION_END, {"reason": reason})


def wire_event(session_id: str, event_type: EventType, data: Mapping[str, Any]) -> NewEvent:
    """``{"event_type", "data", "timestamp", "session_id"}`` as JSON, which holds no line break."""
    event = {"event_type": event_type, "data": data, "timestamp": round(time.time(), 3), "session_id": session_id}
    return NewEvent(event_type, json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode())


def _hypothesis(recognition: Interim | Final, config: SessionConfig, engine: str) -> dict[str, Any]:
    return {
        "text": recognition.text,
        **_confidence(recognition.confidence),
        "is_partial": isinstance(recognition, Interim),
        "start": _time(recognition.start),
        "end": _time(recognition.end),
        "words": [_word(each) for each in recognition.words],
        "language": recognition.language or config.language,
        "engine": engine,
    }


def _word(word: Word) -> dict[str, Any]:
    return {"word": word.word, "start": _time(word.start), "end": _time(word.end), **_confidence(word.confidence)}


def _confidence(value: float | None) -> dict[str, float]:
    """Absent where the engine has none: zero would be a statement."""
    return {} if value is None else {"confidence": max(round(value, CONFIDENCE_DIGITS), 10**-CONFIDENCE_DIGITS)}


def _time(seconds: float) -> float:
    return round(seconds, TIME_DIGITS)
