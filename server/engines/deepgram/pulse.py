"""Whether the far end of a connection is alive. A socket that nobody reads takes audio for a long time."""

import asyncio
from contextlib import suppress
from typing import cast

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

PINGS = 3
"""Sent in the time in which one sign of life is expected."""


class Pulse:
    """Pings, and breaks the connection off when neither a pong nor a message comes for ``seconds``.

    What is always late is alive: a long way delays all pongs alike. Only before the first one that would be mistaken
    for silence, hence ``grace``: seconds that the handshake has taken, which are several trips there and back.
    """

    def __init__(self, connection: ClientConnection, seconds: float, grace: float) -> None:
        self.stopped = False
        self._connection = connection
        self._interval = seconds / PINGS
        self._grace = grace
        self._heard = False

    def note(self) -> None:
        """Something has come."""
        self._heard = True

    async def watch(self) -> None:
        """Until it has stopped. Silent rounds are counted, not seconds: who was too busy to listen blames nobody."""
        silent = -round(self._grace / self._interval)
        while silent < PINGS - 1:
            self._heard = False
            await self._ping()
            await asyncio.sleep(self._interval)
            silent = 0 if self._heard else silent + 1
        self.stopped = True
        self._connection.transport.abort()

    async def _ping(self) -> None:
        with suppress(ConnectionClosed, TimeoutError):  # the reader says what has happened
            async with asyncio.timeout(self._interval):  # when the socket is full
                pong = cast("asyncio.Future[float]", await self._connection.ping())
                pong.add_done_callback(lambda _: self.note())
