"""The embedded engine: on the CPU, without network. VAD and endpointing in front, then one or two passes.

Korean has two passes: Vosk gives the interims while one speaks, Whisper the final of each utterance. Other languages
have Whisper for both: interims by LocalAgreement. The final of an utterance may come while the next is being spoken;
what is published keeps the order all the same.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from server.engines.base import Capabilities
from server.engines.local_recognizer import LocalRecognizer, Models
from server.engines.vad import VoiceActivityDetector
from server.engines.vosk import LANGUAGE, Vosk
from server.engines.whisper import Whisper
from server.engines.workers import Priority, Workers
from server.models import SessionConfig
from server.settings import Settings

DETECT = "multi"


class LocalCapabilities(Capabilities):
    """Vosk alone can't be told what to listen for."""

    def refusals(self, config: SessionConfig) -> dict[str, str]:
        refused = Capabilities.refusals(self, config)
        if config.keywords and config.two_pass is False and config.language.lower().startswith(LANGUAGE):
            refused["keywords"] = "only with two_pass"
        return refused


class LocalEngine:
    """The models and the threads."""

    def __init__(self, settings: Settings) -> None:
        self.capabilities = Capabilities(languages=frozenset({LANGUAGE}))
        self._settings = settings
        self._workers = Workers(settings.recognition_threads)
        self._models: Models | None = None

    async def prewarm(self) -> None:
        if self._models is None:
            self._models = await self._workers.run(Priority.AUDIO, self._load)
            languages = self._models.whisper.languages | {LANGUAGE, DETECT}
            self.capabilities = LocalCapabilities(
                languages=languages, keywords=True, punctuate=True, two_pass_languages=frozenset({LANGUAGE})
            )

    @asynccontextmanager
    async def open(self, config: SessionConfig, start: float) -> AsyncIterator[LocalRecognizer]:
        await self.prewarm()
        assert self._models is not None
        async with LocalRecognizer(self._models, self._workers, self._settings, config, start) as recognizer:
            yield recognizer

    def status(self) -> dict[str, Any]:
        return {"ready": self._models is not None, "jobs_waiting": self._workers.waiting()}

    async def aclose(self) -> None:
        self._workers.close()

    def _load(self) -> Models:
        # on a worker thread: the threads that the libraries start inherit its low priority
        vad = VoiceActivityDetector()
        whisper = Whisper(self._settings, parallel=self._workers.threads)
        return Models(vad, Vosk(self._settings, self._workers), whisper)
