"""Enter, pressed while the audio comes from elsewhere."""

import asyncio
import os
import sys
import threading

from stt_client.cli.microphone import Microphone
from stt_client.cli.sources import Source


class Keyboard:
    """The terminal that is standard input."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pressed = asyncio.Event()
        # A thread of its own, not one of the loop's: those are waited for at exit, and a read may last for ever.
        threading.Thread(target=self._read, daemon=True).start()

    @classmethod
    def of(cls, source: Source) -> "Keyboard | None":
        """``None`` where a key cannot mean a flush: a file is not live, and a pipe has no keys."""
        return cls() if isinstance(source, Microphone) and _is_ours() else None

    async def enter(self) -> None:
        """Return once Enter has been pressed since the last time."""
        await self._pressed.wait()
        self._pressed.clear()

    def _read(self) -> None:
        while os.read(sys.stdin.fileno(), 1024) and not self._loop.is_closed():  # a terminal gives whole lines
            self._loop.call_soon_threadsafe(self._pressed.set)


def _is_ours() -> bool:
    """A process in the background that reads its terminal is stopped by it."""
    try:
        terminal = sys.stdin.fileno()
    except (OSError, ValueError, AttributeError):  # closed, or none at all
        return False
    if not os.isatty(terminal) or not hasattr(os, "tcgetpgrp"):
        return os.isatty(terminal)
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:  # a terminal that controls some other program, and does not stop this one
        return True
