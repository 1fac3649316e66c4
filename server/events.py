"""From what a recognizer says to what is published: events, whose data is the same for every wire. Pure."""

import time
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from server.models import EventType, Final, Interim, Recognition, SessionConfig, SpeechEnded, SpeechStarted, Word
from server.session_log.base import NewEvent

LEAST_CONFIDENCE = 0.0001
"""Confidence that smaller ones are rounded up to: zero would say that there is none."""


def recognition_events(
    recognition: Recognition, config: SessionConfig, engine: str, flushed: int | None = None
) -> list[NewEvent]:
    """The events of one recognition: one, or none where there is nothing that the client wants to read.

    ``flushed``: offset of the mark that this recognition answers. A final without text then becomes a ``speech_end``.
    """
    mark = {} if flushed is None else {"flushed": flushed}
    match recognition:
        case Interim() if config.interim_results:
            return [new_event(EventType.TOKEN, _hypothesis(recognition, config, engine))]
        case Final() if recognition.text:
            through = {"through": _time(recognition.through)}
            data = _hypothesis(recognition, config, engine) | through | _uncovered(recognition) | mark
            return [new_event(EventType.FINAL, data)]
        case Final() if mark:
            end = {"end": _time(recognition.end), "through": _time(recognition.through)}
            return [new_event(EventType.SPEECH_END, end | _uncovered(recognition) | mark)]
        case SpeechStarted():
            return [new_event(EventType.SPEECH_START, {"start": _time(recognition.start)})]
        case SpeechEnded():
            return [new_event(EventType.SPEECH_END, {"end": _time(recognition.end)})]
        case _:
            return []


def error_event(code: str, message: str, *, recoverable: bool, **more: str | float) -> NewEvent:
    data = {"code": code, "message": message, "recoverable": recoverable, **more}
    return new_event(EventType.ERROR, data)


def session_end_event(reason: str) -> NewEvent:
    return new_event(EventType.SESSION_END, {"reason": reason})


def new_event(event_type: EventType, data: Mapping[str, Any]) -> NewEvent:
    """The event with its data as JSON, which holds no line break."""
    return NewEvent(event_type, to_json(data), round(time.time(), 3))


def _hypothesis(recognition: Interim | Final, config: SessionConfig, engine: str) -> dict[str, Any]:
    return {
        "text": recognition.text,
        **({} if recognition.confidence is None else {"confidence": _confidence(recognition.confidence)}),
        "is_partial": isinstance(recognition, Interim),
        "start": _time(recognition.start),
        "end": _time(recognition.end),
        "words": [_word(each) for each in recognition.words],
        "language": recognition.language or config.language,
        "engine": engine,
    }


def _uncovered(final: Final) -> dict[str, float]:
    """Absent where everything was read."""
    seconds = _time(final.uncovered)
    return {"uncovered": seconds} if seconds > 0 else {}


def _word(word: Word) -> dict[str, Any]:
    written = {"word": word.word, "start": _time(word.start), "end": _time(word.end)}
    if word.confidence is not None:  # absent where the engine has none: zero would be a statement
        written["confidence"] = _confidence(word.confidence)
    return written


def _confidence(value: float) -> float:
    return int(value * 10_000 + 0.5) / 10_000 or LEAST_CONFIDENCE


def _time(seconds: float) -> float:
    """Seconds to the millisecond. An event has a dozen of these, and ``round`` takes three times as long."""
    return int(seconds * 1000 + 0.5) / 1000
