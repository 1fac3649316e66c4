"""The threads that recognition runs on: few, shared by all sessions, and after the event loop in line for the CPU."""

import asyncio
import heapq
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from enum import IntEnum
from typing import Any, TypeVar

from server.engines.local.memory import return_freed_memory

Result = TypeVar("Result")

NICENESS = 2
"""Added to the process's own. Heartbeats and uploads go first when the processors are full."""
LONG_NICENESS = 4
"""The same for long jobs: the audio of every session goes on being decoded beside them."""
CLOSE_SECONDS = 2.0
"""What still runs at the end is waited for so long: C++ aborts a process that leaves a thread behind in it."""
TRIM_JOBS = 50
"""Long jobs after which freed memory is handed back: in pieces too small for malloc to do so, it would pile up."""


class Priority(IntEnum):
    """What goes first when there is more to do than threads. ``AUDIO`` is short, everything else takes its time."""

    AUDIO = 0
    FINAL = 1
    INTERIM = 2
    UPKEEP = 3


class Workers:
    """``threads`` for audio and as many for long jobs (0: one of each for each processor).

    Audio never waits for a thread that has a long job: the system shares the processors, and most of them to audio.
    """

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or os.cpu_count() or 1
        self._audio = _Crew("audio", self.threads, NICENESS)
        self._long = _Crew("recognition", self.threads, LONG_NICENESS)
        self._long_jobs = itertools.count(1)

    async def run(self, priority: Priority, work: Callable[[], Result]) -> Result:
        """The result of ``work``. Cancelling takes it out of the line; once begun it runs to its end."""
        return await asyncio.wrap_future(self.submit(priority, work))

    def submit(self, priority: Priority, work: Callable[[], Result]) -> "Future[Result]":
        """Have ``work`` done in its turn: by priority, then first come, first served. After ``close``: cancelled."""
        if priority is Priority.AUDIO:
            return self._audio.submit(priority, work)
        if next(self._long_jobs) % TRIM_JOBS == 0:
            self._long.submit(Priority.UPKEEP, return_freed_memory)
        return self._long.submit(priority, work)

    def waiting(self) -> int:
        """Jobs in line that somebody still wants."""
        return self._audio.waiting() + self._long.waiting()

    def close(self) -> None:
        """What is in line is dropped; what runs is let run, and waited for unless it hangs. Blocks."""
        latest = time.monotonic() + CLOSE_SECONDS
        crews = (self._audio, self._long)
        for crew in crews:
            crew.close()
        for crew in crews:
            crew.join(latest)


class _Crew:
    """Threads that share one line."""

    def __init__(self, name: str, threads: int, niceness: int) -> None:
        self._name = name
        self._threads = threads
        self._niceness = niceness
        self._order = itertools.count()
        self._jobs: list[tuple[Priority, int, Future[Any], Callable[[], Any]]] = []
        self._changed = threading.Condition()
        self._started: list[threading.Thread] = []
        self._closed = False

    def submit(self, priority: Priority, work: Callable[[], Result]) -> "Future[Result]":
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                future.cancel()
                return future
            self._start()
            heapq.heappush(self._jobs, (priority, next(self._order), future, work))
            self._changed.notify()
        return future

    def waiting(self) -> int:
        with self._changed:
            return sum(not future.cancelled() for *_, future, _ in self._jobs)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            for *_, future, _ in self._jobs:
                future.cancel()
            self._changed.notify_all()

    def join(self, latest: float) -> None:
        """Wait for the threads to end; until ``latest`` at most, a time of the monotonic clock."""
        for thread in self._started:
            thread.join(max(0.0, latest - time.monotonic()))

    def _start(self) -> None:
        while len(self._started) < self._threads:
            # daemons: a recognizer that hangs in native code must not keep the process from ending
            name = f"{self._name} {len(self._started)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._started.append(thread)
            thread.start()

    def _work(self) -> None:
        if sys.platform == "linux":  # elsewhere niceness belongs to the whole process
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + self._niceness)
        while (job := self._next()) is not None:
            future, work = job
            if future.set_running_or_notify_cancel():
                _settle(future, work)

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._jobs)
            if self._closed:
                return None
            _, _, future, work = heapq.heappop(self._jobs)
            return future, work


def _settle(future: "Future[Any]", work: Callable[[], Any]) -> None:
    try:
        result = work()
    except BaseException as exc:  # noqa: BLE001 - not handled here: whoever waits for the result gets it
        future.set_exception(exc)
    else:
        future.set_result(result)
