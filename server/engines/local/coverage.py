"""Whether words stand for all the speech of an utterance, and where they do not. Pure."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from server.models import Word

MISSING_SECONDS = 0.8
"""Seconds of speech that no word stands for, from which on something was left out. Breath and word times that are a
little off stay below."""
HINTED_SECONDS = 0.4
"""The same where the first pass has heard more there."""
HINT_LETTERS = 3
"""Letters (in Korean: syllables) by which it must have heard more."""
JOINED_SECONDS = 0.1
"""Silence that does not end a stretch of speech."""
WORD_END_SECONDS = 0.4
"""Seconds by which the end of a word, or its beginning, may be off."""
WORD_SECONDS = 0.45
"""Seconds that any word may last, and those of its letters besides."""
LETTER_SECONDS = {"HANGUL": 0.3, "CJK": 0.4, "DIGIT": 0.5, "HIRAGANA": 0.25, "KATAKANA": 0.25}
OTHER_LETTER_SECONDS = 0.15

Stretch = tuple[float, float]
"""Start and end, seconds on the session's audio clock."""


@dataclass(slots=True)
class Spoken:
    """The stretches of an utterance in which somebody speaks, in order."""

    stretches: list[Stretch] = field(default_factory=list)

    def add(self, start: float, end: float) -> None:
        """Speech goes on, or begins again."""
        if self.stretches and start - self.stretches[-1][1] <= JOINED_SECONDS:
            start = self.stretches.pop()[0]
        self.stretches.append((start, end))

    def within(self, start: float, end: float) -> float:
        """Seconds of speech between two times."""
        return sum(max(0.0, min(end, until) - max(start, since)) for since, until in self.stretches)

    def total(self) -> float:
        return sum(until - since for since, until in self.stretches)

    def trimmed(self, start: float, end: float) -> Stretch:
        """Two times moved to the pause beside them: what begins just before a pause was said before."""
        for since, until in self.stretches:
            if since <= start < until <= start + WORD_END_SECONDS:
                start = until
            elif end - WORD_END_SECONDS <= since < end <= until:
                end = since
        inside = [
            (max(since, start), min(until, end)) for since, until in self.stretches if since < end and until > start
        ]
        return (inside[0][0], inside[-1][1]) if inside else (start, end)

    def with_silence(self, start: float, end: float, most: float) -> Stretch:
        """Two times moved outwards by up to ``most`` seconds in which nobody speaks."""
        before = [until for since, until in self.stretches if since < start]
        behind = [since for since, until in self.stretches if until > end]
        earliest = min(start, max(before, default=start - most))
        latest = max(end, min(behind, default=end + most))
        return max(start - most, earliest), min(end + most, latest)

    def pause(self, start: float, end: float) -> float | None:
        """The middle of the longest silence between two times; ``None``: there is none."""
        silences = [
            (max(until, start), min(since, end))
            for (_, until), (since, _) in pairwise(self.stretches)
            if start < until and since < end
        ]
        if not silences:
            return None
        since, until = max(silences, key=lambda silence: silence[1] - silence[0])
        return (since + until) / 2


@dataclass(frozen=True, slots=True)
class Gap:
    """Speech between two times that is not in the words: of these, ``first`` to before ``last`` lie in it.

    A word that lasts too long lies in its gap: what was left out is somewhere around it.
    """

    start: float
    end: float
    seconds: float
    first: int
    last: int


def gaps(spoken: Spoken, words: Sequence[Word], start: float, end: float, first: Sequence[Word] = ()) -> list[Gap]:
    """What the words from ``start`` to ``end`` leave out, in order. ``first``: words of the first pass."""
    found = []
    reached = start
    for number, word in enumerate(words):
        found.append(Gap(reached, word.start, spoken.within(reached, word.start), number, number))
        left = spoken.within(word.start, word.end) - longest(word.word)
        found.append(Gap(word.start, word.end, left, number, number + 1))
        reached = max(reached, word.end)
    found.append(Gap(reached, end, spoken.within(reached, end), len(words), len(words)))
    hinted = (_hinted(gap, spoken, words[gap.first : gap.last], first) for gap in found)
    return [gap for gap in hinted if gap is not None]


def _hinted(gap: Gap, spoken: Spoken, words: Sequence[Word], first: Sequence[Word]) -> Gap | None:
    """The gap, if it is one. Where the first pass has heard more, its share of what was heard is missing."""
    heard = _letters(between(first, gap.start, gap.end))
    more = heard - _letters(words)
    if more < HINT_LETTERS:
        return gap if gap.seconds >= MISSING_SECONDS else None
    seconds = max(gap.seconds, spoken.within(gap.start, gap.end) * more / heard)
    return replace(gap, seconds=seconds) if seconds >= HINTED_SECONDS else None


def _letters(words: Iterable[Word]) -> int:
    return sum(letter.isalnum() for word in words for letter in word.word)


def longest(word: str) -> float:
    """Seconds that nobody takes longer for, who says the word slowly."""
    return WORD_SECONDS + sum(map(_letter_seconds, word))


def _letter_seconds(letter: str) -> float:
    if not letter.isalnum():
        return 0.0
    if letter.isdigit():
        return LETTER_SECONDS["DIGIT"]
    return LETTER_SECONDS.get(unicodedata.name(letter, "").split(" ")[0], OTHER_LETTER_SECONDS)


def between(words: Iterable[Word], start: float, end: float) -> tuple[Word, ...]:
    """The words whose middle lies between two times."""
    return tuple(word for word in words if start <= (word.start + word.end) / 2 < end)
