"""The audio of one session on its way up, and the task that sends it."""

import asyncio
from collections.abc import Callable

import httpx

from stt_client.connection import Connection
from stt_client.errors import RequestRefused, ServerUnavailable, SessionLost, STTClientError, read_document
from stt_client.feed import Feed, TaskStarter
from stt_client.lineage import Lineage
from stt_client.origin import Origin

UPLOAD_TIMEOUT = httpx.Timeout(40.0, connect=5.0)  # longer than a server waits for room before it answers 429


class Upload:
    """Sends what is taken, in order, to the newest session of the lineage."""

    def __init__(
        self,
        connection: Connection,
        lineage: Lineage,
        feed: Feed,
        buffer_bytes: int,
        chunk_bytes: int,
        start_task: TaskStarter,
    ) -> None:
        self._connection = connection
        self._lineage = lineage
        self._feed = feed
        self._audio = lineage.audio
        self._buffer_bytes = buffer_bytes
        self._chunk_bytes = chunk_bytes
        self._start_task = start_task
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._failure: STTClientError | None = None

    async def take(self, audio: bytes) -> None:
        """See :meth:`stt_client.Session.send`."""
        async with self._turn:
            for begin in range(0, len(audio), self._chunk_bytes):
                chunk = audio[begin : begin + self._chunk_bytes]
                await self._wait_until_at_most(self._buffer_bytes - len(chunk))
                self._audio.append(chunk)
                self._lineage.changed.fire()
                if self._task is None:
                    self._task = self._start_task(self._run())

    async def confirmed(self) -> None:
        """Return when everything taken is stored."""
        await self._wait_until_at_most(0)

    def stop(self) -> None:
        if self._task:
            self._task.cancel()
            self._task = None

    async def _wait_until_at_most(self, length: int) -> None:
        await self._wait_for(lambda: self._failure is not None or self._audio.unconfirmed <= length)
        if failure := self._failure:
            if failure.retryable:  # told once; from here on the upload tries again
                self._failure = None
                self._lineage.changed.fire()
            raise failure

    async def _wait_for(self, condition: Callable[[], bool]) -> None:
        await self._lineage.changed.wait_for(condition)

    async def _run(self) -> None:
        while True:
            await self._wait_for(lambda: self._audio.unconfirmed > 0 and self._failure is None)
            try:
                await self._send_all()
            except STTClientError as error:
                self._failure = error
                self._lineage.changed.fire()

    async def _send_all(self) -> None:
        while self._audio.unconfirmed:
            origin, over = self._lineage.origin, None
            async with self._lineage.within(origin):
                try:
                    await self._send_to(origin)
                except (SessionLost, RequestRefused) as error:
                    if error.code not in ("session_not_found", "session_ended"):
                        raise
                    over = error
            if over and not await self._feed.verdict(origin):
                raise over

    async def _send_to(self, origin: Origin) -> None:
        """Send until the server has everything; the offset of each of its answers says where to go on."""
        retries = self._connection.retries()
        while self._audio.unconfirmed:
            error: STTClientError | None = None
            stored = None
            try:
                stored = await self._post_chunk(origin)
            except RequestRefused as refusal:
                error, stored = refusal, refusal.extra.get("offset")
            except ServerUnavailable as unavailable:
                error = unavailable
            moved = isinstance(stored, int) and self._audio.confirm(origin.offset + stored)
            self._lineage.changed.fire()
            if moved:
                retries.reset()
            if error or not moved:
                await retries.wait(error or ServerUnavailable("The server takes the audio but does not store it."))

    async def _post_chunk(self, origin: Origin) -> object:
        """Returns the server's offset: the next byte that it expects."""
        headers = {
            "Upload-Offset": str(self._audio.confirmed - origin.offset),
            "Content-Type": "application/octet-stream",
        }
        answer = await self._connection.ask(
            "POST",
            f"{origin.path}/audio",
            content=self._audio.read(self._chunk_bytes),
            headers=headers,
            timeout=UPLOAD_TIMEOUT,
        )
        return read_document(answer).get("offset")
