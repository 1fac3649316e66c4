"""The words of the wire and of the engines: configuration, requests, answers, recognitions, events.

Times are seconds on the session's audio clock (samples received, from the session's first sample) unless a
field is called ``timestamp`` (Unix seconds of the server's clock) or ends in another unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

import langcodes
from langcodes.tag_parser import LanguageTagError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

DETECT = "multi"
"""In the place of a language: find it out."""
AS_ENGINES_SAY = {"cmn": "zh", "nb": "no", "fil": "tl", "jv": "jw"}
"""What the engines call languages that have a newer or narrower tag."""


def language_tag(text: str) -> str:
    """The tag that the engines know of a language as browsers and vendors name it: ``ko_KR``, ``kor``, ``cmn``, ``iw``.

    Raises:
        ValueError: it names no language.

    """
    if text.lower() in ("auto", DETECT):
        return DETECT
    try:
        tag = langcodes.standardize_tag(text)
    except LanguageTagError:
        raise ValueError("This names no language. Give a BCP-47 tag such as ko, en-US or zh-TW, or multi") from None
    language, hyphen, rest = tag.partition("-")
    return AS_ENGINES_SAY.get(language, language) + hyphen + rest


LanguageTag = Annotated[str, StringConstraints(max_length=35), AfterValidator(language_tag)]
Keyword = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class SessionConfig(BaseModel):
    """What a client may ask of a session. The first eight fields are the original service's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(None, max_length=64, description="Model of the cloud engine. Default: its own choice.")
    language: LanguageTag = Field("ko", description="BCP-47 tag, or `multi` (`auto`) to detect the language.")
    interim_results: bool = Field(True, description="Publish `token` events while an utterance is spoken.")
    smart_format: bool = Field(True, description="Make numbers and spacing readable.")
    punctuate: bool = Field(True, description="Punctuation, where the engine has it.")
    sample_rate: int = Field(16000, ge=8000, le=48000, description="Hz, of audio that has no header of its own.")
    channels: Literal[1, 2] = Field(1, description="Of audio without a header; two are mixed down.")
    encoding: Literal["auto", "linear16", "mulaw", "alaw"] = Field(
        "auto", description="`auto`: a container is recognised by its first bytes, anything else is linear16."
    )
    engine: str = Field("auto", max_length=32, description="`auto` takes the first engine that can do the rest.")
    endpointing_ms: int | None = Field(
        None, ge=100, le=5000, description="Silence that ends an utterance. Default: by language, 800 for Korean."
    )
    utterance_end_ms: int | None = Field(None, ge=1000, le=5000, description="Deepgram's gap between words.")
    keywords: list[Keyword] = Field(default=[], max_length=100, description="Names and terms to listen for.")
    diarize: bool = Field(False, description="Say who speaks, where the engine can.")
    two_pass: bool | None = Field(None, description="A second, better pass for finals. Default: where there is one.")


class CreateSessionRequest(BaseModel):
    """Body of ``POST /sessions``; the whole body may be left out."""

    model_config = ConfigDict(extra="forbid")

    config: SessionConfig = SessionConfig()


class CreateSessionResponse(BaseModel):
    session_id: str
    status: Literal["open"] = "open"
    stream_url: str = Field(description="Path of the event stream.")
    upload_url: str = Field(description="Path that takes audio.")
    engine: str = Field(description="The engine that `auto` chose.")
    config: SessionConfig
    timestamp: float


class AudioUploadRequest(BaseModel):
    """Body of ``POST /sessions/{id}/audio`` as JSON."""

    model_config = ConfigDict(extra="forbid", strict=True)

    audio_data: str = Field(description="Base64 of the chunk's bytes.")
    chunk_id: str | int | None = Field(None, description="The client's own name for the chunk; given back.")
    timestamp: float | None = Field(None, description="The client's own clock; not used.")
    offset: int | None = Field(None, ge=0, description="Position in bytes of this chunk in the session's upload.")


class AudioUploadResponse(BaseModel):
    session_id: str
    chunk_id: str | int | None = None
    received_bytes: int = Field(description="Bytes of audio in this request.")
    timestamp: float
    offset: int = Field(description="Next expected byte: everything before it is stored.")
    buffered_seconds: float = Field(description="Stored audio that the recognizer has not taken yet.")


class FlushResponse(BaseModel):
    """Answer of ``POST /sessions/{id}/flush``."""

    session_id: str
    offset: int = Field(description="End of what becomes final; the event that answers has it as `flushed`.")
    timestamp: float


SessionStatus = Literal["open", "finishing", "ended"]


class SessionResponse(BaseModel):
    """Answer of ``GET /sessions/{id}``."""

    session_id: str
    status: SessionStatus
    reason: str | None = Field(description="Why the session ended.")
    received_bytes: int
    offset: int = Field(description="Next expected byte of the upload.")
    recognized_seconds: float
    buffered_seconds: float
    last_event_id: int
    engine: str
    config: SessionConfig
    created: float = Field(description="Unix seconds.")
    notes: list[str] = Field(default=[], description="What is doubtful about the audio: gaps, samples that are none.")


class WordResponse(BaseModel):
    word: str
    start: float
    end: float
    confidence: float | None = None


class SegmentResponse(BaseModel):
    """One final of the transcript, as in a ``final`` event."""

    text: str
    start: float
    end: float
    through: float | None = Field(None, description="All audio before this time is accounted for.")
    confidence: float | None = None
    language: str
    engine: str
    words: list[WordResponse] = []
    uncovered: float | None = Field(None, description="Seconds of speech in it that could not be read.")


class TranscriptResponse(BaseModel):
    """Answer of ``DELETE /sessions/{id}`` and of ``GET /sessions/{id}/transcript``."""

    session_id: str
    status: SessionStatus
    reason: str | None = None
    text: str
    segments: list[SegmentResponse]
    duration: float = Field(description="Seconds of audio recognised.")


class EventType(StrEnum):
    TOKEN = "token"
    FINAL = "final"
    SPEECH_START = "speech_start"
    SPEECH_END = "speech_end"
    HEARTBEAT = "heartbeat"
    ERROR = "error"
    SESSION_END = "session_end"


class StreamingTokenResponse(BaseModel):
    """One frame of the event stream: the JSON after ``data:``."""

    event_type: EventType
    data: dict[str, Any]
    timestamp: float
    session_id: str


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a hypothesis; times in seconds on the session's audio clock."""

    word: str
    start: float
    end: float
    confidence: float | None = None


def mean_confidence(words: Sequence[Word]) -> float | None:
    """The mean of the words' confidences, weighted by their length in time; ``None`` if no word has one."""
    known = [(word.confidence, max(word.end - word.start, 0.01)) for word in words if word.confidence is not None]
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else None


@dataclass(frozen=True, slots=True)
class Interim:
    """What the recognizer now believes; replaces the interim before it."""

    text: str
    start: float
    end: float
    confidence: float | None = None
    words: tuple[Word, ...] = ()
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Final:
    """Text that will not change.

    ``through`` is the time up to which this final accounts for the audio: recognition can resume there. A final
    without text only says that there is nothing to recognise before ``through``. ``flushed``: it answers a flush,
    with all that was said before, also if that is nothing. ``uncovered``: seconds in which somebody spoke, but what was
    said could not be read.
    """

    text: str
    start: float
    end: float
    through: float
    confidence: float | None = None
    words: tuple[Word, ...] = ()
    language: str | None = None
    flushed: bool = False
    uncovered: float = 0.0


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    start: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    end: float


Recognition = Interim | Final | SpeechStarted | SpeechEnded
