"""LocalAgreement: interims from a recognizer that only knows whole utterances. Pure.

The utterance so far is decoded again and again; what two decodings in a row begin with is believed and never taken
back (Macháček et al., "Turning Whisper into Real-Time Transcription System", 2023).
"""

from itertools import takewhile

from server.engines.local.transcription import Transcription
from server.languages import space


class LocalAgreement:
    """``accept`` each new hypothesis of one utterance; ``committed`` only ever grows."""

    def __init__(self) -> None:
        self.committed: list[str] = []
        self._newest: list[str] = []

    def accept(self, found: Transcription) -> str:
        """The text to show: what is committed, then the rest of the newest hypothesis."""
        between = space(found.language)
        words = found.text.split() if between else list(found.text)
        agreed = [word for word, _ in takewhile(_same, zip(words, self._newest, strict=False))]
        self.committed += agreed[len(self.committed) :]
        self._newest = words
        return between.join([*self.committed, *words[len(self.committed) :]])


def _same(pair: tuple[str, str]) -> bool:
    return _bare(pair[0]) == _bare(pair[1])


def _bare(word: str) -> str:
    """Without what changes while a sentence grows: its capital and its full stop."""
    return "".join(letter for letter in word.lower() if letter.isalnum())
