"""The threads that recognition runs on: few, shared by all sessions, and after the event loop in line for the CPU."""

import asyncio
import itertools
import os
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from enum import IntEnum
from typing import Any, TypeVar

Result = TypeVar("Result")

NICENESS = 5
"""Heartbeats and uploads go first when the processors are full."""


class Priority(IntEnum):
    """What goes first when there is more to do than threads: finals are late last, interims are shed first."""

    FINAL = 0
    AUDIO = 1
    INTERIM = 2
    UPKEEP = 3
    STOP = 4


class Workers:
    """``threads`` of them (0: one for each processor). Within a priority, first come, first served."""

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or os.cpu_count() or 1
        self._order = itertools.count()
        self._jobs: queue.PriorityQueue[tuple[Priority, int, Future[Any], Callable[[], Any]]] = queue.PriorityQueue()
        self._started: list[threading.Thread] = []

    async def run(self, priority: Priority, work: Callable[[], Result]) -> Result:
        """The result of ``work``. Cancelling takes it out of the line; once begun it runs to its end."""
        return await asyncio.wrap_future(self.submit(priority, work))

    def submit(self, priority: Priority, work: Callable[[], Result]) -> "Future[Result]":
        """Have ``work`` done in its turn."""
        self._start()
        future: Future[Result] = Future()
        self._jobs.put((priority, next(self._order), future, work))
        return future

    def waiting(self) -> int:
        """Jobs in line."""
        return self._jobs.qsize()

    def close(self) -> None:
        """What is in line is still done; nothing may be submitted any more."""
        for _ in self._started:
            self._jobs.put((Priority.STOP, next(self._order), Future(), _nothing))

    def _start(self) -> None:
        while len(self._started) < self.threads:
            # daemons: a recognizer that hangs in native code must not keep the process from ending
            thread = threading.Thread(target=self._work, name=f"recognition {len(self._started)}", daemon=True)
            self._started.append(thread)
            thread.start()

    def _work(self) -> None:
        if sys.platform == "linux":  # elsewhere niceness belongs to the whole process
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while True:
            priority, _, future, work = self._jobs.get()
            if priority is Priority.STOP:
                return
            if future.set_running_or_notify_cancel():
                _settle(future, work)


def _settle(future: "Future[Any]", work: Callable[[], Any]) -> None:
    try:
        result = work()
    except BaseException as exc:  # noqa: BLE001 - not handled here: whoever waits for the result gets it
        future.set_exception(exc)
    else:
        future.set_result(result)


def _nothing() -> None:
    """The work of a job that only stops its thread."""
