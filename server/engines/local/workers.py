"""The threads that recognition runs on: few, shared by all sessions, and behind the event loop in line for the CPU."""

import asyncio
import heapq
import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from enum import IntEnum
from operator import itemgetter
from typing import Any, TypeVar

from server.engines.local.memory import return_freed_memory

Result = TypeVar("Result")

log = logging.getLogger("stt.local")

NICENESS = 2
"""Niceness that is added to the process's own: heartbeats and uploads go first when the processors are full."""
LONG_NICENESS = 4
"""Niceness that is added for long jobs: the audio of every session goes on being decoded beside them."""
AUDIO_JOB_SECONDS = 1.0
"""Time after which a job for audio counts as hung while others wait. It usually takes a few hundredths of a second."""
LONG_JOB_SECONDS = 10.0
"""Time after which a long job counts as hung while others wait. It takes some tenths of a second, with a large model on
a CPU some seconds."""
MOST_HUNG = 4
"""Hung threads for each thread of a crew that are replaced; when more hang, none is started any more."""
CLOSE_SECONDS = 2.0
"""Time that closing waits for jobs that still run: C++ aborts a process that leaves a thread behind in it."""
TRIM_JOBS = 50
"""Long jobs after which freed memory is handed back. In pieces that are too small for malloc to do so, it would pile
up."""


class Priority(IntEnum):
    """What goes first when there is more to do than threads. ``AUDIO`` is short, everything else takes its time."""

    AUDIO = 0
    FINAL = 1
    INTERIM = 2
    UPKEEP = 3


class Workers:
    """``threads`` for audio and as many for long jobs (0: one of each for each processor).

    Audio never waits for a thread that has a long job: the system shares the processors, and most of them to audio.
    A thread whose job hangs in native code can't be ended; while others wait for it, another takes its place.
    """

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or os.cpu_count() or 1
        self._audio = _Crew("audio", self.threads, NICENESS, AUDIO_JOB_SECONDS)
        self._long = _Crew("recognition", self.threads, LONG_NICENESS, LONG_JOB_SECONDS)
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

    def hung(self) -> int:
        """Threads that have been replaced and are still at their job."""
        return self._audio.hung() + self._long.hung()

    def able(self) -> bool:
        """Whether a thread that hangs would still be replaced."""
        return not self._audio.worn_out() and not self._long.worn_out()

    def close(self) -> None:
        """What is in line is dropped; what runs is let run, and waited for unless it hangs. Blocks."""
        latest = time.monotonic() + CLOSE_SECONDS
        crews = (self._audio, self._long)
        for crew in crews:
            crew.close()
        for crew in crews:
            crew.join(latest)


class _Crew:
    """Threads that share one line. A job hangs if it takes longer than ``job_seconds`` while others are in line."""

    def __init__(self, name: str, threads: int, niceness: int, job_seconds: float) -> None:
        self._name = name
        self._threads = threads
        self._niceness = niceness
        self._job_seconds = job_seconds
        self._order = itertools.count()
        self._names = itertools.count()
        self._jobs: list[tuple[Priority, int, Future[Any], Callable[[], Any]]] = []
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        self._held_up = threading.Condition(lock)
        """There are more jobs in line than idle threads."""
        self._started: list[threading.Thread] = []
        self._running: dict[threading.Thread, float] = {}  # when its job began, by the monotonic clock
        self._hung: set[threading.Thread] = set()
        self._watcher: threading.Thread | None = None
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
            if len(self._jobs) > len(self._started) - len(self._running):
                self._held_up.notify()
        return future

    def waiting(self) -> int:
        with self._changed:
            return self._wanted()

    def hung(self) -> int:
        with self._changed:
            return len(self._hung)

    def worn_out(self) -> bool:
        """Whether so many have hung that none is replaced any more."""
        return self.hung() >= MOST_HUNG * self._threads

    def close(self) -> None:
        with self._changed:
            self._closed = True
            for *_, future, _ in self._jobs:
                future.cancel()
            self._changed.notify_all()
            self._held_up.notify_all()

    def join(self, latest: float) -> None:
        """Wait for the threads to end; until ``latest`` at most, a time of the monotonic clock."""
        with self._changed:
            threads = [*self._started, *self._hung, *([self._watcher] if self._watcher else [])]
        for thread in threads:
            thread.join(max(0.0, latest - time.monotonic()))

    def _wanted(self) -> int:
        return sum(not future.cancelled() for *_, future, _ in self._jobs)

    def _start(self) -> None:
        while len(self._started) < self._threads:
            thread = self._thread(f"{self._name} {next(self._names)}", self._work)
            self._started.append(thread)
            thread.start()
        if self._watcher is None:
            self._watcher = self._thread(f"{self._name} watcher", self._watch)
            self._watcher.start()

    def _thread(self, name: str, run: Callable[[], None]) -> threading.Thread:
        # daemons: a recognizer that hangs in native code must not keep the process from ending
        return threading.Thread(target=run, name=name, daemon=True)

    # --- on a thread of the crew ------------------------------------------------------------------------------------

    def _work(self) -> None:
        if sys.platform == "linux":  # elsewhere niceness belongs to the whole process
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + self._niceness)
        while (job := self._next()) is not None:
            future, work = job
            if future.set_running_or_notify_cancel():
                _settle(future, work)
            del job, future, work  # a thread that waits for its next job keeps nothing of the last

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        """The next job; ``None``: the thread is to end."""
        me = threading.current_thread()
        with self._changed:
            if me in self._hung:  # it came back after all, but its place is taken
                self._hung.remove(me)
                self._held_up.notify()
                return None
            self._running.pop(me, None)
            self._changed.wait_for(lambda: self._closed or self._jobs)
            if self._closed:
                return None
            _, _, future, work = heapq.heappop(self._jobs)
            self._running[me] = time.monotonic()
            return future, work

    # --- on the watcher ---------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Replace threads that hang. Sleeps while nobody waits in line."""
        with self._held_up:
            while not self._closed:
                self._held_up.wait(self._replace_hung())

    def _replace_hung(self) -> float | None:
        """Seconds until there may be another one; ``None``: nobody waits, or nothing can be done."""
        while self._wanted() and len(self._hung) < MOST_HUNG * self._threads:
            thread, began = min(self._running.items(), key=itemgetter(1), default=(None, time.monotonic()))
            left = began + self._job_seconds - time.monotonic()
            if thread is None or left > 0:
                return left
            log.error("thread %s hangs: another one takes its place", thread.name)
            del self._running[thread]
            self._started.remove(thread)
            self._hung.add(thread)
            self._start()
        return None


def outcome(work: Callable[[], Result]) -> "Future[Result]":
    """Do ``work`` at once; the future has its result or its error. For native code, which may raise anything."""
    future: Future[Result] = Future()
    _settle(future, work)
    return future


def _settle(future: "Future[Any]", work: Callable[[], Any]) -> None:
    try:
        result = work()
    except BaseException as exc:  # noqa: BLE001 - not handled here: whoever waits for the result gets it
        future.set_exception(exc)
    else:
        future.set_result(result)
