"""Korean interims from both passes: what Whisper is sure of, then what Vosk has heard after that. Pure.

Whisper hears the utterance so far again and again; what two of its texts in a row begin with is agreed and never taken
back (LocalAgreement). Vosk is quicker, but knows less: of its text only what follows the agreed words is shown. Where
they end in it tell the sounds, since the two differ in words and spaces.
"""

from itertools import takewhile

from rapidfuzz.distance import Levenshtein

from server.engines.local.agreement import same
from server.engines.local.choice import sounds

INSIDE_A_WORD = 0.9
"""Sounds that a cut inside a word must be better by than one between words."""
LENGTH_DIFFERENCE = 0.4
"""Share by which the same words may be longer in one text than in another, ``FEW_SOUNDS`` apart."""
FEW_SOUNDS = 6
MARKS = " .,!?…"


class Refinement:
    """Interims of one utterance. ``agreed`` only ever grows."""

    def __init__(self) -> None:
        self.agreed = ""
        self._newest: list[str] = []

    def refine(self, text: str) -> None:
        """Whisper's text of the utterance so far. Its last word may not have been finished."""
        words = rest(self.agreed, text).split()[:-1]
        common = [word for word, _ in takewhile(same, zip(words, self._newest, strict=False))]
        self._agree(common)
        self._newest = words[len(common) :]

    def settle(self, text: str) -> None:
        """Whisper's text of the utterance up to a pause: all its words have been finished."""
        self._agree(rest(self.agreed, text).split())
        self._newest = []

    def complete(self, first: str) -> str:
        """The text to show; ``first``: that of the first pass."""
        return " ".join(part for part in (self.agreed, rest(self.agreed, first)) if part)

    def _agree(self, words: list[str]) -> None:
        self.agreed = " ".join([*self.agreed.split(), *words])


def rest(known: str, text: str) -> str:
    """What follows in a text after the words that sound most like the known ones."""
    wanted = sounds(known)
    if not wanted:
        return text
    spread = FEW_SOUNDS + LENGTH_DIFFERENCE * len(wanted)
    best, cut = float(len(wanted)), 0
    for at in range(1, len(text) + 1):
        if not text[at - 1].isalnum():
            continue
        beginning = sounds(text[:at])
        if abs(len(beginning) - len(wanted)) > spread:
            continue
        between_words = at == len(text) or not text[at].isalnum()
        distance = Levenshtein.distance(wanted, beginning) + (0 if between_words else INSIDE_A_WORD)
        if distance < best:
            best, cut = distance, at
    return text[cut:].lstrip(MARKS)
