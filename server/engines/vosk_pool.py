"""Warm Kaldi recognizers, lent for one utterance at a time."""

import queue
from collections.abc import Callable
from dataclasses import dataclass

import vosk

from server.engines.memory import resident_mb, return_freed_memory

YOUNGEST_RECYCLED = 20
"""Utterances. A limit that is too low for the model would otherwise make every utterance pay for a new recognizer."""


@dataclass(slots=True)
class Lent:
    """A recognizer in use. ``utterances``: how many it has served; ``fed_bytes``: where its own clock stands."""

    kaldi: vosk.KaldiRecognizer
    fed_bytes: int = 0
    utterances: int = 0

    def feed(self, pcm: bytes) -> None:
        # the answer would be Kaldi's own endpointing, which is not ours
        self.kaldi.AcceptWaveform(pcm)
        self.fed_bytes += len(pcm)


class RecognizerPool:
    """Safe to be shared by threads. ``make`` gives a warm recognizer and takes its time.

    A recognizer's memory grows with every new word it meets (to about 300 MB). One that has served a while and is
    given back while the process holds more than ``memory_mb`` is freed, and ``later`` is asked to make a fresh one.
    """

    def __init__(
        self,
        make: Callable[[], Lent],
        *,
        size: int,
        memory_mb: float,
        later: Callable[[Callable[[], None]], object],
    ) -> None:
        self._make = make
        self._size = size
        self._memory_mb = memory_mb
        self._later = later
        self._idle: queue.LifoQueue[Lent] = queue.LifoQueue()
        self._growing = False

    def fill(self) -> None:
        """Make as many as are kept."""
        return_freed_memory()
        while self._idle.qsize() < self._size:
            self._idle.put(self._make())

    def take(self) -> Lent:
        """A warm one if there is one, else a new one: nobody waits for another's utterance to end."""
        return self.take_idle() or self._make()

    def take_idle(self) -> Lent | None:
        """A warm one, if nobody has it."""
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return None

    def take_spare(self) -> Lent | None:
        """One that nobody needs just now. If there is none, there will be one more, as long as memory allows."""
        spare = self.take_idle()
        if spare is None and not self._growing and resident_mb() < self._memory_mb:
            self._growing = True
            self._later(self._grow)
        return spare

    def _grow(self) -> None:
        try:
            self._idle.put(self._make())
        finally:
            self._growing = False

    def give_back(self, lent: Lent) -> None:
        lent.utterances += 1
        if lent.utterances >= YOUNGEST_RECYCLED and resident_mb() > self._memory_mb:
            self._later(self.fill)
        else:
            lent.kaldi.FinalResult()  # of an utterance that was given up: only this drops the audio with it
            lent.kaldi.Reset()
            self._idle.put(lent)
