"""STTService, the recognition half: claims sessions, feeds their audio to an engine, writes events to the log.

There is one way to recover from anything: open a recognizer again at the checkpoint (the end of the newest final) and
feed it the audio from there. What differs is who does it: the same engine, the next one of the chain, or, when the
process is gone and its lease has run out, another process.
"""

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from server.audio.decoder import AudioDecoder
from server.engines.base import BYTES_PER_SECOND, Engine, Metered, Recognizer, Usage
from server.errors import AudioError, EngineError, LeaseLost, SessionEnded, SessionNotFound
from server.events import recognition_events, session_end_event, wire_event
from server.models import EventType, Final, SessionConfig
from server.observe.metrics import Metrics
from server.session_log.base import AudioSlice, Checkpoint, Lease, NewEvent, SessionLog
from server.settings import Settings

log = logging.getLogger("stt.service")

SLICE_BYTES = 2 * BYTES_PER_SECOND
CLAIM_WAIT_SECONDS = 3600.0
AUDIO_WAIT_SECONDS = 60.0
FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.1, 4.0
OURS = (LeaseLost, SessionNotFound, SessionEnded, AudioError, EngineError)


def chain_for(config: SessionConfig, engines: Mapping[str, Engine]) -> list[str]:
    """The engines that may serve a session, best first. An engine named by the client is the only one."""
    names = engines if config.engine == "auto" else [config.engine]
    return [name for name in names if name in engines and not engines[name].capabilities.refusals(config)]


class STTService:
    """Recognises every session that nobody else does. ``run`` owns all tasks of this half."""

    def __init__(self, session_log: SessionLog, engines: Mapping[str, Engine], settings: Settings, metrics: Metrics):
        self._log = session_log
        self._engines = engines
        self._settings = settings
        self._metrics = metrics
        self._owner = secrets.token_hex(8)
        self._owned: dict[str, Lease] = {}
        self._none_owned = asyncio.Event()
        self._none_owned.set()

    async def run(self) -> None:
        """Claim sessions until cancelled."""
        async with asyncio.TaskGroup() as sessions:
            while True:
                lease = await self._log.claim(self._owner, CLAIM_WAIT_SECONDS)
                if lease is not None:
                    self._owned[lease.session_id] = lease
                    self._none_owned.clear()
                    sessions.create_task(self._own(lease), name=f"recognise {lease.session_id[:12]}")

    async def drain(self) -> None:
        """Finish all sessions because the server stops: last finals if they come soon, ``session_end`` in any case."""
        for session_id in await self._log.open_sessions():
            with contextlib.suppress(SessionNotFound):
                await self._log.finish_audio(session_id, "server_shutdown")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_seconds):
                await self._none_owned.wait()
        for lease in list(self._owned.values()):
            with contextlib.suppress(SessionEnded, SessionNotFound, LeaseLost):
                await self._log.append_events(lease, [session_end_event(lease.session_id, "server_shutdown")])

    async def _own(self, lease: Lease) -> None:
        """Recognise one session to its end, keeping its lease; returns quietly when it is not ours any more."""
        recognition = _SessionRecognition(lease, self._log, self._engines, self._settings, self._metrics)
        try:
            async with asyncio.TaskGroup() as tasks:
                renewal = tasks.create_task(self._renew(lease))
                await recognition.run()
                renewal.cancel()
        except* (LeaseLost, SessionNotFound, SessionEnded):
            log.info("session %s is not ours any more", lease.session_id[:12])
        finally:
            recognition.count_costs()
            if self._owned.get(lease.session_id) is lease:  # else it was lost, and claimed again by us
                del self._owned[lease.session_id]
            if not self._owned:
                self._none_owned.set()

    async def _renew(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_seconds / 3)
            await self._log.renew(lease)


class _SessionRecognition:
    """One claimed session, from its checkpoint to its ``session_end``."""

    def __init__(
        self, lease: Lease, session_log: SessionLog, engines: Mapping[str, Engine], settings: Settings, metrics: Metrics
    ) -> None:
        self._lease = lease
        self._log = session_log
        self._engines = engines
        self._settings = settings
        self._metrics = metrics
        self._failures = 0
        self._failing_since = 0.0  # time of the event loop
        self._reached = 0.0
        self._costs: dict[str, Usage] = {}

    def count_costs(self) -> None:
        """Before the session's end is published: whoever has seen the end finds its costs. Once."""
        while self._costs:
            engine, usage = self._costs.popitem()
            self._metrics.engine_used(engine, usage.sent_seconds, usage.connected_seconds)

    async def run(self) -> None:
        state = await self._log.state(self._lease.session_id)
        config = SessionConfig.model_validate(state.config)
        while True:
            checkpoint = (await self._log.state(self._lease.session_id)).checkpoint
            try:
                await self._recognise(config, checkpoint)
            except AudioError as exc:
                await self._end(exc.code, str(exc))
                return
            except EngineError as exc:
                if not await self._recover(config, checkpoint, exc):
                    return
            else:
                state = await self._log.state(self._lease.session_id)
                self.count_costs()
                await self._publish_events(session_end_event(state.session_id, state.reason or "finished"))
                return

    async def _recognise(self, config: SessionConfig, checkpoint: Checkpoint) -> None:
        """One try: a recognizer from the checkpoint to the end of the audio.

        Raises:
            EngineError: also for anything unforeseen: this is the session barrier.
            AudioError, LeaseLost, SessionNotFound, SessionEnded: as they come.

        """
        try:
            await self._recognise_with(self._engines[checkpoint.engine], config, checkpoint)
        except Exception as exc:
            cause = _cause(exc)
            if isinstance(cause, OURS):
                raise cause from exc
            log.error("session %s: the recognizer failed", self._lease.session_id[:12], exc_info=cause)
            raise EngineError(f"The recognizer failed: {type(cause).__name__}.", retryable=True) from exc

    async def _recognise_with(self, engine: Engine, config: SessionConfig, checkpoint: Checkpoint) -> None:
        decoder = AudioDecoder(config, checkpoint)
        recognizer: Recognizer | None = None
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with _patience(self._settings, "The recognizer does not open."):
                    recognizer = await stack.enter_async_context(engine.open(config, checkpoint.seconds))
                tasks = await stack.enter_async_context(asyncio.TaskGroup())
                publishing = tasks.create_task(self._publish(config, decoder, recognizer, checkpoint.engine))
                damage = await self._feed(decoder, recognizer)
                async with _patience(self._settings, "The recognizer did not come to an end."):
                    await recognizer.finish()
                    await publishing
                if damage:
                    raise damage
        finally:
            if isinstance(recognizer, Metered):
                self._costs.setdefault(checkpoint.engine, Usage()).add(recognizer.usage)

    async def _feed(self, decoder: AudioDecoder, recognizer: Recognizer) -> AudioError | None:
        """Send the audio as it comes, until there is no more, or what comes is none: what was said before it counts."""
        while True:
            audio = await self._log.read_audio(
                self._lease, decoder.position, decoder.seconds, decoder.slice_bytes, AUDIO_WAIT_SECONDS
            )
            try:
                pcm = await _decoded(decoder, audio)
            except AudioError as exc:
                return exc
            await self._send(recognizer, pcm)
            if audio.finished:
                return None

    async def _send(self, recognizer: Recognizer, pcm: bytes) -> None:
        for start in range(0, len(pcm), SLICE_BYTES):  # little compressed audio may be very long
            piece = pcm[start : start + SLICE_BYTES]
            async with _patience(self._settings, "The recognizer takes no audio."):
                await recognizer.send_audio(piece)
            self._metrics.audio_recognised(len(piece) / BYTES_PER_SECOND)

    async def _publish(self, config: SessionConfig, decoder: AudioDecoder, recognizer: Recognizer, engine: str) -> None:
        """Write what the recognizer says to the log; a final moves the checkpoint in the same step."""
        async for recognition in recognizer:
            checkpoint = None
            if isinstance(recognition, Final):
                checkpoint = decoder.checkpoint_at(recognition.through)
                self._count_progress(checkpoint)
            events = recognition_events(self._lease.session_id, recognition, config, engine)
            await self._publish_events(*events, checkpoint=checkpoint)

    def _count_progress(self, checkpoint: Checkpoint) -> None:
        if checkpoint.seconds > self._reached:
            self._reached = checkpoint.seconds
            self._failures = 0

    async def _publish_events(self, *events: NewEvent, checkpoint: Checkpoint | None = None) -> None:
        if events or checkpoint:
            await self._log.append_events(self._lease, events, checkpoint)
        for event in events:
            self._metrics.event_published(event.type)

    async def _recover(self, config: SessionConfig, checkpoint: Checkpoint, error: EngineError) -> bool:
        """Decide what recognises from the checkpoint on; false when nothing is left and the session has ended."""
        now = asyncio.get_running_loop().time()
        self._failing_since = self._failing_since if self._failures else now
        self._failures += 1
        self._metrics.engine_failed(checkpoint.engine)
        log.warning("session %s: %s: %s", self._lease.session_id[:12], checkpoint.engine, error)
        chain = chain_for(config, self._engines)
        following = chain[chain.index(checkpoint.engine) + 1 :] if checkpoint.engine in chain else chain
        if self._may_try_again(checkpoint.engine, error, now - self._failing_since, alone=not following):
            await self._report("engine_restarted", str(error), engine=checkpoint.engine)
            await asyncio.sleep(_backoff_seconds(self._failures))
            return True
        if not following:
            await self._end("engine_failed", str(error))
            return False
        self._failures = 0
        newest = (await self._log.state(self._lease.session_id)).checkpoint
        await self._report(
            "engine_failover", str(error), engine=following[0], checkpoint=replace(newest, engine=following[0])
        )
        return True

    def _may_try_again(self, engine: str, error: EngineError, failing_seconds: float, *, alone: bool) -> bool:
        """Where there is another engine nobody waits for one that is out of order; where there is none, for a while."""
        few = self._failures <= self._settings.engine_retries
        if alone:
            few = few or (error.outage and failing_seconds < self._settings.engine_outage_seconds)
        elif not self._engines[engine].status()["ready"]:
            return False
        return error.retryable and few

    async def _report(self, code: str, message: str, *, engine: str, checkpoint: Checkpoint | None = None) -> None:
        data = {"code": code, "message": message, "recoverable": True, "engine": engine}
        await self._publish_events(wire_event(self._lease.session_id, EventType.ERROR, data), checkpoint=checkpoint)

    async def _end(self, code: str, message: str) -> None:
        self.count_costs()
        data = {"code": code, "message": message, "recoverable": False}
        session_id = self._lease.session_id
        await self._publish_events(wire_event(session_id, EventType.ERROR, data), session_end_event(session_id, code))


def _backoff_seconds(failures: int) -> float:
    doubled: float = FIRST_BACKOFF_SECONDS * 2 ** min(failures - 1, 16)
    return min(LONGEST_BACKOFF_SECONDS, doubled) * random.uniform(0.5, 1.5)


async def _decoded(decoder: AudioDecoder, audio: AudioSlice) -> bytes:
    """PCM of a slice, and of what is held back once it is the last one."""

    def decode() -> bytes:
        return decoder.decode(audio.pcm) + (decoder.flush() if audio.finished else b"")

    return decode() if decoder.is_raw else await asyncio.to_thread(decode)


@contextlib.asynccontextmanager
async def _patience(settings: Settings, complaint: str) -> AsyncIterator[None]:
    """Bound what an engine does in time; a recognizer that hangs is one that failed."""
    try:
        async with asyncio.timeout(settings.engine_timeout_seconds):
            yield
    except TimeoutError as exc:
        raise EngineError(complaint, retryable=True) from exc


def _cause(error: BaseException) -> BaseException:
    """The error that ended a task group: one of ours if there is one, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [_cause(each) for each in error.exceptions]
    return next((each for each in causes if isinstance(each, OURS)), causes[0])
