"""The threads that recognition runs on: few, shared by all sessions, and after the event loop in line for the CPU."""

import asyncio
import heapq
import itertools
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from enum import IntEnum
from typing import Any, TypeVar

from server.engines.memory import return_freed_memory

Result = TypeVar("Result")

NICENESS = 2
"""Added to the process's own. Heartbeats and uploads go first when the processors are full."""
TRIM_JOBS = 50
"""Long jobs after which freed memory is handed back: in pieces too small for malloc to do so, it would pile up."""


class Priority(IntEnum):
    """What goes first when there is more to do than threads. ``AUDIO`` is short, everything else takes its time."""

    AUDIO = 0
    FINAL = 1
    INTERIM = 2
    UPKEEP = 3


class Workers:
    """``threads`` of them (0: one for each processor). Within a priority, first come, first served.

    Long jobs never have all threads: the audio of every session goes on being decoded beside them.
    """

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or os.cpu_count() or 1
        self._most_long = max(1, self.threads - 1)
        self._running_long = 0
        self._done_long = 0
        self._order = itertools.count()
        self._jobs: list[tuple[Priority, int, Future[Any], Callable[[], Any]]] = []
        self._changed = threading.Condition()
        self._started: list[threading.Thread] = []
        self._closed = False

    async def run(self, priority: Priority, work: Callable[[], Result]) -> Result:
        """The result of ``work``. Cancelling takes it out of the line; once begun it runs to its end."""
        return await asyncio.wrap_future(self.submit(priority, work))

    def submit(self, priority: Priority, work: Callable[[], Result]) -> "Future[Result]":
        """Have ``work`` done in its turn. After ``close`` it is cancelled."""
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
        """Jobs in line that somebody still wants."""
        with self._changed:
            return sum(not future.cancelled() for *_, future, _ in self._jobs)

    def close(self) -> None:
        """What runs is let run; what is in line is dropped."""
        with self._changed:
            self._closed = True
            for *_, future, _ in self._jobs:
                future.cancel()
            self._changed.notify_all()

    def _start(self) -> None:
        while len(self._started) < self.threads:
            # daemons: a recognizer that hangs in native code must not keep the process from ending
            thread = threading.Thread(target=self._work, name=f"recognition {len(self._started)}", daemon=True)
            self._started.append(thread)
            thread.start()

    def _work(self) -> None:
        if sys.platform == "linux":  # elsewhere niceness belongs to the whole process
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
        while (job := self._next()) is not None:
            priority, _, future, work = job
            if future.set_running_or_notify_cancel():
                _settle(future, work)
            if priority is not Priority.AUDIO:
                self._end_long()

    def _end_long(self) -> None:
        with self._changed:
            self._done_long += 1
            if self._done_long % TRIM_JOBS == 0:
                heapq.heappush(self._jobs, (Priority.UPKEEP, next(self._order), Future(), return_freed_memory))
            self._running_long -= 1
            self._changed.notify()

    def _next(self) -> tuple[Priority, int, Future[Any], Callable[[], Any]] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._may_begin())
            if self._closed:
                return None
            job = heapq.heappop(self._jobs)
            if job[0] is not Priority.AUDIO:
                self._running_long += 1
            return job

    def _may_begin(self) -> bool:
        # audio sorts first: if a long job is at the head, there is no audio in line
        return bool(self._jobs) and (self._jobs[0][0] is Priority.AUDIO or self._running_long < self._most_long)


def _settle(future: "Future[Any]", work: Callable[[], Any]) -> None:
    try:
        result = work()
    except BaseException as exc:  # noqa: BLE001 - not handled here: whoever waits for the result gets it
        future.set_exception(exc)
    else:
        future.set_result(result)
