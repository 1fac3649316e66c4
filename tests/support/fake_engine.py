"""An engine whose words are written in the audio: a sample above zero is a word, one below zero ends the utterance.

What it says depends on the audio alone: a recognizer that begins at the end of any final goes on with the same words.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from server.engines.base import SAMPLE_RATE, Capabilities
from server.errors import EngineError
from server.models import Final, Interim, Recognition, SessionConfig, SpeechEnded, SpeechStarted, Word

END = -1
CONFIDENCE = 0.9
QUIET_SAMPLES = SAMPLE_RATE // 2


def speech(*utterances: Sequence[int], seconds: float = 1.0) -> bytes:
    """PCM in which each utterance takes ``seconds``: its words, the end of the utterance, and silence after it."""
    samples = np.zeros(round(len(utterances) * seconds * SAMPLE_RATE), "<i2")
    for index, words in enumerate(utterances):
        for place, mark in enumerate((*words, END), start=1):
            samples[round((index + place / (len(words) + 2)) * seconds * SAMPLE_RATE)] = mark
    return samples.tobytes()


def silence(seconds: float) -> bytes:
    return bytes(round(seconds * SAMPLE_RATE) * 2)


def word(number: int) -> str:
    return f"말{number}"


def said(*utterances: Sequence[int]) -> list[str]:
    """The texts of the finals of ``speech(*utterances)``."""
    return [" ".join(word(each) for each in words) for words in utterances]


@dataclass
class Fault:
    """What goes wrong ``where``, ``times`` times (``None``: always); without ``error`` the call hangs.

    A fault in ``send`` comes where the audio reaches ``at`` seconds on the session's audio clock.
    """

    error: Exception | None = None
    at: float = 0.0
    where: Literal["open", "send", "read", "flush", "answer", "finish"] = "send"
    times: int | None = 1
    met: int = 0
    struck: asyncio.Event = field(default_factory=asyncio.Event)

    async def strike(self) -> None:
        self.met += 1
        self.struck.set()
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()

    def due(self, where: str, until: float) -> bool:
        return self.where == where and self.at <= until and (self.times is None or self.met < self.times)


@dataclass
class FakeEngine:
    """``opened`` says where on the audio clock each recognizer began; ``say`` makes a word of its number."""

    faults: list[Fault] = field(default_factory=list)
    capabilities: Capabilities = Capabilities(languages=frozenset({"ko", "en"}))
    say: Callable[[int], str] = word
    ready: bool = True
    uncovered: float = 0.0
    """Seconds of each utterance that it cannot read."""
    opened: list[float] = field(default_factory=list)
    closed: bool = False

    async def prewarm(self) -> None:
        return

    @asynccontextmanager
    async def open(self, config: SessionConfig, start: float) -> AsyncIterator["FakeRecognizer"]:
        self.opened.append(start)
        await self.meet("open", start)
        yield FakeRecognizer(self, start)

    def status(self) -> dict[str, Any]:
        return {"ready": self.ready}

    async def aclose(self) -> None:
        self.closed = True

    async def meet(self, where: str, until: float) -> None:
        for fault in self.faults:
            if fault.due(where, until):
                await fault.strike()

    def forgets(self, where: str, until: float) -> bool:
        """Whether a fault makes it leave something undone."""
        faults = [fault for fault in self.faults if fault.due(where, until)]
        for fault in faults:
            fault.met += 1
        return bool(faults)


class FakeRecognizer:
    """One stream: takes audio as fast as it comes."""

    def __init__(self, engine: FakeEngine, start: float) -> None:
        self._engine = engine
        self._position = self._accounted = round(start * SAMPLE_RATE)
        self._words: list[Word] = []
        self._results: asyncio.Queue[Recognition | EngineError | None] = asyncio.Queue()
        self._error: EngineError | None = None

    async def send_audio(self, pcm: bytes) -> None:
        samples = np.frombuffer(pcm, "<i2")
        await self._meet("send", self._position + len(samples))
        for index in np.flatnonzero(samples):
            self._hear(int(samples[index]), self._position + int(index))
        self._position += len(samples)
        if not self._words and self._position - self._accounted >= QUIET_SAMPLES:
            self._publish_final(self._position)

    async def flush(self) -> None:
        await self._meet("flush", self._position)
        if self._engine.forgets("answer", self._position / SAMPLE_RATE):
            return
        if self._words:
            self._results.put_nowait(SpeechEnded(self._position / SAMPLE_RATE))
        self._publish_final(self._position, flushed=True)

    async def finish(self) -> None:
        await self._meet("finish", self._position)
        self._publish_final(self._position)
        self._results.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Recognition]:
        while (result := await self._results.get()) is not None:
            if isinstance(result, EngineError):
                raise result
            try:
                await self._engine.meet("read", self._position / SAMPLE_RATE)
            except EngineError as exc:
                self._error = exc
                raise
            yield result

    async def _meet(self, where: str, until: int) -> None:
        """What goes wrong here. After an :class:`EngineError` every call raises it, and so does who reads, once."""
        if self._error is not None:
            raise self._error
        try:
            await self._engine.meet(where, until / SAMPLE_RATE)
        except EngineError as exc:
            self._error = exc
            self._results.put_nowait(exc)
            raise

    def _hear(self, mark: int, at: int) -> None:
        seconds = at / SAMPLE_RATE
        if mark < 0:
            self._results.put_nowait(SpeechEnded(seconds))
            self._publish_final(at + 1)
            return
        if not self._words:
            self._results.put_nowait(SpeechStarted(seconds))
        self._words.append(Word(self._engine.say(mark), seconds, seconds + 0.05, CONFIDENCE))
        self._results.put_nowait(Interim(self._text, *self._times, CONFIDENCE, tuple(self._words), "ko"))

    def _publish_final(self, through: int, *, flushed: bool = False) -> None:
        """Account for the audio before sample ``through``; without words the final is an empty one."""
        seconds = through / SAMPLE_RATE
        start, end = self._times if self._words else (seconds, seconds)
        confidence = CONFIDENCE if self._words else None
        words = tuple(self._words)
        uncovered = self._engine.uncovered if words else 0.0
        self._results.put_nowait(Final(self._text, start, end, seconds, confidence, words, "ko", flushed, uncovered))
        self._words = []
        self._accounted = through

    @property
    def _text(self) -> str:
        return " ".join(each.word for each in self._words)

    @property
    def _times(self) -> tuple[float, float]:
        return self._words[0].start, self._words[-1].end
