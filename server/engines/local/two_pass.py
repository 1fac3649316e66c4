"""The final of an utterance from its two passes. Pure."""

import re
from dataclasses import replace

from server.engines.local.choice import alike
from server.engines.local.phantom import is_phantom
from server.engines.local.transcription import Transcription
from server.engines.speech.endpointing import PAUSE_SECONDS, Ended, Started
from server.models import Final, Interim, SessionConfig, Word, mean_confidence

SURE = 0.8
"""Confidence from which on the first pass is believed where the second heard something else and is not sure."""
UNSURE = 0.5
ALIKE = 0.5
"""Share of common sounds below which the passes have heard something else."""
PUNCTUATION = re.compile(r"[.,!?…:;]+(?=\s|$)|[。、，！？：；¿¡]+")
SHORTEST_WORD_SECONDS = 0.02


def choose(
    found: Transcription,
    first: Final | None,
    started: Started,
    ended: Ended,
    config: SessionConfig,
    shown: Interim | None = None,
) -> Final:
    """The second pass, unless it made something up or plainly guessed; then the first, else what was ``shown`` last.

    An interim that nobody takes back is what the reader believes: where nothing better is known it becomes final, and
    ``uncovered`` says how unsure that is. Without any text the final is empty.
    """
    if is_phantom(found, first.text if first else None):
        if first is not None and first.text:
            return first
        nothing = Final("", ended.end, ended.end, ended.through, uncovered=found.uncovered)
        if shown is None:
            return nothing
        return replace(
            nothing, text=shown.text, start=started.start, confidence=shown.confidence, language=shown.language
        )
    if first is not None and _knows_better(first, found):
        return replace(first, uncovered=found.uncovered)
    words = tuple(_within(word, started.start, ended.end + PAUSE_SECONDS, config) for word in found.words)
    words = tuple(word for word in words if word.word)
    text = found.text if config.punctuate else PUNCTUATION.sub("", found.text).strip()
    start, end = (words[0].start, words[-1].end) if words else (started.start, ended.end)
    confidence = mean_confidence(words) or found.confidence
    return Final(text, start, end, ended.through, confidence, words, found.language, uncovered=found.uncovered)


def _knows_better(first: Final, found: Transcription) -> bool:
    """Whether the second pass guessed, as it does of a word or two, where the first is sure of something else."""
    confidence = mean_confidence(found.words) or found.confidence
    if confidence >= UNSURE or (first.confidence or 0.0) < SURE:
        return False
    return alike(found.text, first.text) < ALIKE


def _within(word: Word, earliest: float, latest: float, config: SessionConfig) -> Word:
    """Whisper's first word begins with the audio and its last ends with it; the VAD knows better."""
    start = min(max(word.start, earliest), latest - SHORTEST_WORD_SECONDS)
    end = min(max(word.end, start + SHORTEST_WORD_SECONDS), latest)
    text = word.word if config.punctuate else PUNCTUATION.sub("", word.word)
    return Word(text, start, end, word.confidence)
