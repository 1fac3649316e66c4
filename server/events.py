"""From what a recognizer says to what is published: events, whose data is the same for every wire. Pure."""

import time
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from server.models import EventType, Final, Interim, Recognition, SessionConfig, SpeechEnded, SpeechStarted, Word
from server.session_log.base import NewEvent

TIME_DIGITS = 3
CONFIDENCE_DIGITS = 4
LEAST_CONFIDENCE = 0.0001
"""What a confidence is rounded to that would else be none at all."""


def recognition_events(
    recognition: Recognition, config: SessionConfig, engine: str, flushed: int | None = None
) -> list[NewEvent]:
    """The events of one recognition: one, or none where there is nothing that the client wants to read.

    ``flushed``: offset of the mark that this recognition answers. A final without text answers it in the place of a
    ``speech_end``.
    """
    mark = {} if flushed is None else {"flushed": flushed}
    match recognition:
        case Interim() if config.interim_results:
            return [new_event(EventType.TOKEN, _hypothesis(recognition, config, engine))]
        case Final() if recognition.text:
            through = {"through": _time(recognition.through)}
            return [new_event(EventType.FINAL, _hypothesis(recognition, config, engine) | through | mark)]
        case Final() if mark:
            end = {"end": _time(recognition.end), "through": _time(recognition.through)}
            return [new_event(EventType.SPEECH_END, end | mark)]
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
    data: dict[str, Any] = {"text": recognition.text}
    if recognition.confidence is not None:
        data["confidence"] = _confidence(recognition.confidence)
    data["is_partial"] = isinstance(recognition, Interim)
    data["start"] = _time(recognition.start)
    data["end"] = _time(recognition.end)
    data["words"] = [_word(each) for each in recognition.words]
    data["language"] = recognition.language or config.language
    data["engine"] = engine
    return data


def _word(word: Word) -> dict[str, Any]:
    start, end = round(word.start, TIME_DIGITS), round(word.end, TIME_DIGITS)
    if word.confidence is None:  # absent where the engine has none: zero would be a statement
        return {"word": word.word, "start": start, "end": end}
    return {"word": word.word, "start": start, "end": end, "confidence": _confidence(word.confidence)}


def _confidence(value: float) -> float:
    return round(value, CONFIDENCE_DIGITS) or LEAST_CONFIDENCE


def _time(seconds: float) -> float:
    return round(seconds, TIME_DIGITS)
