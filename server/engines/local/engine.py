"""The embedded engine, which runs on the CPU and needs no network. Behind VAD and endpointing, one or two passes.

Korean has two passes: Vosk gives the interims while one speaks, Whisper the final of each utterance. Other languages
have Whisper for both: interims by LocalAgreement. The final of an utterance may come while the next is being spoken;
what is published keeps the order all the same.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from server.engines.base import BYTES_PER_SECOND, Capabilities
from server.engines.local.coverage import Spoken
from server.engines.local.recognizer import LocalRecognizer, Models
from server.engines.local.second_pass import SecondPass, Speech
from server.engines.local.settings import LocalSettings
from server.engines.local.vosk import LANGUAGE, Vosk, VoskUtterance, warm_up_speech
from server.engines.local.whisper import Whisper
from server.engines.local.workers import Priority, Workers
from server.engines.speech.endpointing import Ended, Started
from server.engines.speech.vad import VoiceActivityDetector
from server.models import SessionConfig
from server.settings import Settings

DETECT = "multi"
USABLE = 0.47
"""Share of the processors that recognition may use if all speech cost what the trial costs. Real talk costs three
quarters more (new words, guesses, passes begun at a pause that was none); a fifth is left for HTTP and bad moments."""
TRIALS = 5
"""Number of trials. The cheapest counts: something else may run on the machine during the others."""


class LocalEngine:
    """Owns the models and the threads; every session has a recognizer of its own."""

    def __init__(self, shared: Settings, settings: LocalSettings) -> None:
        self.capabilities = Capabilities(languages=frozenset({LANGUAGE}))
        self._shared = shared
        self._settings = settings
        self._workers = Workers(settings.recognition_threads)
        self._models: Models | None = None

    async def prewarm(self) -> None:
        if self._models is None:
            self._models = await self._workers.run(Priority.UPKEEP, self._load)
            languages = self._models.whisper.languages | {LANGUAGE, DETECT}
            cost = await self._workers.run(Priority.UPKEEP, self._cost)
            carried = max(1, int(self._workers.threads * USABLE / cost))
            self.capabilities = Capabilities(
                languages=languages,
                keywords=True,
                punctuate=True,
                two_pass_languages=frozenset({LANGUAGE}),
                max_sessions=self._settings.local_sessions or carried,
            )
            self._models.vosk.pool.keep(self._settings.vosk_pool or carried)

    @asynccontextmanager
    async def open(self, config: SessionConfig, start: float) -> AsyncIterator[LocalRecognizer]:
        await self.prewarm()
        assert self._models is not None
        async with LocalRecognizer(self._models, self._workers, self._shared, config, start) as recognizer:
            yield recognizer

    def status(self) -> dict[str, Any]:
        return {
            "ready": self._models is not None and self._workers.able(),
            "max_sessions": self.capabilities.max_sessions,
            "jobs_waiting": self._workers.waiting(),
            "hung_threads": self._workers.hung(),
        }

    async def aclose(self) -> None:
        await asyncio.to_thread(self._workers.close)

    def _load(self) -> Models:
        # on a worker thread: the threads that the libraries start inherit its low priority
        vad = VoiceActivityDetector()
        whisper = Whisper(self._settings, parallel=self._workers.threads)
        return Models(vad, Vosk(self._settings, self._workers), whisper)

    def _cost(self) -> float:
        """CPU seconds that both passes take here for a second of uninterrupted speech."""
        assert self._models is not None
        pcm = warm_up_speech()
        seconds = len(pcm) / BYTES_PER_SECOND
        second = SecondPass(
            self._models.whisper, LANGUAGE, (), self._models.vosk.spacing.likelihood, self._models.weights
        )
        costs = []
        for _ in range(TRIALS):
            # Whisper computes on threads of its own, so the clock of the process it is
            began = time.process_time()
            first = VoskUtterance(self._models.vosk, Started(0.0, 0.0), smart_format=True)
            for start in range(0, len(pcm), BYTES_PER_SECOND // 10):
                first.accept(pcm[start : start + BYTES_PER_SECOND // 10])
            words = first.finish(Ended(seconds, seconds)).words
            second.read(second.hear(pcm, 0.0), Speech(pcm, 0.0, Spoken()), words)
            costs.append((time.process_time() - began) / seconds)
        return min(costs)
