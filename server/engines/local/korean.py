"""Makes Vosk's Korean readable: numerals without brackets, words instead of morphemes."""

import re
from collections.abc import Iterator, Sequence

from kiwipiepy import Kiwi

from server.models import Word, mean_confidence

BRACKETS = re.compile(r"^[\[({<](.*)[\])}>]$")
LONGEST_JOIN = 8
"""Most syllables of a word that is joined of morphemes. Where recognition went wrong, Kiwi sees no word boundaries."""


def plain(word: str) -> str:
    """The word without the brackets that the model's dictionary puts around numerals (``[17]``, ``{만}``)."""
    return BRACKETS.sub(r"\1", word)


class KoreanSpacing:
    """Kiwi, loaded once; safe to be shared by threads."""

    def __init__(self) -> None:
        self._kiwi = Kiwi(num_workers=1)
        self._kiwi.space("띄어쓰기", reset_whitespace=True)  # loads the spacing model now rather than mid-sentence

    def likelihood(self, text: str) -> float:
        """Log probability of a text by Kiwi's language model."""
        return float(self._kiwi.analyze(text)[0][1]) if text else 0.0

    def words(self, morphemes: Sequence[Word]) -> list[Word]:
        """Join morphemes into the words that are written together; times and confidences are joined as well."""
        morphemes = [_renamed(each, plain(each.word)) for each in morphemes]
        text = " ".join(each.word for each in morphemes)
        if not text:
            return []
        spaced = self._kiwi.space(text, reset_whitespace=True)
        return [_joined(group) for group in _groups(morphemes, spaced)]


def _renamed(word: Word, text: str) -> Word:
    return Word(text, word.start, word.end, word.confidence)


def _groups(morphemes: Sequence[Word], spaced: str) -> Iterator[list[Word]]:
    """Morphemes that ``spaced`` writes without a space between them; none is ever split."""
    breaks, length = set(), 0
    for written in spaced.split():
        length += len(written)
        breaks.add(length)
    group: list[Word] = []
    length = 0
    for morpheme in morphemes:
        group.append(morpheme)
        length += len(morpheme.word)
        if length in breaks:
            yield from _bounded(group)
            group = []
    if group:
        yield from _bounded(group)


def _bounded(group: list[Word]) -> Iterator[list[Word]]:
    if sum(len(each.word) for each in group) > LONGEST_JOIN:
        yield from ([each] for each in group)
    else:
        yield group


def _joined(group: Sequence[Word]) -> Word:
    """One word of several morphemes; its confidence is their mean, weighted by length in time."""
    return Word("".join(each.word for each in group), group[0].start, group[-1].end, mean_confidence(group))
