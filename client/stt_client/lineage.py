"""The sessions on the server that one session of the caller goes through: the newest, and how it is replaced."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from stt_client.connection import Connection
from stt_client.errors import SessionLost
from stt_client.event_buffer import EventBuffer
from stt_client.kept_audio import KeptAudio
from stt_client.origin import TIME_DIGITS, Origin
from stt_client.signal import Signal
from stt_client.wire import Event, read_state

MAX_REOPENINGS = 5
LONG_LIVED_SECONDS = 60.0
"""A session that has lived so long was no failure, although nobody spoke."""


class Lineage:
    """``origin`` is the newest session. ``may_reopen``: the audio is ours, so a lost session is replaced."""

    def __init__(
        self, connection: Connection, config: dict[str, Any], origin: Origin, audio: KeptAudio, *, may_reopen: bool
    ) -> None:
        self.changed = Signal()
        self.origin = origin
        self.audio = audio
        self.events = EventBuffer(origin, self.changed)
        self.may_reopen = may_reopen
        self.finishing = False
        """No more audio comes."""
        self._connection = connection
        self._config = config
        self._scopes: set[asyncio.Timeout] = set()
        self._reopenings = 0
        self._born = 0.0

    @asynccontextmanager
    async def within(self, origin: Origin) -> AsyncIterator[None]:
        """Leave the block, wherever it waits, as soon as the session is replaced or ``leave`` is called."""
        scope = asyncio.timeout(None if self.origin is origin else 0)
        try:
            async with scope:
                self._scopes.add(scope)
                yield
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            self._scopes.discard(scope)

    def leave(self) -> None:
        """Have everyone who is ``within`` a session look again at which one it is."""
        now = asyncio.get_running_loop().time()
        for scope in self._scopes:
            if not scope.expired():
                scope.reschedule(now)
        self._scopes.clear()

    def take(self, event: Event, origin: Origin) -> None:
        """An event of the newest session has come."""
        before = self.events.through
        self.events.take(event, origin)
        if self.events.through > before:
            self.audio.account(self.events.through)
            self._reopenings = 0
            self.changed.fire()

    async def reopen(self, reason: str) -> None:
        """Open a new session for the audio that no final accounts for.

        Raises :class:`SessionLost` where that cannot be or has been of no use, and the errors of opening a session.
        """
        if not self.may_reopen:
            raise SessionLost("The server does not know the session. It may have expired.")
        self.audio.check_rewind()
        now = asyncio.get_running_loop().time()
        if now - self._born > LONG_LIVED_SECONDS:
            self._reopenings = 0
        if self._reopenings >= MAX_REOPENINGS:
            raise SessionLost(
                f"The session was lost {self._reopenings + 1} times without a final in between: {reason}."
            )
        if self._reopenings:
            await asyncio.sleep(self._connection.retry.delay(self._reopenings))
        config = self._config | self.audio.raw_encoding
        document = await self._connection.document("POST", "sessions", json={"config": config})
        state = read_state(document | {"offset": 0})
        self._reopenings += 1
        self._born = asyncio.get_running_loop().time()
        self._replace(state.session_id, reason)

    def _replace(self, session_id: str, reason: str) -> None:
        """One step: no other task sees anything of it half done."""
        previous, events = self.origin.session_id, self.events
        offset, seconds = self.audio.rewind()
        begin = round(max(seconds, events.through), TIME_DIGITS)
        event_id = events.last_id + 1
        self.origin = Origin(session_id, offset, seconds, event_id, events.through, tuple(events.finals))
        data = {"session_id": session_id, "previous": previous, "reason": reason, "from_seconds": begin}
        events.add(Event("session_reopened", data, time.time(), session_id, event_id))
        self.leave()
        self.changed.fire()
