"""What the Deepgram peer hears with: speech that is written in the samples, or the embedded engine.

In coded speech a word is a run of equal samples: their value is its number. A word that is cut in two is heard by
neither side unless more than half of it is there; so every word that is heard twice, or never, shows.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from server.engines.base import SAMPLE_RATE, Engine, Recognizer
from server.models import Final, Interim, SessionConfig, SpeechStarted, Word

WORD_SECONDS = 0.3
GAP_SECONDS = 0.1
PAUSE_SECONDS = 1.2
CONFIDENCE = 0.9
SETTLE_SECONDS = 2.0
"""Deepgram settles what is older in a long utterance, and silence as it goes by."""


@dataclass(frozen=True)
class Began:
    at: float


@dataclass(frozen=True)
class Hypothesis:
    """What is heard since the last settled one, up to ``until``; ``ended``: a pause follows."""

    text: str
    words: tuple[Word, ...]
    until: float
    settled: bool = False
    ended: bool = False


Heard = Began | Hypothesis
Emit = Callable[[Heard], Awaitable[None]]


class Transcriber(Protocol):
    """One connection's hearing; times are seconds of audio since it began."""

    async def hear(self, pcm: bytes) -> None: ...

    async def flush(self) -> None:
        """Settle everything that was heard."""

    async def aclose(self) -> None: ...


MakeTranscriber = Callable[[Emit, float, asyncio.TaskGroup], Transcriber]
"""Takes the endpointing in seconds, too."""


# --- coded speech ---------------------------------------------------------------------------------------------------


def coded_speech(*sentences: Sequence[int], pause: float = PAUSE_SECONDS) -> bytes:
    """PCM of the sentences, each followed by a ``pause``; numbers from 1 to 30000."""
    runs: list[tuple[int, float]] = []
    for sentence in sentences:
        for number in sentence:
            runs += [(number, WORD_SECONDS), (0, GAP_SECONDS)]
        runs.append((0, pause))
    return b"".join(np.full(round(seconds * SAMPLE_RATE), value, "<i2").tobytes() for value, seconds in runs)


def coded_text(*sentences: Sequence[int]) -> list[str]:
    """What is heard of each sentence."""
    return [" ".join(f"w{number}" for number in sentence) for sentence in sentences]


class CodedTranscriber:
    """Hears coded speech, with Deepgram's habits: long utterances are settled in parts, without their newest word."""

    def __init__(self, emit: Emit, endpointing: float, tasks: asyncio.TaskGroup) -> None:
        self._emit = emit
        self._endpointing = endpointing
        self._now = 0
        self._run_value = 0
        self._run_start = 0
        self._words: list[Word] = []
        self._speaking = False
        self._settled = 0.0
        self._last_word_end = 0.0

    async def hear(self, pcm: bytes) -> None:
        samples = np.frombuffer(pcm, "<i2")
        changes = np.flatnonzero(np.diff(samples, prepend=self._run_value))
        for change in changes:
            at = self._now + int(change)
            await self._end_run(at)
            self._run_value, self._run_start = int(samples[change]), at
        self._now += len(samples)
        await self._look_around()

    async def flush(self) -> None:
        await self._end_run(self._now)
        self._run_start = self._now
        await self._settle(len(self._words), self._now / SAMPLE_RATE, ended=bool(self._words))
        self._speaking = False

    async def aclose(self) -> None: ...

    async def _end_run(self, at: int) -> None:
        start, end = self._run_start / SAMPLE_RATE, at / SAMPLE_RATE
        if self._run_value <= 0 or end - start < WORD_SECONDS / 2:
            return
        if not self._speaking:
            self._speaking = True
            await self._emit(Began(start))
        self._words.append(Word(f"w{self._run_value}", start, end, CONFIDENCE))
        self._last_word_end = end
        if self._words[-1].end - self._settled >= SETTLE_SECONDS and len(self._words) > 1:
            await self._emit(self._hypothesis(len(self._words), end))
            await self._settle(len(self._words) - 1, self._words[-2].end, ended=False)
        else:
            await self._emit(self._hypothesis(len(self._words), end))

    async def _look_around(self) -> None:
        """An endpoint after a pause; empty finals as silence goes by."""
        now = self._now / SAMPLE_RATE
        silent = self._run_value == 0
        if self._speaking and silent and now - self._last_word_end >= self._endpointing:
            await self._settle(len(self._words), now, ended=True)
            self._speaking = False
        elif not self._speaking and silent and now - self._settled >= SETTLE_SECONDS:
            await self._settle(0, now, ended=False)

    async def _settle(self, count: int, until: float, *, ended: bool) -> None:
        if until > self._settled or count:
            await self._emit(self._hypothesis(count, until, settled=True, ended=ended))
            self._settled = until
        del self._words[:count]

    def _hypothesis(self, count: int, until: float, *, settled: bool = False, ended: bool = False) -> Hypothesis:
        words = tuple(self._words[:count])
        return Hypothesis(" ".join(word.word for word in words), words, until, settled, ended)


# --- the embedded engine --------------------------------------------------------------------------------------------


def embedded(engine: Engine) -> MakeTranscriber:
    """Real words: Korean, heard by ``engine``, which must be warm."""
    return lambda emit, endpointing, tasks: EmbeddedTranscriber(engine, emit, endpointing, tasks)


class EmbeddedTranscriber:
    def __init__(self, engine: Engine, emit: Emit, endpointing: float, tasks: asyncio.TaskGroup) -> None:
        self._engine = engine
        self._emit = emit
        self._config = SessionConfig(language="ko", two_pass=False, endpointing_ms=max(100, round(endpointing * 1000)))
        self._tasks = tasks
        self._bytes = 0
        self._opened = AsyncExitStack()
        self._recognizer: Recognizer | None = None
        self._reading: asyncio.Task[None] | None = None

    async def hear(self, pcm: bytes) -> None:
        if self._recognizer is None:
            opening = self._engine.open(self._config, self._bytes / 2 / SAMPLE_RATE)
            self._recognizer = await self._opened.enter_async_context(opening)
            self._reading = self._tasks.create_task(self._read(self._recognizer))
        self._bytes += len(pcm)
        await self._recognizer.send_audio(pcm)

    async def flush(self) -> None:
        if self._recognizer is not None and self._reading is not None:
            await self._recognizer.finish()
            await self._reading
            await self._opened.aclose()
            self._recognizer = None

    async def aclose(self) -> None:
        await self._opened.aclose()
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self, recognizer: Recognizer) -> None:
        async for recognition in recognizer:
            match recognition:
                case SpeechStarted(start=start):
                    await self._emit(Began(start))
                case Interim():
                    await self._emit(Hypothesis(recognition.text, recognition.words, recognition.end))
                case Final():
                    text, words, through = recognition.text, recognition.words, recognition.through
                    await self._emit(Hypothesis(text, words, through, settled=True, ended=bool(text)))
                case _:
                    pass
