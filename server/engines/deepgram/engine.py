"""Deepgram, the cloud engine: the account, what its models can do, and whether it can be used now."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from server.engines.base import Capabilities
from server.engines.deepgram.breaker import Attempt, CircuitBreaker
from server.engines.deepgram.messages import DeepgramError
from server.engines.deepgram.models import DeepgramCapabilities, live_query, live_url
from server.engines.deepgram.outgoing import SilenceGate
from server.engines.deepgram.recognizer import DeepgramRecognizer
from server.engines.deepgram.settings import DeepgramSettings
from server.engines.deepgram.socket import connect_live, hang_up
from server.engines.deepgram.utterances import Clock, UtteranceAssembler
from server.engines.speech.endpointing import Endpointer, endpointing_seconds
from server.engines.speech.vad import VoiceActivityDetector
from server.models import SessionConfig
from server.settings import Settings

log = logging.getLogger("stt.deepgram")


class DeepgramEngine:
    """What all recognizers share."""

    def __init__(self, shared: Settings, settings: DeepgramSettings) -> None:
        self.capabilities: Capabilities = DeepgramCapabilities(max_sessions=settings.deepgram_sessions)
        self._shared = shared
        self._settings = settings
        self._breaker = CircuitBreaker(settings.deepgram_breaker_failures, settings.deepgram_breaker_seconds)
        self._vad: VoiceActivityDetector | None = None
        self._streams = 0
        self._url_for(SessionConfig())  # a wrong base URL stops the server, not the first session

    async def prewarm(self) -> None:
        """Try the key. A Deepgram that can't be used does not stop the server: log and :meth:`status` tell of it."""
        if self._settings.deepgram_skip_silence and self._vad is None:
            self._vad = await asyncio.to_thread(VoiceActivityDetector)
        if self._settings.missing:
            log.warning(self._settings.missing)
        elif self._settings.deepgram_probe:
            try:
                with self._attempt() as attempt:
                    await hang_up(await connect_live(self._url_for(SessionConfig()), self._settings))
                    attempt.prove()
            except DeepgramError as exc:
                log.warning("Deepgram can't be used now: %s", exc)

    @asynccontextmanager
    async def open(self, config: SessionConfig, start: float) -> AsyncIterator[DeepgramRecognizer]:
        if self._settings.missing:
            raise DeepgramError(self._settings.missing, retryable=False)
        gate = self._gate(config, start)
        assembler = UtteranceAssembler(Clock(start), config.language, self._shared.max_utterance_seconds)
        recognizer = DeepgramRecognizer(self._url_for(config), config, assembler, self._settings, self._attempt, gate)
        session = asyncio.current_task()
        async with asyncio.TaskGroup() as tasks:
            name = f"{session.get_name() if session else 'a session'} with deepgram"
            running = tasks.create_task(recognizer.run(), name=name)
            yield recognizer
            running.cancel()

    def status(self) -> dict[str, Any]:
        circuit = self._breaker.circuit
        missing = self._settings.missing
        detail = missing or self._breaker.reason
        return {
            "ready": missing is None and circuit != "open",
            "circuit": circuit,
            "streams": self._streams,
        } | ({"detail": detail} if detail else {})

    async def aclose(self) -> None:
        """Nothing is kept between sessions."""

    def _url_for(self, config: SessionConfig) -> str:
        return live_url(self._settings.deepgram_base_url, live_query(config, self._shared.endpointing_ms))

    def _gate(self, config: SessionConfig, start: float) -> SilenceGate | None:
        if self._vad is None:
            return None
        endpointer = Endpointer(
            self._vad.stream().probabilities,
            start=start,
            endpointing=endpointing_seconds(config, self._shared.endpointing_ms),
            longest=self._shared.max_utterance_seconds,
        )
        return SilenceGate(endpointer, start)

    @contextmanager
    def _attempt(self) -> Iterator[Attempt]:
        """Have the circuit breaker learn from a connection. A failure of the session's own config does not count."""
        attempt = Attempt(self._breaker)
        self._streams += 1
        try:
            yield attempt
        except DeepgramError as exc:
            if exc.scope != "session" and attempt.fail(str(exc), for_good=exc.scope == "account"):
                log.warning("new sessions do without Deepgram for a while: %s", exc)
            raise
        finally:
            self._streams -= 1
            attempt.end()
