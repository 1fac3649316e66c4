"""Waiting for a condition among the tasks of one event loop."""

import asyncio
from collections.abc import Callable


class Signal:
    """Tells everyone who waits to look again at what they wait for."""

    def __init__(self) -> None:
        self._fired = asyncio.Event()

    def fire(self) -> None:
        self._fired.set()
        self._fired = asyncio.Event()

    async def wait_for(self, condition: Callable[[], object]) -> None:
        """Return once ``condition`` holds; there is no other task between its being true and the return."""
        while not condition():
            await self._fired.wait()
