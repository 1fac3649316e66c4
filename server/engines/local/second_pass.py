"""The second pass over an utterance: Whisper's texts are weighed, and no speech is left out in silence.

A :class:`Reading` is what Whisper made of a stretch of audio. Where its words leave out speech, that part is heard once
more by itself; where Whisper hears nothing there, the words of the first pass stand in; where there are none, the
seconds are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from server.engines.base import BYTES_PER_SECOND
from server.engines.local.alignment import Alignment
from server.engines.local.choice import HALF_A_CHARACTER, LanguageModel, Weights, Witnesses, best, likelihood, sounds
from server.engines.local.coverage import Gap, Spoken, between, gaps
from server.engines.local.phantom import is_phantom
from server.engines.local.transcription import Heard, Hypothesis, Transcription, transcription
from server.engines.local.voting import variants
from server.engines.local.whisper import Whisper
from server.languages import space
from server.models import Word

KOREAN = "ko"
VARIANTS = 3
"""Variants of a text that Whisper is asked about at once: those that the rest most speaks for. To ask costs as much as
to find the times of the words."""
ROUNDS = 3
"""Words that may be replaced, one after the other."""
LEAST_GAIN = 0.5
"""What must speak for a variant, but for Whisper, that it is worth asking."""
MOST_DECODINGS = 5
"""Times that parts of an utterance are heard once more."""
EDGE_SECONDS = 0.3
"""Silence before and behind a part that is heard with it."""
DOUBTFUL = -1.0
"""Mean log probability below which a part of an utterance that was heard by itself is not believed."""
MOST_OF_IT = 0.8
"""Share of what has been heard from which on a gap is no part of it: hearing it once more would give the same."""


@dataclass(slots=True)
class Reading:
    """What was heard of audio whose first sample is at ``start`` seconds. Alignments are kept: each takes a while."""

    heard: Heard
    start: float
    alignments: dict[str, Alignment] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Speech:
    """The audio of an utterance, which begins at ``start`` seconds, and where in it somebody speaks."""

    pcm: bytes
    start: float
    spoken: Spoken

    @property
    def end(self) -> float:
        return self.start + len(self.pcm) / BYTES_PER_SECOND

    def between(self, start: float, end: float) -> bytes:
        """Audio between two times."""
        first, last = (round((each - self.start) * BYTES_PER_SECOND / 2) * 2 for each in (start, end))
        return self.pcm[max(0, first) : max(0, last)]


class SecondPass:
    """Whisper for one session. All methods block: they belong on a worker thread."""

    def __init__(
        self,
        whisper: Whisper,
        language: str | None,
        keywords: Sequence[str],
        language_model: LanguageModel,
        weights: Weights,
    ) -> None:
        """``language`` ``None``: find it out. ``language_model`` knows Korean."""
        self._whisper = whisper
        self._language = language
        self._keywords = keywords
        self._language_model = language_model
        self._weights = weights

    def hear(self, pcm: bytes, start: float, guess: str | None = None) -> Reading:
        """Whisper's texts of ``pcm``. ``guess``: what the first pass has so far; what it says saves time later."""
        reading = Reading(self._whisper.hear(pcm, self._language, keywords=self._keywords), start)
        self._choose(reading, guess)
        return reading

    def read(self, reading: Reading, speech: Speech, first: Sequence[Word] | None) -> Transcription:
        """The text of an utterance. ``first``: words of the first pass; ``None``: there is none."""
        found = self._transcription(reading, first)
        phantom = is_phantom(found, None if first is None else _text(first))
        if phantom and not found.looped:
            return replace(found, uncovered=speech.spoken.total())
        filling = _Filling(self, speech, first)
        words = filling.fill(() if phantom else found.words, speech.start, speech.end)
        if words == found.words:
            return replace(found, uncovered=filling.uncovered)
        text = space(found.language).join(word.word for word in words)
        return replace(found, text=text, words=words, looped=not words, uncovered=filling.uncovered)

    def hear_part(self, speech: Speech, start: float, end: float, first: Sequence[Word] | None) -> tuple[Word, ...]:
        """The words of a part of the utterance, heard by itself; none if nobody can have said them."""
        start = max(start, speech.start)
        pcm = speech.between(start, end)
        reading = Reading(self._whisper.hear(pcm, self._language, keywords=self._keywords), start)
        found = self._transcription(reading, first)
        if found.log_probability < DOUBTFUL or is_phantom(found, None if first is None else _text(first)):
            return ()
        return found.words

    def _transcription(self, reading: Reading, first: Sequence[Word] | None) -> Transcription:
        chosen = self._choose(reading, None if first is None else _text(first))
        words = tuple(each for each in map(_whole, self._align(reading, chosen).words) if each.word)
        return transcription(reading.heard, replace(chosen, text=_clean(chosen.text)), words)

    def _choose(self, reading: Reading, first: str | None) -> Hypothesis:
        """The text that most speaks for: one of the beam, or one with words of others in it."""
        heard = reading.heard
        korean = heard.language == KOREAN
        witnesses = Witnesses(first, self._language_model if korean else None, self._weights)
        chosen = best(heard.hypotheses, witnesses)
        if korean and self._weights.voting and not chosen.looped:
            for _ in range(ROUNDS):
                better = self._better(reading, chosen, witnesses)
                if better is None:
                    break
                chosen = better
        self._align(reading, chosen)
        return chosen

    def _better(self, reading: Reading, chosen: Hypothesis, witnesses: Witnesses) -> Hypothesis | None:
        """The best variant of a text, if it is better."""
        others = [each.text for each in reading.heard.hypotheses if not each.looped]
        now = witnesses.support(chosen.text)
        gains = {text: witnesses.support(text) - now for text in variants(chosen.text, others, witnesses.first)}
        worth = sorted((text for text in gains if gains[text] > LEAST_GAIN), key=lambda text: gains[text])[-VARIANTS:]
        found = None
        least = 0.0
        for text in reversed(worth):
            variant = Hypothesis(text, 0.0, self._whisper.tokens(text, reading.heard.language))
            lost = self._align(reading, variant).log_probability - self._align(reading, chosen).log_probability
            if gains[text] + lost > least:
                least = gains[text] + lost
                mean = (likelihood(chosen) + lost) / (len(variant.tokens) + 1)
                found = replace(variant, log_probability=mean)
        return found

    def _align(self, reading: Reading, text: Hypothesis) -> Alignment:
        if text.text not in reading.alignments:
            reading.alignments[text.text] = self._whisper.align(reading.heard, text.tokens, reading.start)
        return reading.alignments[text.text]


class _Filling:
    """One utterance whose gaps are filled; ``uncovered`` counts the seconds of those that could not be."""

    def __init__(self, passes: SecondPass, speech: Speech, first: Sequence[Word] | None) -> None:
        self._passes = passes
        self._speech = speech
        self._first = first
        self._left = MOST_DECODINGS
        self.uncovered = 0.0

    def fill(self, words: Sequence[Word], start: float, end: float) -> tuple[Word, ...]:
        """The words from ``start`` to ``end``, and what they leave out."""
        found: list[Word] = []
        done = 0
        for gap in gaps(self._speech.spoken, words, start, end, self._first or ()):
            found += words[done : gap.first]
            new = self._missing(gap, words[gap.first : gap.last], end - start)
            found += new[1:] if found and new and _is_heard_twice(found[-1], new[0]) else new
            done = gap.last
        return (*found, *words[done:])

    def _missing(self, gap: Gap, old: Sequence[Word], heard_seconds: float) -> Sequence[Word]:
        """What is said in a gap; ``old`` are the words that lie in it, which stay where nothing else is found."""
        parts = [(gap.start, gap.end)]
        if gap.end - gap.start > MOST_OF_IT * heard_seconds:
            pause = self._speech.spoken.pause(gap.start, gap.end)
            parts = [] if pause is None else [(gap.start, pause), (pause, gap.end)]
        before = self.uncovered
        found = [word for start, end in parts for word in self._part(start, end)]
        new = found or [*self._from_first(gap.start, gap.end)]
        if not new:
            self.uncovered = before + gap.seconds
        return new or old

    def _part(self, start: float, end: float) -> Sequence[Word]:
        """The words of a part: heard by itself, else as the first pass has them."""
        if self._left:
            self._left -= 1
            since, until = self._speech.spoken.trimmed(start, end)
            first = None if self._first is None else between(self._first, since, until)
            edges = self._speech.spoken.with_silence(since, until, EDGE_SECONDS)
            words = self._passes.hear_part(self._speech, *edges, first)
            if words:
                return self.fill(words, since, until)
        words = self._from_first(start, end)
        if not words:
            self.uncovered += self._speech.spoken.within(start, end)
        return words

    def _from_first(self, start: float, end: float) -> tuple[Word, ...]:
        return tuple(
            replace(word, start=max(word.start, start), end=min(word.end, end))
            for word in between(self._first or (), start, end)
        )


def _is_heard_twice(word: Word, following: Word) -> bool:
    """Whether the audio was cut within a word, whose end was heard once more."""
    return following.start - word.end < EDGE_SECONDS and sounds(word.word).endswith(sounds(following.word))


def _text(words: Sequence[Word]) -> str:
    return " ".join(word.word for word in words)


def _clean(text: str) -> str:
    """The text without half characters."""
    return " ".join(text.replace(HALF_A_CHARACTER, "").split())


def _whole(word: Word) -> Word:
    return replace(word, word=_clean(word.word))
