"""The transcript of a session that has gone through several sessions on the server: joined, as text and subtitles."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stt_client.origin import TIME_DIGITS, Origin
from stt_client.wire import Segment, Transcript, read_transcript

CUE_SECONDS = 6.0
CUE_COLUMNS = 42
"""Longest subtitle, as the server cuts them; an East Asian letter takes two columns."""
WITHOUT_SPACES = frozenset({"ja", "zh", "yue", "th", "lo", "my", "km"})


def joined(origin: Origin, document: dict[str, Any]) -> Transcript:
    """The transcript that the newest session has, with the finals of those before it."""
    if not origin.is_reopened:
        return read_transcript(document)
    placed = [origin.place_data(segment) for segment in document.get("segments", ())]
    segments = [final.data for final in origin.finals] + [each for each in placed if not origin.is_repeated(each)]
    duration = round(max(origin.through, origin.seconds + document.get("duration", 0.0)), TIME_DIGITS)
    text = " ".join(str(segment["text"]) for segment in segments)
    return read_transcript(document | {"segments": segments, "text": text, "duration": duration})


def written(transcript: Transcript, format: str) -> str:
    """The transcript as ``text``, ``srt`` or ``vtt``, as the server writes it."""
    if format == "text":
        return "".join(f"{segment.text}\n" for segment in transcript.segments)
    cues = [cue for segment in transcript.segments for cue in _cues(segment)]
    if format == "srt":
        return "".join(
            f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n\n"
            for number, cue in enumerate(cues, start=1)
        )
    return "WEBVTT\n\n" + "".join(
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{_escaped(cue.text)}\n\n" for cue in cues
    )


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle."""

    start: float
    end: float
    text: str


def _cues(segment: Segment) -> Iterator[Cue]:
    """Short cues, cut between words where there are word times."""
    if not segment.words:
        yield Cue(segment.start, segment.end, segment.text)
        return
    space = "" if segment.language.split("-")[0].lower() in WITHOUT_SPACES else " "
    kept: list[dict[str, Any]] = []
    for word in segment.words:
        longer = _text([*kept, word], space)
        if kept and (_columns(longer) > CUE_COLUMNS or word["end"] - kept[0]["start"] > CUE_SECONDS):
            yield _cue(kept, space)
            kept = []
        kept.append(word)
    yield _cue(kept, space)


def _cue(words: Sequence[dict[str, Any]], space: str) -> Cue:
    return Cue(words[0]["start"], words[-1]["end"], _text(words, space))


def _text(words: Iterable[dict[str, Any]], space: str) -> str:
    return space.join(str(word["word"]) for word in words).strip()


def _columns(text: str) -> int:
    return sum(1 if ord(letter) < 0x1100 else 2 for letter in text)


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _escaped(text: str) -> str:
    """WebVTT has tags: these three letters must not begin one."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
