"""The embedded engine, loaded once for all tests: loading takes ten seconds and more than a gigabyte."""

import asyncio
import wave
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE, Capabilities
from server.engines.local.alignment import Alignment
from server.engines.local.recognizer import LocalRecognizer, Models
from server.engines.local.transcription import Heard, Transcription
from server.engines.local.whisper import Whisper
from server.engines.local.workers import Workers
from server.models import Final, Recognition, SessionConfig
from server.settings import Settings
from tests.support.engine_settings import local_engine

STUCK_SECONDS = 30.0
"""Seconds after which what should have happened never will."""
STEP_BYTES = BYTES_PER_SECOND // 10
THREADS = 2
QUILTER = "Mr. Quilter is the apostle of the middle classes and we are glad to welcome his gospel"
GAP = bytes(BYTES_PER_SECOND * 3 // 2)
"""Silence that ends an utterance in any language."""


@dataclass
class SharedEngine:
    """See :class:`server.engines.base.Engine`. Closing it closes nothing: other tests go on with it."""

    models: Models
    workers: Workers
    settings: Settings
    capabilities: Capabilities
    measured: dict[str, Any]
    """What the engine said of itself once it was loaded."""

    async def prewarm(self) -> None:
        return

    def open(self, config: SessionConfig, start: float) -> LocalRecognizer:
        return LocalRecognizer(self.models, self.workers, self.settings, config, start)

    def status(self) -> dict[str, Any]:
        return {"ready": True}

    async def aclose(self) -> None:
        return

    def with_whisper(self, whisper: "StandIn") -> "SharedEngine":
        return replace(self, models=replace(self.models, whisper=cast(Whisper, whisper)))

    def with_longest(self, seconds: float) -> "SharedEngine":
        """Cuts utterances at this length."""
        return replace(self, settings=self.settings.model_copy(update={"max_utterance_seconds": seconds}))


@cache
def load_local_engine() -> SharedEngine:
    engine = local_engine(vosk_pool=1, recognition_threads=THREADS)
    with ThreadPoolExecutor(1) as thread:  # a loop of its own: the tests have theirs
        thread.submit(lambda: asyncio.run(engine.prewarm())).result()
    assert engine._models is not None
    return SharedEngine(engine._models, engine._workers, engine._shared, engine.capabilities, engine.status())


class StandIn:
    """Whisper, with something done before each utterance."""

    def __init__(self, whisper: Whisper) -> None:
        self._whisper = whisper

    def before(self) -> None:
        """On the recognition thread."""

    def hear(self, pcm: bytes, language: str | None, **options: Any) -> Heard:
        self.before()
        return self._whisper.hear(pcm, language, **options)

    def transcribe(self, pcm: bytes, language: str | None, **options: Any) -> Transcription:
        self.before()
        return self._whisper.transcribe(pcm, language, **options)

    def align(self, heard: Heard, tokens: tuple[int, ...], start: float) -> Alignment:
        return self._whisper.align(heard, tokens, start)

    def tokens(self, text: str, language: str) -> tuple[int, ...]:
        return self._whisper.tokens(text, language)


async def recognise(
    engine: SharedEngine,
    pcm: bytes,
    language: str = "ko",
    *,
    start: float = 0.0,
    every_interim: bool = False,
    **config: Any,
) -> list[Recognition]:
    """All recognitions. ``every_interim``: no audio is sent while one is being made, so that none is left out."""
    asked = SessionConfig(language=language, **config)
    async with engine.open(asked, start) as recognizer, asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(collected(recognizer))
        for at in range(0, len(pcm), STEP_BYTES):
            await recognizer.send_audio(pcm[at : at + STEP_BYTES])
            if every_interim and recognizer._interim is not None:
                await recognizer._interim
        await recognizer.finish()
        return await reading


async def collected(recognizer: LocalRecognizer) -> list[Recognition]:
    return [recognition async for recognition in recognizer]


def finals(recognitions: list[Recognition]) -> list[Final]:
    """Those with text."""
    return [each for each in recognitions if isinstance(each, Final) and each.text]


def silence(seconds: float) -> bytes:
    return bytes(round(seconds * SAMPLE_RATE) * 2)


def at_level(pcm: bytes, decibels: float) -> bytes:
    samples = np.frombuffer(pcm, "<i2") * 10 ** (decibels / 20)
    return bytes(samples.astype("<i2").tobytes())


def read_pcm(path: Path) -> bytes:
    with wave.open(str(path)) as recording:
        assert (recording.getframerate(), recording.getnchannels()) == (SAMPLE_RATE, 1)
        return bytes(recording.readframes(recording.getnframes()))
