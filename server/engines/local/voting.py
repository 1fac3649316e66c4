"""Words that only one of the two passes, or another text of the beam, has right. Pure.

A variant of a text has a word or two of it replaced. Which variant was said is for others to weigh.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from rapidfuzz.distance import Levenshtein

from server.engines.local.choice import alike, sounds

ALIKE = 0.5
"""Share of common sounds from which on a word of the first pass may be what the second heard."""
MOST_WORDS = 2
"""Words that are replaced together: passes differ in their spaces."""


def variants(text: str, others: Sequence[str], first: str | None) -> list[str]:
    """Texts like ``text`` with words of ``others`` (texts of the same beam) or of the first pass, or with
    doubles left out."""
    found = dict.fromkeys(_with_words_of_first(text.split(), first)) if first else {}
    found |= dict.fromkeys(_without_doubles(text.split()))
    for other in others:
        found |= dict.fromkeys(_with_words_of(text.split(), other.split()))
    return [each for each in found if each != text]


def _without_doubles(words: list[str]) -> Iterator[str]:
    """The text with something once that it has twice in a row."""
    letters = [_letters(each) for each in words]
    for size in range(1, len(words) // 2 + 1):
        for start in range(len(words) - 2 * size + 1):
            if letters[start : start + size] == letters[start + size : start + 2 * size]:
                yield " ".join([*words[:start], *words[start + size :]])


def _with_words_of(words: list[str], other: list[str]) -> Iterator[str]:
    matcher = SequenceMatcher(None, [_letters(each) for each in words], [_letters(each) for each in other], False)
    for tag, start, end, other_start, other_end in matcher.get_opcodes():
        if tag == "replace":
            yield " ".join([*words[:start], *other[other_start:other_end], *words[end:]])


def _with_words_of_first(words: list[str], first: str) -> Iterator[str]:
    heard = shares(words, first)
    for start in range(len(words)):
        for end in range(start + 1, min(start + MOST_WORDS, len(words)) + 1):
            old, new = words[start:end], [each for each in heard[start:end] if each]
            if not new or "".join(new) == "".join(map(_letters, old)):
                continue
            if _is_not_hangul(old) or alike("".join(new), "".join(old)) >= ALIKE:
                new[-1] += _mark(old[-1])
                yield " ".join([*words[:start], *new, *words[end:]])


def shares(words: Sequence[str], first: str) -> list[str]:
    """What the first pass heard in the place of each word, syllable by syllable; without spaces."""
    found = [""] * len(words)
    letters = [(sound, number) for number, word in enumerate(words) for sound in sounds(word)]
    if not letters:
        return found
    syllables = [letter for letter in first if letter.isalnum()]
    heard = [(sound, number) for number, syllable in enumerate(syllables) for sound in sounds(syllable)]
    votes: list[Counter[int]] = [Counter() for _ in syllables]
    for sound, at in _places([each for each, _ in heard], [each for each, _ in letters]):
        votes[heard[sound][1]][letters[at][1]] += 1
    word = 0
    for syllable, vote in zip(syllables, votes, strict=True):
        word = max(word, vote.most_common(1)[0][0]) if vote else word
        found[word] += syllable
    return found


def _places(heard: Sequence[str], letters: Sequence[str]) -> Iterator[tuple[int, int]]:
    """For each sound of the first pass its place among the letters."""
    for step in Levenshtein.opcodes(letters, heard):
        for offset in range(step.dest_end - step.dest_start):
            at = step.src_start if step.tag == "insert" else step.src_start + offset
            yield step.dest_start + offset, min(at, len(letters) - 1)


def _is_not_hangul(words: Sequence[str]) -> bool:
    """Whether there is a digit or a Latin letter in the words: then they do not show what they sound like."""
    return any(letter.isascii() and letter.isalnum() for word in words for letter in word)


def _letters(word: str) -> str:
    return "".join(letter for letter in word if letter.isalnum())


def _mark(word: str) -> str:
    """The punctuation that the word ends with."""
    return word[len(word.rstrip(".,!?…:;\"'")) :]
