"""Whisper on CTranslate2: one utterance at a time, in a window that is only as long as it needs to be.

Whisper is trained on windows of 30 s, and its encoder costs the same for a word as for half a minute. CTranslate2
takes shorter ones; what they get wrong is that the decoder may start over and say the sentence twice, so a result that
repeats itself is done again with the full window.
"""

import re
import zlib
from collections.abc import Sequence
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer

from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE
from server.engines.local.alignment import Alignment, aligned
from server.engines.local.choice import best, likelihood
from server.engines.local.settings import LocalSettings
from server.engines.local.transcription import Heard, Hypothesis, Transcription, transcription
from server.engines.local.weights import whisper_model
from server.errors import EngineError

FULL_WINDOW_SECONDS = 30.0
SHORTEST_WINDOW_SECONDS = 9.0
SILENCE_SECONDS = 2.0
"""Silence after the utterance inside the window: without it the decoder does not find the end."""
FINAL_BEAM = 8
COMPRESSION_LIMIT = 2.4
"""Text that zlib shrinks more than this is a loop (the limit of Whisper's own decoding)."""
REPEATED_LETTERS = 5
MOST_REPEATS = 3
"""Times that a circle may be gone round where its beginning, in the same beam, is believed."""
FEWEST_NUMBERS = 4
"""Numbers of a count that may go round in a circle."""
SHORTEST_SECONDS = 0.05
"""Audio that is shorter holds no word, and faster-whisper can't align it."""
TOKENS_PER_SECOND = 16
FIRST_TOKENS = 40
"""Tokens that a text may have beyond ``TOKENS_PER_SECOND``. Nobody speaks faster: Korean takes two or three tokens a
syllable."""
PROMPT_TOKENS = 200
NOTHING = Hypothesis("", 0.0)


class Whisper:
    """The model; safe to be shared by threads, ``parallel`` of which can use it at once."""

    def __init__(self, settings: LocalSettings, parallel: int) -> None:
        device = settings.whisper_device
        if device == "auto":
            device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        path = whisper_model(settings.whisper_model, settings.cache.expanduser())
        try:
            self._model = WhisperModel(
                path,
                device=device,
                compute_type="int8" if device == "cpu" else "float16",
                cpu_threads=1,  # one job on one thread costs the least CPU; jobs of several sessions run side by side
                num_workers=parallel,
            )
        except (OSError, RuntimeError, ValueError) as exc:
            raise EngineError(f"Whisper {path!r} can't be loaded on {device}: {exc}", retryable=False) from exc
        self._tokenizers = {code: self._tokenizer(code) for code in self._known_languages()}

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(self._tokenizers)

    def hear(
        self,
        pcm: bytes,
        language: str | None,
        *,
        keywords: Sequence[str] = (),
        beam: int = FINAL_BEAM,
        shortest_window: float = SHORTEST_WINDOW_SECONDS,
    ) -> Heard:
        """The texts that ``pcm`` may hold, the likeliest first. ``language`` ``None``: find it out."""
        seconds = len(pcm) / BYTES_PER_SECOND
        if seconds < SHORTEST_SECONDS:
            return Heard((NOTHING,), language or "", 1.0)
        short = min(FULL_WINDOW_SECONDS, max(shortest_window, seconds + SILENCE_SECONDS))
        heard = self._decode(pcm, short, language, keywords, beam)
        if goes_round(heard.hypotheses) and short < FULL_WINDOW_SECONDS and beam > 1:
            heard = self._decode(pcm, FULL_WINDOW_SECONDS, language, keywords, beam)
        return heard

    def transcribe(
        self, pcm: bytes, language: str | None, *, start: float = 0.0, word_times: bool = True, **options: Any
    ) -> Transcription:
        """The likeliest text of ``pcm``, whose first sample is at ``start`` seconds. ``options``: those of ``hear``."""
        heard = self.hear(pcm, language, **options)
        likeliest = best(heard.hypotheses)
        words = self.align(heard, likeliest.tokens, start).words if word_times else ()
        return transcription(heard, likeliest, words)

    def align(self, heard: Heard, tokens: tuple[int, ...], start: float) -> Alignment:
        """Where the words of a text lie in what was heard, and how likely they are."""
        if not tokens:
            return Alignment((), 0.0)
        tokenizer = self._tokenizers[heard.language]
        frames = max(1, heard.samples // self._model.feature_extractor.hop_length)
        found = self._model.model.align(heard.encoded, tokenizer.sot_sequence, [list(tokens)], frames)[0]
        return aligned(found, tokens, tokenizer, self._model.tokens_per_second, start)

    def tokens(self, text: str, language: str) -> tuple[int, ...]:
        """The tokens of a text that is written with spaces."""
        return tuple(self._tokenizers[language].encode(f" {text}"))

    def _decode(self, pcm: bytes, window: float, language: str | None, keywords: Sequence[str], beam: int) -> Heard:
        samples = np.frombuffer(pcm, "<i2")[: round(window * SAMPLE_RATE)].astype(np.float32) / 32768
        padded = np.pad(samples, (0, round(window * SAMPLE_RATE) - len(samples)))
        encoded = self._model.encode(self._model.feature_extractor(padded, padding=0))
        tokenizer = self._tokenizers[language or self._detect(encoded)]
        limit = FIRST_TOKENS + round(TOKENS_PER_SECOND * len(samples) / SAMPLE_RATE)
        prompt = [*_keyword_prompt(tokenizer, keywords), *tokenizer.sot_sequence, tokenizer.no_timestamps]
        found = self._model.model.generate(
            encoded,
            [prompt],
            beam_size=beam,
            num_hypotheses=beam,
            max_length=len(prompt) + limit,
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        # the full window does not make the decoder start over: what it hears twice was said twice
        circles = repeats_itself if window < FULL_WINDOW_SECONDS else says_the_same
        hypotheses = []
        for ids, score in zip(found.sequences_ids, found.scores, strict=True):
            tokens = tuple(token for token in ids if token < tokenizer.eot)
            text = tokenizer.decode(tokens).strip()
            hypotheses.append(Hypothesis(text, score, tokens, len(tokens) >= limit or circles(text)))
        return Heard(tuple(hypotheses), tokenizer.language_code, found.no_speech_prob, encoded, len(samples))

    def _detect(self, encoded: Any) -> str:
        likely: list[tuple[str, float]] = self._model.model.detect_language(encoded)[0]
        return next(token[2:-2] for token, _ in likely if token[2:-2] in self._tokenizers)

    def _tokenizer(self, language: str) -> Tokenizer:
        return Tokenizer(self._model.hf_tokenizer, self._model.model.is_multilingual, "transcribe", language)

    def _known_languages(self) -> list[str]:
        known = self._model.supported_languages
        return [code for code in known if self._model.hf_tokenizer.token_to_id(f"<|{code}|>") is not None]


def _keyword_prompt(tokenizer: Tokenizer, keywords: Sequence[str]) -> list[int]:
    """A prompt in which the keywords have been said before: the decoder then prefers their spelling."""
    if not keywords:
        return []
    return [tokenizer.sot_prev, *tokenizer.encode(" " + ", ".join(keywords))[:PROMPT_TOKENS]]


def goes_round(hypotheses: Sequence[Hypothesis]) -> bool:
    """Whether the decoder went round in a circle, and the beam does not hold what it should have said instead."""
    if not any(each.looped for each in hypotheses):
        return False
    likeliest = max(hypotheses, key=likelihood)
    return likeliest.looped or len(likeliest.tokens) * MOST_REPEATS < len(hypotheses[0].tokens)


def repeats_itself(text: str) -> bool:
    """Whether the text looks like the decoder went round in a circle."""
    if says_the_same(text):
        return True
    letters = text.replace(" ", "")
    return any(
        letters[at : at + size] == letters[at + size : at + 2 * size]
        for size in range(REPEATED_LETTERS, len(letters) // 2 + 1)
        for at in range(len(letters) - 2 * size + 1)
    )


def says_the_same(text: str) -> bool:
    """Whether the text says the same over and over again."""
    return shrinks_too_well(text) or counts_in_circles(text)


def counts_in_circles(text: str) -> bool:
    """Whether the text counts the same few numbers over and over again, as nobody does."""
    numbers = re.findall(r"\d+", text)
    return len(numbers) >= FEWEST_NUMBERS and len(set(numbers)) * 2 <= len(numbers)


def shrinks_too_well(text: str) -> bool:
    """Whether zlib makes much less of the text than of what people say."""
    raw = text.encode()
    return len(raw) > COMPRESSION_LIMIT * len(zlib.compress(raw))
