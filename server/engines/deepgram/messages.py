"""What Deepgram's live endpoint says, parsed; and what its refusals and closes mean. No asyncio, no I/O.

Times here are Deepgram's: seconds of audio sent on one connection.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from server.errors import EngineError
from server.models import Word

KEEP_ALIVE = '{"type":"KeepAlive"}'
FINALIZE = '{"type":"Finalize"}'
CLOSE_STREAM = '{"type":"CloseStream"}'

MAX_REASON_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Results:
    """A hypothesis for the audio from ``start`` to ``end``; ``is_final``: it will not change.

    ``speech_final``: a pause follows. ``from_finalize``: it answers a Finalize.
    """

    start: float
    end: float
    text: str
    words: tuple[Word, ...]
    confidence: float | None = None
    language: str | None = None
    is_final: bool = False
    speech_final: bool = False
    from_finalize: bool = False


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    at: float


@dataclass(frozen=True, slots=True)
class UtteranceEnd:
    """The gap since the last word is as long as the session asked for (``utterance_end_ms``)."""

    last_word_end: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The last message: ``duration`` seconds of audio have arrived."""

    duration: float


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something that we sent was not understood; the stream goes on."""

    kind: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a type that we don't know: new ones come without notice."""

    kind: str


Message = Results | SpeechBegan | UtteranceEnd | Summary | Complaint | Unknown


def parse_message(data: str | bytes) -> Message:
    """Never raises: what can't be read is :class:`Unknown`."""
    try:
        message = json.loads(data)
        kind = message["type"]
    except (ValueError, TypeError, LookupError):
        return Unknown("no message")
    try:
        return _parse(kind, message)
    except (ValueError, TypeError, LookupError, AttributeError):
        return Unknown(f"malformed {kind!s:.40}")


def _parse(kind: str, message: Mapping[str, Any]) -> Message:
    match kind:
        case "Results":
            return _results(message)
        case "SpeechStarted":
            return SpeechBegan(float(message["timestamp"]))
        case "UtteranceEnd":
            return UtteranceEnd(float(message["last_word_end"]))
        case "Metadata":
            return Summary(float(message.get("duration", 0)))
        case "Error" | "Warning":
            return Complaint(f"{message.get('variant') or message.get('code') or kind!s:.60}")
        case _:
            return Unknown(f"{kind!s:.40}")


def _results(message: Mapping[str, Any]) -> Results:
    best = message["channel"]["alternatives"][0]
    start = float(message["start"])
    languages = best.get("languages") or []
    return Results(
        start=start,
        end=start + float(message["duration"]),
        text=str(best["transcript"]).strip(),
        words=tuple(_word(each) for each in best.get("words") or []),
        confidence=_confidence(best.get("confidence")),
        language=str(languages[0]) if languages else None,
        is_final=bool(message.get("is_final")),
        speech_final=bool(message.get("speech_final")),
        from_finalize=bool(message.get("from_finalize")),
    )


def _word(word: Mapping[str, Any]) -> Word:
    written = word.get("punctuated_word") or word["word"]
    return Word(str(written), float(word["start"]), float(word["end"]), _confidence(word.get("confidence")))


def _confidence(value: Any) -> float | None:
    """Deepgram says 0 where it has none."""
    return min(float(value), 1.0) if value else None


# --- failures -------------------------------------------------------------------------------------------------------

Scope = Literal["session", "service", "account"]


class DeepgramError(EngineError):
    """A failure of Deepgram, in a sentence that a user may read.

    ``scope`` tells what has failed: this ``session``'s config, the ``service``, or the ``account``, which waiting does
    not mend. What another try may mend counts as an outage: the service, or the network, may be back in a while.
    """

    def __init__(self, detail: str, *, retryable: bool, scope: Scope = "service") -> None:
        super().__init__(detail, retryable=retryable, outage=retryable)
        self.scope = scope


def refusal(status: int, said: str, body: bytes) -> DeepgramError:
    """What a refused handshake means; ``said`` is its header ``dg-error``."""
    match status:
        case 400:
            reason = (said or _reason(body))[:MAX_REASON_CHARACTERS]
            detail = f"Deepgram refuses the session's parameters (400): {reason}"
            return DeepgramError(detail, retryable=False, scope="session")
        case 401:
            return DeepgramError("Deepgram refuses the API key (401).", retryable=False, scope="account")
        case 402:
            return DeepgramError("Deepgram's account is out of credit (402).", retryable=False, scope="account")
        case 403:
            return DeepgramError("The API key may not use this model of Deepgram (403).", retryable=False)
        case 429:
            return DeepgramError("Deepgram takes no more streams at the moment (429).", retryable=True)
        case _:
            return DeepgramError(f"Deepgram is not available ({status}).", retryable=status >= 500 or status == 408)


def _reason(body: bytes) -> str:
    """Deepgram's own words: they name the parameter."""
    try:
        said = json.loads(body)
        return str(said.get("err_msg") or said.get("message") or "no reason given")
    except (ValueError, AttributeError):
        return "no reason given"


def closure(code: int | None, reason: str) -> DeepgramError:
    """What it means that Deepgram closed a stream that we had not finished. ``code`` is ``None`` without a frame."""
    if code == 1008:
        return DeepgramError("Deepgram can't decode the audio (1008).", retryable=False)
    if code is None:
        return DeepgramError("The connection to Deepgram broke off.", retryable=True)
    cause = {"NET-0000": ": it had nothing to say", "NET-0001": ": it received no audio"}
    said = next((words for name, words in cause.items() if name.replace("-", "").lower() in reason.lower()), "")
    return DeepgramError(f"Deepgram closed the stream ({code}{said}).", retryable=True)
