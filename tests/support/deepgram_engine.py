"""Engines to stand beside Deepgram: one that hears coded speech without network, and the embedded one, loaded once."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import cache
from typing import Any

from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE, Capabilities, Engine, Recognizer
from server.engines.registry import load_engines
from server.models import Final, Interim, Recognition, SessionConfig, SpeechStarted
from tests.support.deepgram_speech import Began, CodedTranscriber, Heard
from tests.support.servers import settings_of


class CodedEngine:
    """Hears what the peer hears, at home."""

    capabilities = Capabilities(languages=frozenset({"ko"}))

    async def prewarm(self) -> None: ...

    @asynccontextmanager
    async def open(self, config: SessionConfig, start: float) -> AsyncIterator["CodedRecognizer"]:
        async with asyncio.TaskGroup() as tasks:
            yield CodedRecognizer(start, tasks)

    def status(self) -> dict[str, Any]:
        return {"ready": True}

    async def aclose(self) -> None: ...


class CodedRecognizer:
    def __init__(self, start: float, tasks: asyncio.TaskGroup) -> None:
        self._start = start
        self._transcriber = CodedTranscriber(self._emit, 0.8, tasks)
        self._results: asyncio.Queue[Recognition | None] = asyncio.Queue()
        self._flushed: list[Final] | None = None
        self._bytes = 0

    async def send_audio(self, pcm: bytes) -> None:
        self._bytes += len(pcm)
        await self._transcriber.hear(pcm)

    async def flush(self) -> None:
        self._flushed = []
        await self._transcriber.flush()
        through = self._start + self._bytes / BYTES_PER_SECOND
        finals, self._flushed = self._flushed, None
        last = finals.pop() if finals else Final("", through, through, through)
        for final in finals:
            self._results.put_nowait(final)
        self._results.put_nowait(replace(last, through=through, flushed=True))

    async def finish(self) -> None:
        await self._transcriber.flush()
        self._results.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Recognition]:
        while (recognition := await self._results.get()) is not None:
            yield recognition

    async def _emit(self, heard: Heard) -> None:
        if isinstance(heard, Began):
            self._results.put_nowait(SpeechStarted(self._start + heard.at))
            return
        until = self._start + heard.until
        start, end = (heard.words[0].start, heard.words[-1].end) if heard.words else (heard.until, heard.until)
        times = (self._start + start, self._start + end)
        if not heard.settled:
            self._results.put_nowait(Interim(heard.text, *times))
        elif self._flushed is not None:
            self._flushed.append(Final(heard.text, *times, until))
        else:
            self._results.put_nowait(Final(heard.text, *times, until))


class Shared:
    """An engine that outlives the server that uses it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.capabilities = engine.capabilities

    async def prewarm(self) -> None:
        await self._engine.prewarm()
        self.capabilities = self._engine.capabilities

    def open(self, config: SessionConfig, start: float) -> AbstractAsyncContextManager[Recognizer]:
        return self._engine.open(config, start)

    def status(self) -> dict[str, Any]:
        return self._engine.status()

    async def aclose(self) -> None: ...


@cache
def warm_engine() -> Engine:
    """Loaded by the first test that needs it, which takes seconds, and kept for the others."""
    shared = Shared(load_engines(settings_of(engines="local"))["local"])
    with ThreadPoolExecutor(1) as thread:  # away from the event loop that may be running here
        thread.submit(asyncio.run, shared.prewarm()).result()
    return shared


class Time:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def seconds_of(pcm: bytes) -> float:
    return len(pcm) / 2 / SAMPLE_RATE
