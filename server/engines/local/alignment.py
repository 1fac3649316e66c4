"""Where in the audio the words of a text lie, and how likely they are, by the attention of Whisper's decoder."""

from dataclasses import dataclass
from itertools import accumulate
from math import log
from typing import Any

import numpy as np
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import merge_punctuations

from server.models import Word

PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"
LEAST_PROBABILITY = 1e-9


@dataclass(frozen=True, slots=True)
class Alignment:
    """``log_probability`` is the sum over the tokens of the text, without its end."""

    words: tuple[Word, ...]
    log_probability: float


def aligned(
    found: Any, tokens: tuple[int, ...], tokenizer: Tokenizer, tokens_per_second: float, start: float
) -> Alignment:
    """What CTranslate2's ``align`` has found for ``tokens``. The audio's first sample is at ``start`` seconds."""
    probabilities = found.text_token_probs
    log_probability = sum(log(max(each, LEAST_PROBABILITY)) for each in probabilities)
    texts, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    bounds = [0, *accumulate(len(group) for group in groups[:-1])]
    if len(bounds) < 2:  # only the end of the text
        return Alignment((), log_probability)
    text_indices = np.array([pair[0] for pair in found.alignments])
    time_indices = np.array([pair[1] for pair in found.alignments])
    jumps = np.concatenate([[True], np.diff(text_indices) > 0])
    times = start + time_indices[jumps] / tokens_per_second
    words = [
        {
            "word": text,
            "tokens": group,
            "start": times[first],
            "end": times[last],
            "probability": np.mean(probabilities[first:last]),
        }
        for text, group, first, last in zip(texts, groups, bounds, bounds[1:], strict=False)
    ]
    merge_punctuations(words, PREPENDED, APPENDED)
    return Alignment(tuple(map(_word, filter(_has_text, words))), log_probability)


def _has_text(word: dict[str, Any]) -> bool:
    return bool(word["word"].strip())


def _word(word: dict[str, Any]) -> Word:
    return Word(word["word"].strip(), float(word["start"]), float(word["end"]), float(word["probability"]))
