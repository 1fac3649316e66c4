"""One stream of the embedded engine: it is cut into utterances, decoded on the workers, and its results keep order."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self, TypeVar

from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE
from server.engines.local.agreement import LocalAgreement
from server.engines.local.choice import Weights
from server.engines.local.coverage import Spoken
from server.engines.local.phantom import is_phantom
from server.engines.local.second_pass import Reading, SecondPass
from server.engines.local.second_pass import Speech as SpokenAudio
from server.engines.local.two_pass import choose
from server.engines.local.vosk import LANGUAGE as VOSK_LANGUAGE
from server.engines.local.vosk import Vosk, VoskUtterance
from server.engines.local.whisper import Whisper
from server.engines.local.workers import Priority, Workers
from server.engines.speech.endpointing import (
    PAUSE_SECONDS,
    Ended,
    Endpointer,
    Paused,
    Quiet,
    Segment,
    Speech,
    Started,
    endpointing_seconds,
)
from server.engines.speech.vad import VoiceActivityDetector
from server.errors import EngineError
from server.languages import bare
from server.models import Final, Interim, Recognition, SessionConfig, SpeechEnded, SpeechStarted
from server.settings import Settings

log = logging.getLogger("stt.local")

Result = TypeVar("Result")

INTERIM_SECONDS = 0.8
"""Seconds of new speech after which Whisper decodes the utterance so far once more."""
INTERIM_BEAM = 1
OPEN_FINALS = 3
"""Second passes that may be under way in one session; then its audio has to wait."""


@dataclass(frozen=True, slots=True)
class Models:
    """What is loaded once and shared by all streams."""

    vad: VoiceActivityDetector
    vosk: Vosk
    whisper: Whisper
    weights: Weights = Weights()


@dataclass(slots=True)
class Utterance:
    """Speech between a start and an end. ``second``: its second pass, up to a pause at ``second_at`` seconds."""

    started: Started
    first: VoskUtterance | None
    audio: bytearray = field(default_factory=bytearray)
    heard: LocalAgreement = field(default_factory=LocalAgreement)
    decoded_bytes: int = 0
    spoken: Spoken = field(default_factory=Spoken)
    shown: Interim | None = None
    second: Future[Reading] | None = None
    second_at: float = -1.0
    second_priority: Priority = Priority.INTERIM
    ended: bool = False

    def take(self, speech: Speech) -> None:
        start = self.started.audio_start + len(self.audio) / BYTES_PER_SECOND
        self.audio += speech.pcm
        if speech.spoken:
            self.spoken.add(start, start + len(speech.pcm) / BYTES_PER_SECOND)

    def until(self, end: float) -> bytes:
        """The audio up to a little after the last speech: the same whether or not more silence has come since."""
        seconds = end + PAUSE_SECONDS - self.started.audio_start
        return bytes(self.audio[: round(seconds * SAMPLE_RATE) * 2])


@dataclass(frozen=True, slots=True)
class _Ended:
    """For the event loop: the utterance is over; ``first`` is what the first pass made of it."""

    utterance: Utterance
    ended: Ended
    first: Final | None
    flushed: bool


@dataclass(frozen=True, slots=True)
class _Paused:
    """For the event loop: the utterance may be over."""

    utterance: Utterance
    end: float


@dataclass(frozen=True, slots=True)
class _Grown:
    """For the event loop: enough new speech for another interim."""

    utterance: Utterance


Step = Recognition | _Ended | _Paused | _Grown
Published = Recognition | EngineError | asyncio.Task[Final | EngineError]


class LocalRecognizer:
    """See :class:`server.engines.base.Recognizer`. An async context manager: it owns the tasks of its passes."""

    def __init__(
        self, models: Models, workers: Workers, settings: Settings, config: SessionConfig, start: float
    ) -> None:
        language = bare(config.language)
        self._models = models
        self._workers = workers
        self._config = config
        self._language = None if language == "multi" else language
        self._vosk = language == VOSK_LANGUAGE
        self._whisper = not self._vosk or config.two_pass is not False
        self._second = SecondPass(
            models.whisper, self._language, config.keywords, models.vosk.spacing.likelihood, models.weights
        )
        self._endpointer = Endpointer(
            models.vad.stream().probabilities,
            start=start,
            endpointing=endpointing_seconds(config, settings.endpointing_ms),
            longest=settings.max_utterance_seconds,
        )
        self._utterance: Utterance | None = None
        self._busy = threading.Lock()
        self._closed = False
        self._tasks = asyncio.TaskGroup()
        self._results: asyncio.Queue[Published | None] = asyncio.Queue(maxsize=256)
        self._newest: Published | None = None
        self._open_finals = asyncio.Semaphore(OPEN_FINALS)
        self._interim: asyncio.Task[None] | None = None
        self._error: EngineError | None = None
        self._reported = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()
        await self._tasks.__aexit__(kind, error, traceback)

    async def send_audio(self, pcm: bytes) -> None:
        await self._process(lambda: self._decode(self._endpointer.push(pcm)))

    async def flush(self) -> None:
        await self._process(lambda: self._decode(self._endpointer.flush(), flushed=True))

    async def finish(self) -> None:
        await self._process(lambda: self._decode(self._endpointer.flush()))
        await self._results.put(None)

    async def __aiter__(self) -> AsyncIterator[Recognition]:
        while (result := await self._results.get()) is not None:
            recognition = await result if isinstance(result, asyncio.Task) else result
            if isinstance(recognition, EngineError):
                self._reported.set()
                raise recognition
            if isinstance(recognition, Interim) and recognition is not self._newest:
                continue  # a newer interim or the final waits behind it
            yield recognition

    # --- on a worker thread ------------------------------------------------------------------------------------------

    def _decode(self, segments: Iterator[Segment], *, flushed: bool = False) -> list[Step]:
        try:
            with self._busy:
                return [] if self._closed else [*self._steps(segments, flushed)]
        finally:
            if self._closed:
                self._drop_utterance()

    def _steps(self, segments: Iterator[Segment], flushed: bool) -> Iterator[Step]:
        for segment in segments:
            yield from self._take(segment, flushed)
        first = self._utterance.first if self._utterance else None
        if first is not None and self._config.interim_results:
            guess = first.guess()
            if guess is not None:
                yield guess

    def _take(self, segment: Segment, flushed: bool) -> Iterator[Step]:
        utterance = self._utterance
        match segment:
            case Started():
                self._utterance = self._begin(segment)
                if not segment.continued:
                    yield SpeechStarted(segment.start)
            case Quiet():
                yield Final("", segment.through, segment.through, segment.through, flushed=flushed)
            case Speech() if utterance is not None:
                yield from self._accept(utterance, segment)
            case Paused() if utterance is not None and self._whisper:
                yield _Paused(utterance, segment.end)
            case Ended() if utterance is not None:
                if not segment.cut:
                    yield SpeechEnded(segment.end)
                if flushed and self._whisper:  # somebody waits for it: Whisper need not wait for Vosk
                    self._second_pass(utterance, segment.end, Priority.FINAL)
                yield _Ended(utterance, segment, utterance.first.finish(segment) if utterance.first else None, flushed)
                self._utterance = None

    def _begin(self, started: Started) -> Utterance:
        if not self._vosk:
            return Utterance(started, None)
        config = self._config
        first = VoskUtterance(self._models.vosk, started, smart_format=config.smart_format, keywords=config.keywords)
        return Utterance(started, first)

    def _accept(self, utterance: Utterance, speech: Speech) -> Iterator[Step]:
        utterance.take(speech)
        if utterance.first:
            interim = utterance.first.accept(speech.pcm)
            if interim is not None:
                yield interim
        elif len(utterance.audio) - utterance.decoded_bytes >= INTERIM_SECONDS * BYTES_PER_SECOND:
            utterance.decoded_bytes = len(utterance.audio)
            yield _Grown(utterance)

    def _drop_utterance(self) -> None:
        """Give the Kaldi recognizer back, unless it is at work: then whoever works with it does so afterwards."""
        if not self._busy.acquire(blocking=False):
            return
        if self._utterance is not None and self._utterance.first is not None:
            self._utterance.first.close()
        self._utterance = None
        self._busy.release()

    def _close(self) -> None:
        self._closed = True
        utterance = self._utterance
        if utterance is not None and utterance.second is not None:
            utterance.second.cancel()
        if utterance is not None:  # on a thread: Kaldi first decodes what it was given
            self._workers.submit(Priority.AUDIO, self._drop_utterance)

    # --- on the event loop -------------------------------------------------------------------------------------------

    async def _process(self, decode: Callable[[], list[Step]]) -> None:
        """Have audio decoded. After a failure: raise it, once what came before it has been read."""
        try:
            if self._error is None:
                await self._handle(await self._result(self._workers.submit(Priority.AUDIO, decode)))
        except EngineError as exc:
            self._error = self._error or exc
            await self._results.put(exc)
        if self._error is not None:
            await self._reported.wait()
            raise self._error

    async def _handle(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case _Grown():
                    self._ask_for_interim(step.utterance)
                case _Paused():
                    self._second_pass(step.utterance, step.end, Priority.INTERIM)
                case _Ended():
                    await self._end(step)
                case _:
                    await self._publish(step)

    async def _result(self, job: "Future[Result]") -> Result:
        """The job's result. Raises :class:`EngineError` whatever the job has raised."""
        done = asyncio.wrap_future(job)
        try:
            await asyncio.wait([done])
        finally:
            done.cancel()  # whoever gives up takes the job out of the line
        error = done.exception()
        if error is None:
            return done.result()
        if isinstance(error, EngineError):
            raise error
        log.error("the embedded engine failed", exc_info=error)
        raise EngineError(f"The embedded engine failed: {type(error).__name__}.", retryable=True) from error

    async def _publish(self, result: Published) -> None:
        if not isinstance(result, SpeechStarted | SpeechEnded):
            self._newest = result
        await self._results.put(result)

    async def _end(self, step: _Ended) -> None:
        step.utterance.ended = True
        if not self._whisper:
            assert step.first is not None
            await self._publish(replace(step.first, flushed=step.flushed))
            return
        await self._open_finals.acquire()
        second = self._second_pass(step.utterance, step.ended.end, Priority.FINAL)
        await self._publish(self._tasks.create_task(self._final(second, step)))

    async def _final(self, second: Future[Reading], step: _Ended) -> Final | EngineError:
        try:
            reading = await self._result(second)
            return await self._result(self._workers.submit(Priority.FINAL, lambda: self._read(reading, step)))
        except EngineError as exc:
            self._error = self._error or exc
            return exc
        finally:
            self._open_finals.release()

    def _second_pass(self, utterance: Utterance, end: float, priority: Priority) -> Future[Reading]:
        """Have the utterance decoded up to ``end``. A pass that a pause began serves for the end, if it was the end."""
        under_way = utterance.second
        if under_way is not None:
            keeps_its_place = utterance.second_at == end and utterance.second_priority <= priority
            if keeps_its_place or (not under_way.cancel() and utterance.second_at == end):
                return under_way
        audio, start = utterance.until(end), utterance.started.audio_start
        guess = utterance.first.newest if utterance.first else None
        utterance.second_at, utterance.second_priority = end, priority
        utterance.second = self._workers.submit(priority, lambda: self._second.hear(audio, start, guess))
        return utterance.second

    def _read(self, reading: Reading, step: _Ended) -> Final:
        """On a worker thread: the final, now that the first pass is known."""
        utterance, first = step.utterance, step.first
        speech = SpokenAudio(utterance.until(step.ended.end), utterance.started.audio_start, utterance.spoken)
        found = self._second.read(reading, speech, None if first is None else first.words)
        final = choose(found, first, utterance.started, step.ended, self._config, utterance.shown)
        return replace(final, flushed=step.flushed)

    def _ask_for_interim(self, utterance: Utterance) -> None:
        """Have an interim made: one at a time, and none while others wait for their finals."""
        under_way = self._interim is not None and not self._interim.done()
        if self._config.interim_results and not under_way and self._workers.waiting() < self._workers.threads:
            self._interim = self._tasks.create_task(self._show(utterance, bytes(utterance.audio)))

    async def _show(self, utterance: Utterance, audio: bytes) -> None:
        start = utterance.started.start
        guess = self._workers.submit(
            Priority.INTERIM,
            lambda: self._models.whisper.transcribe(
                audio, self._language, keywords=self._config.keywords, beam=INTERIM_BEAM, word_times=False
            ),
        )
        try:
            found = await self._result(guess)
        except EngineError as exc:
            self._error = self._error or exc
            await self._results.put(exc)
            return
        if not utterance.ended and not is_phantom(found, None):
            text = utterance.heard.accept(found)
            end = utterance.started.audio_start + len(audio) / BYTES_PER_SECOND
            utterance.shown = Interim(text, start, end, found.confidence, (), found.language)
            await self._publish(utterance.shown)
