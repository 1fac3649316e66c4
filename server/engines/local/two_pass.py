"""The final of an utterance from its two passes. Pure."""

import re

from server.engines.local.phantom import is_phantom
from server.engines.local.transcription import Transcription
from server.engines.speech.endpointing import PAUSE_SECONDS, Ended, Started
from server.models import Final, SessionConfig, Word, mean_confidence

TRUSTED_FIRST_PASS = 0.7
"""Confidence of a first pass that is believed although the second pass heard nothing."""
PUNCTUATION = re.compile(r"[.,!?…:;]+(?=\s|$)|[。、，！？：；¿¡]+")
SHORTEST_WORD_SECONDS = 0.02


def choose(found: Transcription, first: Final | None, started: Started, ended: Ended, config: SessionConfig) -> Final:
    """The second pass, unless nobody can have said it; then the first pass if that is sure, else an empty final."""
    if is_phantom(found, first.text if first else None):
        if first is not None and first.text and (first.confidence or 0.0) >= TRUSTED_FIRST_PASS:
            return first
        return Final("", ended.end, ended.end, ended.through)
    words = tuple(_within(word, started.start, ended.end + PAUSE_SECONDS, config) for word in found.words)
    words = tuple(word for word in words if word.word)
    text = found.text if config.punctuate else PUNCTUATION.sub("", found.text).strip()
    start, end = (words[0].start, words[-1].end) if words else (started.start, ended.end)
    confidence = mean_confidence(words)
    return Final(text, start, end, ended.through, confidence or found.confidence, words, found.language)


def _within(word: Word, earliest: float, latest: float, config: SessionConfig) -> Word:
    """Whisper's first word begins with the audio and its last ends with it; the VAD knows better."""
    start = min(max(word.start, earliest), latest - SHORTEST_WORD_SECONDS)
    end = min(max(word.end, start + SHORTEST_WORD_SECONDS), latest)
    text = word.word if config.punctuate else PUNCTUATION.sub("", word.word)
    return Word(text, start, end, word.confidence)
