"""Names and terms in the first pass: Vosk can't be told about them, but what it hears instead sounds alike. Pure."""

import unicodedata
from collections.abc import Sequence
from difflib import SequenceMatcher

from server.models import Word, mean_confidence

ALIKE = 0.7
"""Share of common sounds from which on what was heard is taken for the keyword."""
MOST_WORDS = 3
LONGEST_ENDING = 3
"""Syllables that may follow the keyword in its word: Korean particles."""


def spot(words: Sequence[Word], keywords: Sequence[str]) -> list[Word]:
    """The words, with those that sound like a keyword replaced by it. Times and confidence stay as they were."""
    found = list(words)
    for keyword in keywords:
        found = _spot_one(found, keyword)
    return found


def _spot_one(words: list[Word], keyword: str) -> list[Word]:
    """Replace what sounds most like the keyword, then look left and right of it."""
    sizes = range(1, MOST_WORDS + 1)
    places = [(at, at + size) for at in range(len(words)) for size in sizes if at + size <= len(words)]
    alike, (start, end) = max(((_alike(words[a:b], keyword), (a, b)) for a, b in places), default=(0.0, (0, 0)))
    if alike < ALIKE:
        return words
    replaced = words[start:end]
    ending = "".join(word.word for word in replaced)[len(keyword) :]
    spotted = Word(keyword + ending, replaced[0].start, replaced[-1].end, mean_confidence(replaced))
    return [*_spot_one(words[:start], keyword), spotted, *_spot_one(words[end:], keyword)]


def _alike(words: Sequence[Word], keyword: str) -> float:
    """How alike the words and the keyword sound, from 0 to 1. Of equals the one with fewer words wins."""
    heard = "".join(word.word for word in words)
    if len(heard) > len(keyword) + LONGEST_ENDING:
        return 0.0
    ratio = SequenceMatcher(None, _sounds(heard[: len(keyword)]), _sounds(keyword), autojunk=False).ratio()
    return ratio - len(words) / 1000


def _sounds(text: str) -> str:
    """The text as sounds: Hangul in its letters, two or three to a syllable; other scripts in lower case."""
    return "".join(letter for letter in unicodedata.normalize("NFD", text.lower()) if letter.isalnum())
