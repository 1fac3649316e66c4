"""What a recognizer of whole utterances makes of one. Pure."""

from dataclasses import dataclass
from math import exp
from typing import Any

from server.models import Word


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One text of the beam. ``log_probability`` is the mean over the tokens; ``looped``: it repeats itself."""

    text: str
    log_probability: float
    tokens: tuple[int, ...] = ()
    looped: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """What the beam of one utterance holds, the likeliest first; never empty.

    ``no_speech`` is the probability that nobody speaks. ``encoded`` is the audio as the decoder sees it, ``samples``
    its length: times of words are found with them.
    """

    hypotheses: tuple[Hypothesis, ...]
    language: str
    no_speech: float
    encoded: Any = None
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Transcription:
    """The text of an utterance, and how sure Whisper is of it.

    ``log_probability`` is the mean over the tokens, ``no_speech`` the probability that nobody speaks. ``looped``: even
    the full window repeats itself. ``uncovered``: seconds of speech that the text does not stand for.
    """

    text: str
    language: str
    log_probability: float
    no_speech: float
    looped: bool = False
    words: tuple[Word, ...] = ()
    uncovered: float = 0.0

    @property
    def confidence(self) -> float:
        """Geometric mean of the tokens' probabilities, in (0, 1]."""
        return exp(min(0.0, self.log_probability))


def transcription(heard: Heard, chosen: Hypothesis, words: tuple[Word, ...]) -> Transcription:
    """What the chosen hypothesis says."""
    return Transcription(chosen.text, heard.language, chosen.log_probability, heard.no_speech, chosen.looped, words)
