"""Whether the far end of a connection is alive. A socket that nobody reads takes audio for a long time."""

import asyncio
from contextlib import suppress
from typing import cast

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

PINGS = 2
"""Pings in a row without an answer that are one sign of a dead connection."""
INTERVALS = 5
"""Intervals between pings without a message that are the other sign: Deepgram says something every second while one
speaks. Both signs together are proof."""


class Pulse:
    """Pings every ``interval`` seconds, and breaks off a connection over which neither a pong nor a message comes.

    A connection whose pongs are all late is alive: a long way delays them alike. Before the first pong that would look
    like silence, hence ``grace``: the seconds that the handshake has taken, which are several trips there and back.
    """

    def __init__(self, connection: ClientConnection, interval: float, grace: float) -> None:
        self.stopped = False
        self._connection = connection
        self._interval = interval
        self._grace = grace
        self._unanswered = 0
        self._quiet = 0

    def note_message(self) -> None:
        self._unanswered = self._quiet = 0

    async def watch(self) -> None:
        """Return once the pulse has stopped. Counts intervals, not seconds: it may be us who were too busy."""
        self._unanswered = -round(self._grace / self._interval)
        while self._unanswered < PINGS or self._quiet < INTERVALS:
            self._unanswered += 1
            self._quiet += 1
            await self._ping()
            await asyncio.sleep(self._interval)
        self.stopped = True
        self._connection.transport.abort()

    def _note_pong(self, _: object) -> None:
        self._unanswered = 0

    async def _ping(self) -> None:
        with suppress(ConnectionClosed, TimeoutError):  # the reader says what has happened
            async with asyncio.timeout(self._interval):  # for when the socket is full
                pong = cast("asyncio.Future[float]", await self._connection.ping())
                pong.add_done_callback(self._note_pong)
