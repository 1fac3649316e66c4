"""What a recognizer of whole utterances makes of one. Pure."""

from dataclasses import dataclass
from math import exp

from server.models import Word


@dataclass(frozen=True, slots=True)
class Transcription:
    """The text of an utterance, and how sure Whisper is of it.

    ``log_probability`` is the mean over the tokens, ``no_speech`` the probability that nobody speaks. ``looped``: even
    the full window repeats itself.
    """

    text: str
    language: str
    log_probability: float
    no_speech: float
    looped: bool = False
    words: tuple[Word, ...] = ()

    @property
    def confidence(self) -> float:
        """Geometric mean of the tokens' probabilities, in (0, 1]."""
        return exp(min(0.0, self.log_probability))
