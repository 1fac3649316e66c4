"""The one task that reads the events of a session, replaces the session when it is lost, and tells its readers."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from functools import partial
from typing import Any

from stt_client.codes import Action, on_answer, on_reason
from stt_client.connection import Connection
from stt_client.errors import SessionLost, STTClientError
from stt_client.lineage import Lineage
from stt_client.origin import Origin
from stt_client.wire import Event

TaskStarter = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
ALL_RECOGNISED = ("idle_timeout", "max_duration")
"""Reasons with which a session ends only when all of its audio is recognised."""

SILENT_SECONDS = 2.0
"""Heartbeats come each second."""


class Feed:
    """``over``: nothing comes any more. ``failure``: why the events cannot be read at the moment."""

    def __init__(self, connection: Connection, lineage: Lineage, start_task: TaskStarter) -> None:
        self.over = False
        self.failure: STTClientError | None = None
        self._connection = connection
        self._lineage = lineage
        self._start_task = start_task
        self._task: asyncio.Task[None] | None = None
        self._heard = 0.0
        self._idle = False

    def start(self) -> None:
        """Read, if that is not going on already; after an error that another try can help, read on."""
        if self.over or (self._task and not self._task.done()):
            return
        if self.failure and not self.failure.retryable:
            return
        self.failure = None
        self._task = self._start_task(self._run())

    async def verdict(self, origin: Origin) -> bool:
        """Whether a session that takes no more requests has been replaced. Raises what made that impossible."""
        self.start()
        lineage = self._lineage
        if asyncio.get_running_loop().time() - self._heard > SILENT_SECONDS:
            lineage.leave()  # it may wait between two tries, and need not any longer

        def decided() -> bool:
            idle = self._idle and not lineage.audio.is_unaccounted
            return lineage.origin is not origin or self.over or self.failure is not None or idle

        await lineage.changed.wait_for(decided)
        if lineage.origin is origin and self.failure:
            raise self.failure
        return lineage.origin is not origin

    async def answer(self, origin: Origin, mark: int) -> str | None:
        """The text that answers a flush at this offset; also ``None`` when the session is replaced or over first."""
        answers, lineage = self._lineage.events.answers, self._lineage
        await lineage.changed.wait_for(
            lambda: mark in answers or lineage.origin is not origin or self.over or self.failure
        )
        if self.failure and mark not in answers:
            raise self.failure
        return answers.get(mark)

    async def events(self, after: int, heartbeats: bool) -> AsyncGenerator[Event, None]:
        """See :meth:`stt_client.Session.events`."""
        self.start()
        buffer, position, beats = self._lineage.events, 0, 0
        event: Event | None
        while True:
            if position < buffer.first:
                async with aclosing(self._dropped(after)) as dropped:
                    async for event in dropped:
                        after = event.id or after
                        yield event
                position = buffer.first
            elif event := buffer.at(position):
                position += 1
                if event.id is None or event.id > after:
                    after = event.id or after
                    yield event
            elif heartbeats and beats != buffer.heartbeats and buffer.heartbeat:
                beats = buffer.heartbeats
                yield buffer.heartbeat
            elif self.over:
                return
            elif self.failure:
                raise self.failure
            else:
                seen = beats if heartbeats else None
                await self._lineage.changed.wait_for(partial(self._has_news, position, seen))

    def _has_news(self, position: int, heartbeats: int | None) -> bool:
        buffer = self._lineage.events
        news = position < buffer.first or buffer.at(position) is not None or heartbeats not in (None, buffer.heartbeats)
        return news or self.over or self.failure is not None

    async def _dropped(self, after: int) -> AsyncGenerator[Event, None]:
        """What the buffer does not hold any more: from the server, or of a lost session its finals."""
        origin, until = self._lineage.origin, self._lineage.events.dropped_id
        for final in origin.finals:
            if final.id is not None and after < final.id <= min(until, origin.event_id):
                after = final.id
                yield final
        after = max(after, origin.event_id)
        if after >= until:
            return
        async with aclosing(self._connection.events(f"{origin.path}/stream", after - origin.event_id)) as events:
            async for event in events:
                placed = origin.place(event)
                if placed.id is not None and placed.id > until:
                    return
                if event.event_type != "heartbeat" and not origin.is_repeated(placed.data):
                    yield placed

    async def _run(self) -> None:
        try:
            while not self.over:
                await self._follow(self._lineage.origin)
        except STTClientError as error:
            self.failure = error
        except asyncio.CancelledError:
            self.failure = SessionLost("The client was closed.")
            raise
        finally:
            self._lineage.changed.fire()

    async def _follow(self, origin: Origin) -> None:
        """Read one session to its end, and replace it if more is to be said."""
        lineage, lost, end, read_to_end = self._lineage, "", None, False
        async with lineage.within(origin):
            try:
                end = await self._read(origin)
                read_to_end = True
            except SessionLost as error:
                if on_answer(error.code) is not Action.REOPEN or not lineage.may_reopen:
                    raise
                lost = error.code
        if lineage.origin is not origin:
            return
        if lost:
            await lineage.reopen(lost)
        elif end and await self._goes_on(reason := str(end.data.get("reason"))):
            await lineage.reopen(reason)
        elif read_to_end:
            self.over = True
            if end:
                lineage.take(end, origin)

    async def _read(self, origin: Origin) -> Event | None:
        """Hand over events until the ``session_end``, which is returned; ``None`` if it was handed over before."""
        after = self._lineage.events.last_id - origin.event_id
        async with aclosing(self._connection.events(f"{origin.path}/stream", after)) as events:
            async for event in events:
                self._heard = asyncio.get_running_loop().time()
                if event.event_type == "session_end":
                    return event
                self._lineage.take(event, origin)
        return None

    async def _goes_on(self, reason: str) -> bool:
        """Whether a session that has ended for this reason is replaced; waits for more audio, or for its end."""
        lineage = self._lineage
        if on_reason(reason) is not Action.REOPEN or not lineage.may_reopen:
            return False
        if reason in ALL_RECOGNISED:
            lineage.audio.account_for_stored()
        self._idle = True
        lineage.changed.fire()
        await lineage.changed.wait_for(
            lambda: lineage.finishing or lineage.audio.is_unaccounted or not lineage.may_reopen
        )
        self._idle = False
        return lineage.may_reopen and lineage.audio.is_unaccounted
