"""The threads that recognition runs on: few, shared by all sessions, and after the event loop in line for the CPU."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

NICENESS = 5
"""Heartbeats and uploads go first when the processors are full."""


def _step_back() -> None:
    if sys.platform == "linux":  # elsewhere niceness belongs to the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


class Workers:
    """``threads`` of them (0: one for each processor)."""

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or os.cpu_count() or 1
        self._executor = ThreadPoolExecutor(self.threads, "recognition", initializer=_step_back)

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of ``work``, done on one of the threads. Once begun it can't be cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def submit(self, work: Callable[[], object]) -> None:
        """Have ``work`` done some time; nobody waits for it."""
        self._executor.submit(work)

    def close(self) -> None:
        """Drop what waits; what runs is let run."""
        self._executor.shutdown(wait=False, cancel_futures=True)
