"""A Deepgram engine that is in a hurry, and what one of its recognizers said of coded speech."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from server.engines.base import Usage
from server.engines.deepgram.engine import DeepgramEngine
from server.engines.deepgram.recognizer import DeepgramRecognizer
from server.errors import EngineError
from server.models import Final, Recognition, SessionConfig
from tests.support.deepgram_peer import KEY, DeepgramPeer
from tests.support.deepgram_speech import coded_speech
from tests.support.engine_settings import deepgram_engine

SENTENCES = ([1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11], [12])
SPEECH = coded_speech(*SENTENCES)
SECOND = 32_000
NOWHERE = "ws://127.0.0.1:9"


def engine_for(peer: DeepgramPeer | str, **settings: Any) -> DeepgramEngine:
    url = peer if isinstance(peer, str) else peer.url
    quick = {"deepgram_max_speed": 50, "deepgram_probe": False, "deepgram_finish_seconds": 2.0}
    return deepgram_engine(**quick | {"deepgram_api_key": KEY, "deepgram_base_url": url} | settings)


@dataclass
class Outcome:
    """What one recognizer said, and how it failed if it did."""

    recognitions: list[Recognition] = field(default_factory=list)
    error: EngineError | None = None
    usage: Usage = field(default_factory=Usage)

    @property
    def finals(self) -> list[Final]:
        return [each for each in self.recognitions if isinstance(each, Final)]

    @property
    def texts(self) -> list[str]:
        return [final.text for final in self.finals if final.text]

    @property
    def through(self) -> float:
        return self.finals[-1].through if self.finals else 0.0


async def recognise(
    engine: DeepgramEngine,
    pcm: bytes = SPEECH,
    start: float = 0.0,
    meanwhile: Callable[[], Any] | None = None,
    then: Callable[[DeepgramRecognizer], Awaitable[None]] | None = None,
    **config: Any,
) -> Outcome:
    """One recognizer from its first audio to its end; ``meanwhile`` and ``then`` come after the audio."""
    outcome = Outcome()

    async def feed() -> None:
        with suppress(EngineError):
            await recognizer.send_audio(pcm)
            if meanwhile:
                await meanwhile()
            if then:
                await then(recognizer)
            await recognizer.finish()

    async with engine.open(SessionConfig(**config), start) as recognizer, asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(feed())
        try:
            async for recognition in recognizer:
                outcome.recognitions.append(recognition)
        except EngineError as exc:
            outcome.error = exc
            feeding.cancel()
    outcome.usage = recognizer.usage
    return outcome
