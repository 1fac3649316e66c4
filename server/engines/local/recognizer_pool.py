"""Warm Kaldi recognizers, lent for one utterance at a time."""

import json
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import vosk

from server.engines.base import BYTES_PER_SECOND
from server.engines.local.memory import resident_mb, return_freed_memory
from server.engines.local.workers import outcome

YOUNGEST_RECYCLED = 20
"""Utterances that a recognizer serves before it may be replaced: with a memory limit too low for the model, every
utterance would otherwise pay for a new recognizer."""


@dataclass(slots=True)
class Lent:
    """A recognizer in use. ``utterances``: how many it has served. ``utterance_bytes``: of the present one, so far.

    ``sound``: it has come back from all calls. One that raised, or hangs, is in a state that nobody knows.
    """

    kaldi: vosk.KaldiRecognizer
    utterances: int = 0
    utterance_bytes: int = 0
    sound: bool = True
    _fed_bytes: int = field(default=0, init=False)

    def feed(self, pcm: bytes) -> None:
        self.sound = False
        # the answer would be Kaldi's own endpointing, which is not ours
        self.kaldi.AcceptWaveform(pcm)
        self.utterance_bytes += len(pcm)
        self.sound = True

    def partial(self) -> str:
        """What is heard so far in all that was fed since the last call of :meth:`words`."""
        self.sound = False
        heard: str = json.loads(self.kaldi.PartialResult())["partial"]
        self.sound = True
        return heard

    def words(self) -> list[dict[str, Any]]:
        """What was said in all that was fed since the last call, in seconds from there; it begins anew after that."""
        self.sound = False
        found = json.loads(self.kaldi.FinalResult()).get("result", [])
        self.kaldi.Reset()
        self.sound = True
        began = self._fed_bytes / BYTES_PER_SECOND  # Kaldi's clock has run since the recognizer was made
        self._fed_bytes += self.utterance_bytes
        self.utterance_bytes = 0
        # to the millisecond: Kaldi's clock is not exact
        return [each | {name: round(each[name] - began, 3) for name in ("start", "end")} for each in found]


class RecognizerPool:
    """Safe to be shared by threads. ``make`` gives a warm recognizer and takes its time; ``later`` has a job done.

    A recognizer's memory grows with every new word it meets (to about 300 MB). One that has served a while and is
    given back while the process holds more than ``memory_mb`` is freed, and a fresh one made later.
    """

    def __init__(
        self,
        make: Callable[[], Lent],
        *,
        memory_mb: float,
        later: Callable[[Callable[[], None]], object],
    ) -> None:
        self._make = make
        self._memory_mb = memory_mb
        self._later = later
        self._idle: queue.LifoQueue[Lent] = queue.LifoQueue()
        self._kept = 1
        self._alive = 0
        self._counting = threading.Lock()
        self._growing = False

    def add(self) -> None:
        """Make a recognizer and keep it ready."""
        self._idle.put(self._new())

    def keep(self, count: int) -> None:
        """Have ``count`` recognizers, in use or not, as soon as there is time to make them and if memory allows."""
        self._kept = count
        self._grow_later()

    def take(self) -> Lent:
        """A warm one if there is one, else a new one: nobody waits for another's utterance to end.

        Taking the last one has another made, as long as memory allows.
        """
        try:
            lent = self._idle.get_nowait()
        except queue.Empty:
            lent = self._new()
        self._grow_later()
        return lent

    def give_back(self, lent: Lent) -> None:
        """For others to use, unless it is broken: then it is never lent again."""
        lent.utterances += 1
        if lent.sound and lent.utterance_bytes:
            outcome(lent.words)  # of an utterance that was given up: only this drops the audio with it
        if not lent.sound:
            self._count(-1)
            self._grow_later()
        elif lent.utterances >= YOUNGEST_RECYCLED and resident_mb() > self._memory_mb:
            self._count(-1)
            self._later(self._replace)
        else:
            self._idle.put(lent)

    def _grow_later(self) -> None:
        wanted = self._idle.empty() or self._alive < self._kept
        if wanted and not self._growing and resident_mb() < self._memory_mb:
            self._growing = True
            self._later(self._grow)

    def _grow(self) -> None:
        try:
            self.add()
        finally:
            self._growing = False
        self._grow_later()  # a job for each: what else there is to do goes between

    def _replace(self) -> None:
        return_freed_memory()
        self.add()

    def _new(self) -> Lent:
        lent = self._make()
        self._count(1)
        return lent

    def _count(self, change: int) -> None:
        with self._counting:
            self._alive += change
