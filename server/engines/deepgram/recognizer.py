"""One audio stream at Deepgram, over a plain WebSocket.

A recognizer never connects twice. When anything goes wrong it publishes what is settled and fails with a
:class:`~server.engines.deepgram.messages.DeepgramError`; the session opens another one at its checkpoint.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from server.engines.base import BYTES_PER_SECOND, Usage
from server.engines.deepgram.breaker import Attempt
from server.engines.deepgram.flushing import FLUSH_SECONDS, MOST_UNHEARD_SECONDS, Mark
from server.engines.deepgram.messages import (
    CLOSE_STREAM,
    FINALIZE,
    KEEP_ALIVE,
    Complaint,
    DeepgramError,
    Message,
    Results,
    Summary,
    Unknown,
    parse_message,
)
from server.engines.deepgram.outgoing import Flush, Item, Order, Pacer, SilenceGate, Skip, frames
from server.engines.deepgram.pulse import Pulse
from server.engines.deepgram.settings import DeepgramSettings
from server.engines.deepgram.socket import connect_live, hang_up, lost, request_id
from server.engines.deepgram.utterances import UtteranceAssembler
from server.engines.speech.endpointing import Quiet
from server.models import Recognition, SessionConfig

log = logging.getLogger("stt.deepgram")

OUTBOX_FRAMES = 5


class DeepgramRecognizer:
    """One stream. :meth:`run` owns the connection; a second task, the only writer, empties the outbox into it."""

    def __init__(
        self,
        url: str,
        config: SessionConfig,
        assembler: UtteranceAssembler,
        settings: DeepgramSettings,
        attempt: Callable[[], AbstractContextManager[Attempt]],
        gate: SilenceGate | None,
    ) -> None:
        self.usage = Usage()
        self._url = url
        self._config = config
        self._settings = settings
        self._attempt = attempt
        self._gate = gate
        self._assembler = assembler
        self._clock = assembler.clock
        self._outbox: asyncio.Queue[Item] = asyncio.Queue(OUTBOX_FRAMES)
        self._results: asyncio.Queue[Recognition | None] = asyncio.Queue()
        self._answer_deadline = asyncio.timeout(None)
        self._start = assembler.clock.now
        self._received_bytes = 0
        self._finalizing = False
        self._finalized: float | None = None  # seconds sent at the newest Finalize
        self._mark: Mark | None = None
        self._progress = asyncio.Event()
        """Set by every message."""
        self._heard_at = 0.0  # time of the event loop
        self._finishing = False
        self._sent_at = 0.0  # time of the event loop
        self._noted: set[str] = set()
        self._error: DeepgramError | None = None
        self._reported = asyncio.Event()

    async def send_audio(self, pcm: bytes) -> None:
        gate = self._gate
        self._received_bytes += len(pcm)
        for item in frames(pcm) if gate is None else await asyncio.to_thread(lambda: gate.push(pcm)):
            await self._order(item)

    async def flush(self) -> None:
        for item in self._gate.flush() if self._gate else ():
            if item is not Order.FINALIZE:  # the flush itself is one
                await self._order(item)
        await self._order(Flush(self._start + self._received_bytes / BYTES_PER_SECOND))

    async def finish(self) -> None:
        for item in self._gate.flush() if self._gate else ():
            await self._order(item)
        await self._order(Order.FINISH)

    async def __aiter__(self) -> AsyncIterator[Recognition]:
        while (recognition := await self._results.get()) is not None:
            yield recognition
        if self._error is not None:
            self._reported.set()
            raise self._error

    async def run(self) -> None:
        """Recognise until there is no more audio, or until it can't be done."""
        try:
            await self._recognise()
            self._publish(self._assembler.settle())
        except DeepgramError as exc:
            self._error = exc
            while not self._outbox.empty():  # lets go whoever waits for room
                self._outbox.get_nowait()
        self._publish(self._assembler.close())
        self._results.put_nowait(None)

    # --- the session's side -----------------------------------------------------------------------------------------

    async def _order(self, item: Item) -> None:
        """Hand the item to the writer. After a failure: raise it, once what came before it has been read."""
        if self._error is None:
            await self._outbox.put(item)
        if self._error is not None:
            await self._reported.wait()
            raise self._error

    def _publish(self, recognitions: Iterable[Recognition]) -> None:
        for recognition in recognitions:
            self._results.put_nowait(recognition)

    # --- Deepgram's side --------------------------------------------------------------------------------------------

    async def _recognise(self) -> None:
        first = await self._outbox.get()
        while isinstance(first, Skip | Quiet | Flush):
            self._pass_over(first)
            first = await self._outbox.get()
        if isinstance(first, Order):
            return
        with self._attempt() as attempt:
            called = self._now
            connection = await connect_live(self._url, self._settings)
            began = self._now
            pulse = Pulse(connection, self._settings.deepgram_ping_seconds, grace=began - called)
            name = request_id(connection.response)
            task = asyncio.current_task()
            log.info("deepgram %s: stream open, %s from %.1f s", name, task and task.get_name(), self._clock.now)
            try:
                await self._converse(connection, first, pulse, attempt)
            finally:
                await hang_up(connection)
                self.usage.connected_seconds = self._now - began
                sent, connected = self.usage.sent_seconds, self.usage.connected_seconds
                log.info("deepgram %s: stream over, %.1f s of audio sent in %.1f s", name, sent, connected)

    async def _converse(self, connection: ClientConnection, first: Item, pulse: Pulse, attempt: Attempt) -> None:
        """Write and read until Deepgram is done. Raises :class:`DeepgramError` if it ends too soon."""
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(self._write(connection, first), name="deepgram writer")
            watching = tasks.create_task(pulse.watch(), name="deepgram pulse")
            failure = await self._listen(connection, pulse, attempt)
            writing.cancel()
            watching.cancel()
        if failure:
            raise failure

    async def _listen(self, connection: ClientConnection, pulse: Pulse, attempt: Attempt) -> DeepgramError | None:
        """Read to the end. Returns the failure if it was not the end that we had asked for."""
        try:
            async with self._answer_deadline:
                await self._read(connection, pulse, attempt)
        except TimeoutError:
            if self._finishing and self._assembler.settled:
                return None
            seconds = self._settings.deepgram_finish_seconds if self._finishing else self._silence_seconds
            what = "did not finish within" if self._finishing else "has said nothing for"
            return DeepgramError(f"Deepgram {what} {seconds:g} s.", retryable=True)
        except ConnectionClosed as exc:
            polite = exc.rcvd is not None and exc.rcvd.code == CloseCode.NORMAL_CLOSURE
            if self._finishing and (polite or self._assembler.settled):
                return None
            return DeepgramError("Deepgram does not answer any more.", retryable=True) if pulse.stopped else lost(exc)
        return None

    async def _read(self, connection: ClientConnection, pulse: Pulse, attempt: Attempt) -> None:
        while True:
            message = parse_message(await connection.recv())
            pulse.note_message()
            self._owe_nothing()
            self._take(message)
            self._note(message)
            if isinstance(message, Results) and message.is_final:
                attempt.prove()
            if isinstance(message, Summary) and self._finishing:
                return

    def _take(self, message: Message) -> None:
        if self._mark is not None and self._mark.is_answered_by(message):
            self._answer_flush(self._mark, message)
        else:
            self._publish(self._assembler.take(message))
        self._heard_at = self._now
        self._progress.set()

    def _note(self, message: Message) -> None:
        if isinstance(message, Complaint | Unknown) and message.kind not in self._noted:
            self._noted.add(message.kind)
            log.warning("deepgram: %s: %s", type(message).__name__.lower(), message.kind)

    async def _write(self, connection: ClientConnection, item: Item) -> None:
        pacer = Pacer(self._settings.deepgram_max_speed, self._now)
        try:
            while True:
                if isinstance(item, bytes):
                    await asyncio.sleep(pacer.wait(len(item) / BYTES_PER_SECOND, self._now))
                await self._send(connection, item)
                if item is Order.FINISH:
                    return
                item = await self._next(connection)
        except ConnectionClosed:
            return  # the reader says what has happened

    async def _next(self, connection: ClientConnection) -> Item:
        while True:
            try:
                async with asyncio.timeout_at(self._sent_at + self._settings.deepgram_keepalive_seconds):
                    return await self._outbox.get()
            except TimeoutError:
                await self._idle(connection)

    async def _idle(self, connection: ClientConnection) -> None:
        """No audio has come for a while: have the last words settled, once; then only keep the stream open."""
        if not self._finalizing and self._assembler.waiting:
            await self._send(connection, Order.FINALIZE)
            return
        if self._finalizing:
            self._publish(self._assembler.settle())
            self._owe_nothing()
        self._sent_at = self._now
        await connection.send(KEEP_ALIVE)

    async def _send(self, connection: ClientConnection, item: Item) -> None:
        match item:
            case bytes():
                await self._send_frame(connection, item)
            case Order.FINALIZE:
                await self._finalize(connection)
            case Flush():
                await self._flush(connection, item)
            case Order.FINISH:
                self._finishing = True
                self._expect_answer(self._settings.deepgram_finish_seconds)
                await connection.send(CLOSE_STREAM)
            case _:
                self._pass_over(item)

    async def _finalize(self, connection: ClientConnection) -> None:
        self._finalizing = True
        self._finalized = self._clock.sent
        self._sent_at = self._now
        await connection.send(FINALIZE)

    async def _flush(self, connection: ClientConnection, flush: Flush) -> None:
        """Have all audio so far settled. Later audio waits for the answer, so that no message tells of both."""
        self._mark = Mark(flush.through, self._clock.sent, self._finalized)
        if self._assembler.waiting:
            await self._finalize(connection)
            await self._wait_for_answer()
        if self._mark is not None:
            self._answer_flush(self._mark, None)

    async def _wait_for_answer(self) -> None:
        """Return once the flush is answered or no answer will come. A Deepgram that stops in mid-work fails."""
        self._heard_at = self._now
        while self._mark is not None:
            self._progress.clear()
            try:
                async with asyncio.timeout_at(self._heard_at + FLUSH_SECONDS):
                    await self._progress.wait()
            except TimeoutError:
                unheard = self._clock.sent - self._assembler.heard
                if unheard <= MOST_UNHEARD_SECONDS or not self._config.interim_results:
                    self._owe_nothing()
                    return
                if self._answer_deadline.when() is None:
                    self._expect_answer(self._silence_seconds)
                self._heard_at = self._now

    def _answer_flush(self, mark: Mark, answer: Message | None) -> None:
        self._mark = None
        self._finalizing = False
        self._publish(self._assembler.flush(mark.through, answer))

    async def _send_frame(self, connection: ClientConnection, pcm: bytes) -> None:
        self._finalizing = False
        self._sent_at = self._now
        self._clock.advance(len(pcm))
        self.usage.sent_seconds += len(pcm) / BYTES_PER_SECOND
        if self._answer_deadline.when() is None:
            self._expect_answer(self._silence_seconds)
        await connection.send(pcm)

    def _pass_over(self, item: Skip | Quiet | Flush) -> None:
        match item:
            case Skip():
                self._clock.skip_to(item.to)
            case Quiet():
                self._publish(self._assembler.quiet(item.through))
            case Flush():
                self._publish(self._assembler.flush(item.through))

    def _expect_answer(self, within: float) -> None:
        if not self._answer_deadline.expired():
            self._answer_deadline.reschedule(self._now + within)

    def _owe_nothing(self) -> None:
        if not self._finishing and not self._answer_deadline.expired():
            self._answer_deadline.reschedule(None)

    @property
    def _silence_seconds(self) -> float:
        """Interims come every second of audio; without them only the ends of phrases are heard."""
        return self._settings.deepgram_silence_seconds * (1 if self._config.interim_results else 3)

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()
