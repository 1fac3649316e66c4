"""Which of the texts in Whisper's beam was said. Pure.

The likeliest by Whisper alone is often not the right one, though the right one is in the beam. Two others know better,
each something else: a language model, what is Korean; the first pass, what it sounded like.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from server.engines.local.transcription import Hypothesis

LanguageModel = Callable[[str], float]
"""Log probability of a text."""

BROKEN_COST = 20.0
"""Log probability that a text costs in which somebody would have spoken half a character."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What counts beside Whisper's own summed log probability. Flat around the defaults.

    ``language``: weight of the language model. ``sound``: log probability that each letter costs which differs from the
    first pass. ``voting``: words of other texts may take the place of those of the best one.
    """

    language: float = 0.2
    sound: float = 0.4
    voting: bool = True


SHORTEST_SHARE = 0.6
"""Share of the first text's tokens that another must have, where only Whisper knows."""
HALF_A_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Who else knows what was said. ``first``: text of the first pass; ``None`` or empty: it has heard nothing."""

    first: str | None = None
    language_model: LanguageModel | None = None
    weights: Weights = Weights()

    @property
    def present(self) -> bool:
        return bool(self.first) or self.language_model is not None

    def support(self, text: str) -> float:
        """What they say for a text, as a log probability; and that a text must be one that can be spoken."""
        total = -BROKEN_COST if is_broken(text) else 0.0
        if self.language_model is not None:
            total += self.weights.language * self.language_model(text)
        if self.first:
            total -= self.weights.sound * Levenshtein.distance(sounds(text), sounds(self.first))
        return total


NOBODY = Witnesses()


def best(hypotheses: Sequence[Hypothesis], witnesses: Witnesses = NOBODY) -> Hypothesis:
    """The hypothesis that is the likeliest with what the witnesses say.

    One that repeats itself is taken only where all do. Without witnesses one that is much shorter than the beam's first
    is not taken: its sum is high because it says little.
    """
    sound = [each for each in hypotheses if not each.looped] or hypotheses
    least = 0.0 if witnesses.present else SHORTEST_SHARE * len(sound[0].tokens)
    long = [each for each in sound if len(each.tokens) >= least]
    return max(long, key=lambda each: likelihood(each) + witnesses.support(each.text))


def likelihood(hypothesis: Hypothesis) -> float:
    """Summed log probability. The end of the text is a token, too."""
    return hypothesis.log_probability * (len(hypothesis.tokens) + 1)


def sounds(text: str) -> str:
    """The text as sounds: Hangul in its letters, two or three to a syllable; no spaces and no punctuation."""
    return "".join(letter for letter in unicodedata.normalize("NFD", text.lower()) if letter.isalnum())


def alike(text: str, other: str) -> float:
    """Share of common sounds, from 0 to 1."""
    return float(Levenshtein.normalized_similarity(sounds(text), sounds(other)))


def is_broken(text: str) -> bool:
    """Whether a text holds half a character, or a word that begins in Hangul and goes on in small Latin letters."""
    if HALF_A_CHARACTER in text:
        return True
    return any("가" <= one <= "힣" and "a" <= other <= "z" for one, other in zip(text, text[1:], strict=False))
