"""What the app knows of one session: an immutable picture that each event replaces by the next one.

The thread that follows the session puts a new picture in place; the script only reads, so neither waits for the other.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import uuid4

from stt_client import Event, Origin, RequestRefused, SessionLost, SessionState, STTClientError, Transcript

Status = Literal["opening", "live", "ended", "failed"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One final. ``start`` and ``end`` in seconds of audio; ``timestamp`` is when it was published, in Unix seconds."""

    text: str
    start: float
    end: float
    timestamp: float
    confidence: float | None = None
    language: str = ""
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something did not work: ``code`` chooses the words, ``detail`` is the server's or the SDK's own sentence."""

    code: str
    detail: str
    fields: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, error: Exception) -> "Problem":
        match error:
            case RequestRefused():
                wrong = (each for each in error.extra.get("errors", ()) if isinstance(each, Mapping))
                fields = tuple((str(each.get("field", "")), str(each.get("message", ""))) for each in wrong)
                return cls(error.code, error.detail, fields)
            case SessionLost():
                return cls("session_lost", str(error))
            case STTClientError():
                return cls("draining" if error.code == "draining" else "server_away", str(error))
            case ValueError():
                return cls("wrong_address", str(error))
            case _:
                return cls("server_away", str(error) or type(error).__name__)


@dataclass(frozen=True, slots=True)
class SessionView:
    """``speech``: spans in seconds of audio, the last one open (``None``) while someone speaks.

    ``zero``: when the audio began, in Unix seconds, if the quickest event so far took no time at all.
    """

    status: Status = "opening"
    session_id: str = ""
    engine: str = ""
    language: str = ""
    created: float = 0.0
    zero: float = math.inf
    interim: str = ""
    utterances: tuple[Utterance, ...] = ()
    speech: tuple[tuple[float, float | None], ...] = ()
    notices: tuple[Problem, ...] = ()
    reason: str = ""
    problem: Problem | None = None
    last_event_id: int = 0
    progress: float = 0.0
    recognized_seconds: float = 0.0
    srt: str = ""
    vtt: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.status in ("ended", "failed")

    @property
    def end(self) -> float:
        """Seconds of audio that are known of."""
        spoken = [end or start for start, end in self.speech]
        return max([self.recognized_seconds, *spoken, *(each.end for each in self.utterances)])

    @property
    def text(self) -> str:
        return "\n".join(each.text for each in self.utterances)

    def opened(self, state: SessionState) -> "SessionView":
        language = str(state.config.get("language", ""))
        created = self.created or state.created
        return replace(self, status="live", engine=state.engine, language=language, created=created)

    def after(self, event: Event) -> "SessionView":
        """The picture once ``event`` has happened."""
        data = event.data
        audio_seconds = data.get("end", data.get("start", -math.inf))
        zero = min(self.zero, event.timestamp - audio_seconds)
        view = replace(self, last_event_id=event.id or self.last_event_id, zero=zero)
        match event.event_type:
            case "token":
                return replace(view, interim=str(data.get("text", "")))
            case "final":
                return replace(view, interim="", utterances=(*view.utterances, _utterance(event)))
            case "speech_start":
                return replace(view, speech=(*_closed(view.speech, data["start"]), (data["start"], None)))
            case "speech_end":
                return replace(view, speech=_closed(view.speech, data["end"]))
            case "error":
                return view.noticed(Problem(str(data.get("code", "")), str(data.get("message", ""))))
            case "session_reopened":
                reopened = view.noticed(Problem("session_reopened", str(data.get("reason", ""))))
                return replace(reopened, session_id=event.session_id, interim="", speech=_closed(view.speech, view.end))
            case "session_end":
                reason = str(data.get("reason", ""))
                speech = _closed(view.speech, view.end)
                return replace(view, status="ended", interim="", speech=speech, reason=reason, progress=1.0)
            case _:
                return view

    def measured(self, state: SessionState, total_bytes: int) -> "SessionView":
        """How far a file of ``total_bytes`` is: of what the server has, so much is recognised."""
        seconds = state.recognized_seconds + state.buffered_seconds
        recognized = state.recognized_seconds / seconds if seconds else 0.0
        uploaded = state.offset / total_bytes if total_bytes else 1.0
        return replace(self, progress=min(1.0, recognized * uploaded), recognized_seconds=state.recognized_seconds)

    def documented(self, transcript: Transcript, srt: str, vtt: str) -> "SessionView":
        seconds = max(self.recognized_seconds, transcript.duration)
        return replace(self, srt=srt, vtt=vtt, document=transcript.document, recognized_seconds=seconds)

    def noticed(self, notice: Problem) -> "SessionView":
        return replace(self, notices=(*self.notices, notice))

    def failed(self, error: Exception) -> "SessionView":
        return replace(self, status="failed", problem=Problem.of(error))


@dataclass(slots=True)
class LiveSession:
    """One session of the user, and what it takes to carry it on after the connection to the browser was cut.

    ``audio``: bytes of a file to upload, given up once they are recognised; ``None`` where someone else uploads.
    ``origin``: of the session on the server, once it is followed.
    """

    source: Literal["microphone", "file"]
    name: str
    url: str
    api_key: str | None = field(default=None, repr=False)
    config: dict[str, Any] = field(default_factory=dict)
    audio: bytes | None = field(default=None, repr=False)
    view: SessionView = SessionView()
    origin: Origin | None = field(default=None, repr=False)
    stopping: bool = False
    key: str = field(default_factory=lambda: uuid4().hex)


def _utterance(event: Event) -> Utterance:
    data = event.data
    return Utterance(
        text=str(data.get("text", "")),
        start=float(data.get("start", 0.0)),
        end=float(data.get("end", 0.0)),
        timestamp=event.timestamp,
        confidence=data.get("confidence"),
        language=str(data.get("language", "")),
        engine=str(data.get("engine", "")),
    )


def _closed(speech: tuple[tuple[float, float | None], ...], end: float) -> tuple[tuple[float, float | None], ...]:
    """The spans with the last one ended, if it was open."""
    if not speech or speech[-1][1] is not None:
        return speech
    return (*speech[:-1], (speech[-1][0], max(speech[-1][0], end)))
