"""Transcripts from final events: text, SRT, WebVTT. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from server.languages import space
from server.models import EventType, SegmentResponse
from server.session_log.base import LoggedEvent, SessionState

CUE_SECONDS = 6.0
CUE_COLUMNS = 42
"""Longest subtitle line by the usual rules, counted in Latin letters; an East Asian letter takes two columns."""


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is final of a session, and where the session stood when that was read."""

    state: SessionState
    segments: list[SegmentResponse]

    @property
    def text(self) -> str:
        """All of it in a line; sentences are joined as their language joins words."""
        spaced = (f"{segment.text}{space(segment.language)}" for segment in self.segments)
        return "".join(spaced).rstrip(" ")


def segments_of(events: Iterable[LoggedEvent]) -> list[SegmentResponse]:
    """The finals among the events."""
    return [SegmentResponse.model_validate(event.data) for event in events if event.type is EventType.FINAL]


def to_text(segments: Iterable[SegmentResponse]) -> str:
    """One line for each utterance."""
    return "".join(f"{segment.text}\n" for segment in segments)


def to_srt(segments: Iterable[SegmentResponse]) -> str:
    cues = enumerate(_cues(segments), start=1)
    return "".join(f"{n}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n\n" for n, cue in cues)


def to_vtt(segments: Iterable[SegmentResponse]) -> str:
    cues = (f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{_escaped(cue.text)}\n\n" for cue in _cues(segments))
    return "WEBVTT\n\n" + "".join(cues)


def _cues(segments: Iterable[SegmentResponse]) -> Iterator[Cue]:
    """Short cues, cut between words where the engine gives word times."""
    for segment in segments:
        if not segment.words:
            yield Cue(segment.start, segment.end, segment.text)
            continue
        start, end, text = segment.words[0].start, segment.words[0].end, ""
        for word, gap in zip(segment.words, _gaps(segment), strict=True):
            longer = f"{text}{gap}{word.word}" if text else word.word
            if text and (_columns(longer) > CUE_COLUMNS or word.end - start > CUE_SECONDS):
                yield Cue(start, end, text)
                start, longer = word.start, word.word
            text, end = longer, word.end
        yield Cue(start, end, text)


def _gaps(segment: SegmentResponse) -> Iterator[str]:
    """What stands before each word: as in the segment's text, or as usual in its language where that can't be seen."""
    at = 0
    for word in segment.words:
        found = segment.text.find(word.word, at)
        between = segment.text[at:found] if found >= 0 else None
        yield between if between in ("", " ") else space(segment.language)
        at = found + len(word.word) if found >= 0 else at


def _columns(text: str) -> int:
    return sum(1 if ord(letter) < 0x1100 else 2 for letter in text)


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _escaped(text: str) -> str:
    """WebVTT has tags: these three characters must not begin one."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
