"""One recognizer at work on a session, from a checkpoint to the end of the audio or to its failure."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from server.audio.decoder import AudioDecoder
from server.audio.findings import Finding
from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE, Engine, Metered, Recognizer, Usage
from server.errors import AudioError, EngineError
from server.events import recognition_events
from server.models import Final, SessionConfig
from server.recognition.pace import Pace
from server.session_log.base import AudioSlice, Checkpoint, NewEvent

SLICE_BYTES = 2 * BYTES_PER_SECOND
"""Most PCM that a recognizer is given at once: a few bytes of compressed audio may hold minutes."""
UNTAKEN = "The recognizer takes no audio."
UNANSWERED = "The recognizer does not answer a flush."


class Session(Protocol):
    """The session that a recognizer works on: its audio, its log, what it costs."""

    engine: str

    async def read_audio(self, decoder: AudioDecoder, flushed: int) -> AudioSlice: ...
    async def publish(self, *events: NewEvent) -> None: ...
    async def publish_final(self, events: Sequence[NewEvent], checkpoint: Checkpoint, flushed: int | None) -> None: ...
    async def tell(self, findings: Sequence[Finding]) -> None: ...
    async def end_audio(self, reason: str) -> None: ...
    def count_audio(self, seconds: float) -> None: ...
    def count_uncovered(self, seconds: float) -> None: ...
    def count_cost(self, usage: Usage) -> None: ...


class RecognizerRun:
    """Fed from the log by one task, its recognitions published by another, watched by a third."""

    def __init__(
        self,
        session: Session,
        engine: Engine,
        config: SessionConfig,
        checkpoint: Checkpoint,
        engine_seconds: float,
        max_seconds: float,
    ) -> None:
        self._session = session
        self._engine = engine
        self._config = config
        self._checkpoint = checkpoint
        self._engine_seconds = engine_seconds
        self._max_seconds = max_seconds
        self._pace = Pace()
        self._sent = checkpoint.seconds
        self._decoder = AudioDecoder(config, checkpoint)
        self._asked: deque[int] = deque()  # offsets of the marks that the recognizer has yet to answer
        self._waits: dict[str, float] = {}  # what the recognizer is late with if it takes too long, and since when

    async def run(self) -> bool:
        """Whether the session has lasted as long as one may.

        Raises :class:`AudioError` once everything before the damage is published, and whatever the engine raises.
        """
        recognizer: Recognizer | None = None
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with self._deadline("The recognizer does not open."):
                    recognizer = await stack.enter_async_context(
                        self._engine.open(self._config, self._checkpoint.seconds)
                    )
                tasks = await stack.enter_async_context(asyncio.TaskGroup())
                publishing = tasks.create_task(self._publish(recognizer))
                watching = tasks.create_task(self._watch())
                damage = await self._feed(recognizer)
                async with self._deadline("The recognizer did not come to an end."):
                    await recognizer.finish()
                    await publishing
                watching.cancel()
                if damage:
                    raise damage
        finally:
            self._decoder.close()
            if isinstance(recognizer, Metered):
                self._session.count_cost(recognizer.usage)
        return self._sent >= self._max_seconds

    async def _feed(self, recognizer: Recognizer) -> AudioError | None:
        """Send the audio as it comes, until it ends or is damaged; what was said before the damage counts."""
        flushed = -1
        while True:
            audio = await self._session.read_audio(self._decoder, flushed)
            try:
                over = await self._send_slice(recognizer, audio)
            except AudioError as exc:
                return exc
            if over:
                await self._session.end_audio("max_duration")
                return None
            if audio.mark is not None:
                flushed = audio.mark
                await self._flush(recognizer, flushed)
            if audio.finished:
                return None

    async def _send_slice(self, recognizer: Recognizer, audio: AudioSlice) -> bool:
        """Decode and send a slice; whether the session has lasted as long as one may."""
        if await self._send_steps(recognizer, self._decoder.decode, audio.data):
            return True
        return audio.finished and await self._send_steps(recognizer, lambda _: self._decoder.flush(), b"")

    async def _send_steps(self, recognizer: Recognizer, decode: Callable[[bytes], bytes], data: bytes) -> bool:
        """A few bytes may stand for hours: they are decoded and sent step by step."""
        while True:
            pcm = decode(data) if self._decoder.is_raw else await asyncio.to_thread(decode, data)
            if findings := self._decoder.findings():
                await self._session.tell(findings)
            await self._send(recognizer, pcm[: self._bytes_left()])
            if self._sent >= self._max_seconds:
                return True
            if not self._decoder.pending:
                return False
            data = b""

    def _bytes_left(self) -> int:
        return max(0, round((self._max_seconds - self._sent) * SAMPLE_RATE)) * 2

    async def _send(self, recognizer: Recognizer, pcm: bytes) -> None:
        for start in range(0, len(pcm), SLICE_BYTES):
            piece = pcm[start : start + SLICE_BYTES]
            seconds = len(piece) / BYTES_PER_SECOND
            if (wait := self._pace.wait_seconds(seconds, _now())) > 0:
                await asyncio.sleep(wait)
            self._waits[UNTAKEN] = _now()
            await recognizer.send_audio(piece)
            del self._waits[UNTAKEN]
            self._sent += seconds
            self._session.count_audio(seconds)

    async def _flush(self, recognizer: Recognizer, mark: int) -> None:
        self._asked.append(mark)
        self._waits.setdefault(UNANSWERED, _now())
        await recognizer.flush()

    async def _publish(self, recognizer: Recognizer) -> None:
        """Write what the recognizer says to the log."""
        async for recognition in recognizer:
            if isinstance(recognition, Final):
                flushed = self._answered() if recognition.flushed else None
                events = recognition_events(recognition, self._config, self._session.engine, flushed)
                checkpoint = self._decoder.checkpoint_at(recognition.through)
                await self._session.publish_final(events, checkpoint, flushed)
                self._session.count_uncovered(recognition.uncovered)
            else:
                await self._session.publish(*recognition_events(recognition, self._config, self._session.engine))

    def _answered(self) -> int:
        mark = self._asked.popleft()
        del self._waits[UNANSWERED]
        if self._asked:
            self._waits[UNANSWERED] = _now()
        return mark

    async def _watch(self) -> None:
        """A recognizer that hangs is one that failed. A look now and then costs less than a deadline for each call."""
        while True:
            await asyncio.sleep(self._engine_seconds / 4)
            for complaint, since in self._waits.items():
                if _now() - since >= self._engine_seconds:
                    raise EngineError(complaint, retryable=True)

    @contextlib.asynccontextmanager
    async def _deadline(self, complaint: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._engine_seconds):
                yield
        except TimeoutError as exc:
            raise EngineError(complaint, retryable=True) from exc


def _now() -> float:
    return asyncio.get_running_loop().time()
