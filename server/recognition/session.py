"""One claimed session: from its checkpoint to its ``session_end``, through whatever its engines do.

Its work is a chain of steps; each gives the next one. ``step_after`` says which step follows one that failed, and does
nothing that could fail itself.
"""

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from server.audio.decoder import AudioDecoder
from server.audio.findings import Finding
from server.engines.base import Engine, Usage, able_engines, status_of
from server.errors import AudioError, EngineError, LeaseLost, LogUnavailable, SessionEnded, SessionNotFound
from server.events import error_event, session_end_event
from server.observe.metrics import Metrics
from server.recognition.run import RecognizerRun
from server.session_log.base import AudioSlice, Checkpoint, Lease, NewEvent, SessionLog
from server.settings import Settings

log = logging.getLogger("stt.service")

MAX_TOLD = 100
"""Gaps and doubts of one session that are told; who sends more of them knows."""
FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.1, 4.0
NOT_OURS = (LeaseLost, SessionNotFound, SessionEnded)
"""Errors which say that the session has another owner or is over: nothing is left to do here."""
FORESEEN = (*NOT_OURS, LogUnavailable, AudioError, EngineError)

Step = Callable[[], Awaitable["Step | None"]]


class SessionRecognition:
    """The steps of one session, and what its recognizers may ask of it. ``engine``: the one that recognises now."""

    def __init__(
        self, lease: Lease, session_log: SessionLog, engines: Mapping[str, Engine], settings: Settings, metrics: Metrics
    ) -> None:
        self.engine = lease.engine
        self._lease = lease
        self._log = session_log
        self._engines = engines
        self._settings = settings
        self._metrics = metrics
        self._failures = 0
        self._failing_since = 0.0  # time of the event loop
        self._log_failures = 0
        self._reached = 0.0
        self._costs: dict[str, Usage] = {}
        self._told: set[tuple[str, int]] = set()

    def count_costs(self) -> None:
        """Count the costs of the session, once, before its end is published: whoever sees the end finds them."""
        while self._costs:
            engine, usage = self._costs.popitem()
            self._metrics.engine_used(engine, usage.sent_seconds, usage.connected_seconds)

    # --- steps ------------------------------------------------------------------------------------------------------

    async def recognise(self) -> Step:
        """One try: a recognizer from the checkpoint to the end of the audio."""
        state = await self._log.state(self._lease.session_id)
        self.engine = state.checkpoint.engine
        engine = self._engines.get(self.engine)
        if engine is None:
            raise EngineError(f"There is no engine {self.engine!r} here any more.", retryable=False)
        self._log_failures = 0
        seconds = self._settings.engine_timeout_seconds
        longest = self._settings.max_session_seconds
        over = await RecognizerRun(self, engine, state.config, state.checkpoint, seconds, longest).run()
        state = await self._log.state(self._lease.session_id)
        return partial(self._end, "max_duration" if over else state.reason or "finished")

    async def _recover(self, error: EngineError) -> Step:
        """Decide what recognises from the checkpoint on."""
        self._metrics.engine_failed(self.engine)
        log.warning("session %s: %s: %s", self._lease.session_id[:12], self.engine, error)
        state = await self._log.state(self._lease.session_id)
        chain = able_engines(state.config, {name: engine.capabilities for name, engine in self._engines.items()})
        following = chain[chain.index(self.engine) + 1 :] if self.engine in chain else chain
        if self._may_try_again(error, alone=not following):
            await self._report("engine_restarted", str(error), engine=self.engine)
            await asyncio.sleep(_backoff_seconds(self._failures))
            return self.recognise
        if not following:
            return partial(self._end, "engine_failed", error_event("engine_failed", str(error), recoverable=False))
        self._failures = 0
        checkpoint = replace(state.checkpoint, engine=following[0])
        await self._report("engine_failover", str(error), engine=following[0], checkpoint=checkpoint)
        return self.recognise

    async def _end(self, reason: str, *events: NewEvent) -> None:
        self.count_costs()
        await self.publish(*events, session_end_event(reason), end_reason=reason)

    async def _wait_for_log(self, step: Step) -> Step:
        """The log keeps everything: what it has not taken is recognised again."""
        await asyncio.sleep(_backoff_seconds(self._log_failures))
        return step

    def step_after(self, step: Step, error: BaseException) -> Step | None:
        """What follows a step that raised ``error``; ``None``: nothing."""
        if isinstance(error, NOT_OURS):
            log.info("session %s is not ours any more", self._lease.session_id[:12])
            return None
        if isinstance(error, LogUnavailable):
            self._log_failures += 1
            return partial(self._wait_for_log, step)
        if not isinstance(error, FORESEEN):
            log.error("session %s: unforeseen", self._lease.session_id[:12], exc_info=error)
        if step == self.recognise:
            return self._after_failed_try(error)
        if isinstance(step, partial) and step.func == self._end:
            return None  # its lease runs out, then it is claimed again
        message = "Something went wrong here. The log of the server says more."
        return partial(self._end, "internal_error", error_event("internal_error", message, recoverable=False))

    def _after_failed_try(self, error: BaseException) -> Step:
        if isinstance(error, AudioError):
            return partial(self._end, error.code, error_event(error.code, str(error), recoverable=False))
        if not isinstance(error, EngineError):
            error = EngineError(f"The recognizer failed: {type(error).__name__}.", retryable=True)
        now = asyncio.get_running_loop().time()
        self._failing_since = self._failing_since if self._failures else now
        self._failures += 1
        return partial(self._recover, error)

    def _may_try_again(self, error: EngineError, *, alone: bool) -> bool:
        """Whether to open the same engine again. One that is out of order is waited for where it is the only one."""
        few = self._failures <= self._settings.engine_retries
        if alone:
            failing_seconds = asyncio.get_running_loop().time() - self._failing_since
            few = few or (error.outage and failing_seconds < self._settings.engine_outage_seconds)
        elif self.engine not in self._engines or not status_of(self._engines[self.engine])["ready"]:
            return False
        return error.retryable and few

    # --- what the recognizer says -----------------------------------------------------------------------------------

    async def publish_final(self, events: Sequence[NewEvent], checkpoint: Checkpoint, flushed: int | None) -> None:
        """Publish a final and move the checkpoint in one step: from there on the session has got further."""
        if checkpoint.seconds > self._reached:
            self._reached = checkpoint.seconds
            self._failures = 0
        await self.publish(*events, checkpoint=checkpoint, flushed=flushed)

    async def publish(
        self,
        *events: NewEvent,
        checkpoint: Checkpoint | None = None,
        flushed: int | None = None,
        end_reason: str | None = None,
    ) -> None:
        if events or checkpoint:
            await self._log.append_events(
                self._lease, events, checkpoint=checkpoint, flushed=flushed, end_reason=end_reason
            )
        for event in events:
            self._metrics.event_published(event.type)

    async def _report(self, code: str, message: str, *, engine: str, checkpoint: Checkpoint | None = None) -> None:
        await self.publish(error_event(code, message, recoverable=True, engine=engine), checkpoint=checkpoint)

    # --- what the recognizer hears ----------------------------------------------------------------------------------

    async def read_audio(self, decoder: AudioDecoder, flushed: int) -> AudioSlice:
        """The next audio of the session, up to the next mark behind ``flushed``."""
        return await self._log.read_audio(
            self._lease, decoder.position, decoder.seconds, decoder.slice_bytes, math.inf, flushed
        )

    async def tell(self, findings: Sequence[Finding]) -> None:
        """Publish what the decoder has found. What is decoded again after a failure is not told again."""
        for finding in findings:
            key = (finding.code, 0 if finding.code == "audio_suspicious" else round(finding.at))
            if key not in self._told and len(self._told) < MAX_TOLD:
                self._told.add(key)
                more = {} if finding.seconds is None else {"seconds": finding.seconds}
                await self.publish(error_event(finding.code, finding.message, recoverable=True, **more))

    async def end_audio(self, reason: str) -> None:
        """The session takes no more audio."""
        await self._log.finish_audio(self._lease.session_id, reason)

    def count_audio(self, seconds: float) -> None:
        self._metrics.audio_recognised(seconds)

    def count_uncovered(self, seconds: float) -> None:
        if seconds > 0:
            self._metrics.speech_uncovered(self.engine, seconds)

    def count_cost(self, usage: Usage) -> None:
        self._costs.setdefault(self.engine, Usage()).add(usage)


def _backoff_seconds(failures: int) -> float:
    doubled: float = FIRST_BACKOFF_SECONDS * 2 ** min(failures - 1, 16)
    return min(LONGEST_BACKOFF_SECONDS, doubled) * random.uniform(0.5, 1.5)


def cause_of(error: BaseException) -> BaseException:
    """The error that ended a task group: one that is foreseen if there is one, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [cause_of(each) for each in error.exceptions]
    return next((each for each in causes if isinstance(each, FORESEEN)), causes[0])
