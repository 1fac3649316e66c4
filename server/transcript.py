"""Transcripts from final events: text, SRT, WebVTT."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from server.models import EventType, SegmentResponse
from server.session_log.base import LoggedEvent

CUE_SECONDS = 6.0
CUE_COLUMNS = 42
"""Longest subtitle line by the usual rules, counted in Latin letters; an East Asian one takes two columns."""


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle."""

    start: float
    end: float
    text: str


def segments_of(events: Iterable[LoggedEvent]) -> list[SegmentResponse]:
    """The finals among the events."""
    data: Iterator[dict[str, Any]] = (json.loads(e.payload)["data"] for e in events if e.type is EventType.FINAL)
    return [SegmentResponse.model_validate(each) for each in data]


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
        for word in segment.words:
            longer = f"{text} {word.word}".strip()
            if text and (_columns(longer) > CUE_COLUMNS or word.end - start > CUE_SECONDS):
                yield Cue(start, end, text)
                start, longer = word.start, word.word
            text, end = longer, word.end
        yield Cue(start, end, text)


def _columns(text: str) -> int:
    return sum(1 if ord(letter) < 0x1100 else 2 for letter in text)


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _escaped(text: str) -> str:
    """WebVTT has tags: these three letters must not begin one."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
