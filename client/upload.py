"""The audio of one session on its way up: what is kept until the server confirms it, and the task that sends it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx

from client.connection import Connection, Patience
from client.wire import RequestRefused, ServerUnavailable, SessionLost, STTClientError, read_document

UPLOAD_TIMEOUT = httpx.Timeout(40.0, connect=5.0)  # longer than a server waits for room before it answers 429


class UnconfirmedAudio:
    """Bytes that the server has not confirmed yet; ``start`` is the offset of the first of them."""

    def __init__(self, start: int) -> None:
        self.start = start
        self._pcm = bytearray()

    def __len__(self) -> int:
        return len(self._pcm)

    def append(self, pcm: bytes) -> None:
        self._pcm += pcm

    def first(self, limit: int) -> bytes:
        return bytes(self._pcm[:limit])

    def confirm(self, offset: Any) -> bool:
        """Forget everything before ``offset``; false when that is nothing. Raises :class:`SessionLost`."""
        if not isinstance(offset, int) or not self.start <= offset <= self.start + len(self._pcm):
            raise SessionLost(
                f"The server has {offset} bytes; {self.start} were confirmed, and {len(self._pcm)} more were sent."
            )
        moved = offset > self.start
        del self._pcm[: offset - self.start]
        self.start = offset
        return moved


class Upload:
    """The audio of one session on its way up, and the task that sends it."""

    def __init__(
        self,
        connection: Connection,
        path: str,
        offset: int,
        buffer_bytes: int,
        chunk_bytes: int,
        start_task: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._connection = connection
        self._path = path
        self._audio = UnconfirmedAudio(offset)
        self._buffer_bytes = buffer_bytes
        self._chunk_bytes = chunk_bytes
        self._start_task = start_task
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._failure: STTClientError | None = None

    @property
    def start(self) -> int:
        return self._audio.start

    @property
    def kept_bytes(self) -> int:
        return len(self._audio)

    async def take(self, pcm: bytes) -> None:
        """See :meth:`client.stt_client.Session.send`."""
        async with self._turn:
            for begin in range(0, len(pcm), self._chunk_bytes):
                chunk = pcm[begin : begin + self._chunk_bytes]
                async with self._changed:
                    await self._wait_until_at_most(self._buffer_bytes - len(chunk))
                    self._audio.append(chunk)
                    self._changed.notify_all()
                if self._task is None:
                    self._task = self._start_task(self._run())

    async def flush(self) -> None:
        async with self._changed:
            await self._wait_until_at_most(0)

    def stop(self) -> None:
        if self._task:
            self._task.cancel()
            self._task = None

    async def _wait_until_at_most(self, length: int) -> None:
        await self._changed.wait_for(lambda: self._failure or len(self._audio) <= length)
        if failure := self._failure:
            if failure.retryable:  # told once; from here on the upload tries again
                self._failure = None
                self._changed.notify_all()
            raise failure

    async def _run(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: len(self._audio) > 0 and self._failure is None)
            try:
                await self._send_all()
            except STTClientError as error:
                async with self._changed:
                    self._failure = error
                    self._changed.notify_all()

    async def _send_all(self) -> None:
        patience = Patience(self._connection)
        while len(self._audio):
            error: STTClientError | None = None
            stored: Any = self._audio.start
            try:
                stored = await self._post_chunk()
            except RequestRefused as refusal:
                if refusal.code == "backlog_full":  # no failure: the recognizer will catch up
                    patience.reset()
                refusal.retryable = refusal.retryable or refusal.code == "offset_mismatch"
                error, stored = refusal, refusal.extra.get("offset", stored)
            except ServerUnavailable as unavailable:
                error = unavailable
            async with self._changed:
                moved = self._audio.confirm(stored)
                self._changed.notify_all()
            if moved:
                patience.reset()
            if error or not moved:
                await patience.wait(error or ServerUnavailable("The server takes the audio but does not store it."))

    async def _post_chunk(self) -> Any:
        headers = {"Upload-Offset": str(self._audio.start), "Content-Type": "application/octet-stream"}
        chunk = self._audio.first(self._chunk_bytes)
        answer = await self._connection.ask("POST", self._path, content=chunk, headers=headers, timeout=UPLOAD_TIMEOUT)
        return read_document(answer).get("offset")
