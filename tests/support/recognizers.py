"""Every recognizer, what is said to each, and how each is made to fail: its tests run once for each of ``KINDS``."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from server.engines.base import BYTES_PER_SECOND, Recognizer
from server.errors import EngineError
from server.models import Final, Recognition, SessionConfig
from tests.support.deepgram_peer import DeepgramPeer
from tests.support.deepgram_recognition import engine_for
from tests.support.deepgram_speech import coded_speech
from tests.support.fake_engine import FakeEngine, Fault, speech
from tests.support.local_engine import GAP, load_local_engine, read_pcm
from tests.support.servers import KOREAN_WAV, SPEECH_DIR

STEP_BYTES = BYTES_PER_SECOND // 10


class Opens(Protocol):
    def open(self, config: SessionConfig, start: float) -> AbstractAsyncContextManager[Any]: ...


@dataclass(frozen=True)
class Kind:
    """One kind of recognizer. ``sentences`` are PCM; each ends in a pause that ends an utterance."""

    engine: Opens
    sentences: tuple[bytes, ...]
    fail: Callable[[Any], None]
    """Have the recognizer fail, at the latest with the next audio."""
    config: SessionConfig = SessionConfig()

    def open(self, start: float = 0.0) -> AbstractAsyncContextManager[Recognizer]:
        return self.engine.open(self.config, start)


@asynccontextmanager
async def fake() -> AsyncIterator[Kind]:
    engine = FakeEngine()

    def fail(recognizer: Any) -> None:
        engine.faults.append(Fault(EngineError("The cloud is away.", retryable=True)))

    yield Kind(engine, (speech([1, 2, 3]), speech([4, 5])), fail)


@asynccontextmanager
async def vosk() -> AsyncIterator[Kind]:
    yield Kind(load_local_engine(), _korean(), _fail_in_vad, SessionConfig(language="ko", two_pass=False))


@asynccontextmanager
async def two_pass() -> AsyncIterator[Kind]:
    yield Kind(load_local_engine(), _korean(), _fail_in_vad, SessionConfig(language="ko"))


@asynccontextmanager
async def whisper() -> AsyncIterator[Kind]:
    english = read_pcm(SPEECH_DIR / "en" / "leopard" / "test.wav") + GAP
    yield Kind(load_local_engine(), (english, english), _fail_in_vad, SessionConfig(language="en"))


@asynccontextmanager
async def deepgram() -> AsyncIterator[Kind]:
    async with DeepgramPeer() as peer:
        sentences = (coded_speech([1, 2, 3]), coded_speech([4, 5]))
        yield Kind(engine_for(peer), sentences, lambda _: peer.streams[-1].connection.transport.abort())


KINDS: dict[str, Callable[[], AbstractAsyncContextManager[Kind]]] = {
    "fake": fake,
    "vosk": vosk,
    "two_pass": two_pass,
    "whisper": whisper,
    "deepgram": deepgram,
}


def _korean() -> tuple[bytes, ...]:
    sentence = read_pcm(KOREAN_WAV) + GAP
    return sentence, sentence


def _fail_in_vad(recognizer: Any) -> None:
    def broken(pcm: bytes) -> Sequence[float]:
        raise RuntimeError("onnxruntime is out of memory")

    recognizer._endpointer._probabilities = broken


@dataclass
class Heard:
    """What a recognizer said, and how it failed if it did."""

    recognitions: list[Recognition] = field(default_factory=list)
    errors: list[EngineError] = field(default_factory=list)
    ended: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, recognizer: Recognizer) -> None:
        try:
            async for recognition in recognizer:
                self.recognitions.append(recognition)
                self.changed.set()
            self.ended = True
        except EngineError as exc:
            self.errors.append(exc)

    async def until(self, reached: Callable[[], object]) -> None:
        while not reached():
            self.changed.clear()
            await self.changed.wait()

    @property
    def finals(self) -> list[Final]:
        return [each for each in self.recognitions if isinstance(each, Final)]

    @property
    def texts(self) -> list[str]:
        return [each.text for each in self.finals if each.text]

    @property
    def answers(self) -> list[Final]:
        return [each for each in self.finals if each.flushed]


async def send(recognizer: Recognizer, pcm: bytes, step: int = STEP_BYTES) -> None:
    for at in range(0, len(pcm), step):
        await recognizer.send_audio(pcm[at : at + step])


async def hear(kind: Kind, *parts: bytes, start: float = 0.0, flush: bool = False, step: int = STEP_BYTES) -> Heard:
    """One recognizer from its first audio to its end; with ``flush`` it is flushed after each of the parts."""
    heard = Heard()
    async with kind.open(start) as recognizer, asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(heard.listen(recognizer))
        for part in parts:
            await send(recognizer, part, step)
            if flush:
                await recognizer.flush()
        await recognizer.finish()
        await reading
    return heard
