"""One server, and the tasks of the sessions that a program has with it."""

import asyncio
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from stt_client.connection import Connection
from stt_client.feed import Feed
from stt_client.kept_audio import KeptAudio
from stt_client.lineage import Lineage
from stt_client.origin import Origin
from stt_client.retries import RetryPolicy
from stt_client.session import Session
from stt_client.upload import Upload
from stt_client.wire import SessionState, read_state


class STTClient:
    """One server. Use it as an async context manager: it owns the connections and the tasks of each session.

    ``stall_seconds``: an event stream that is silent for so long (heartbeats come each second) is opened anew.
    ``buffer_bytes``: unconfirmed audio that a session takes before ``send`` blocks; ``chunk_bytes``: of one POST;
    ``held_bytes``: confirmed audio that a session holds at most until a final accounts for it.
    Raises ``ValueError`` for an address that is no http(s) URL, or a key that cannot be a header.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        retry: RetryPolicy | None = None,
        stall_seconds: float = 10.0,
        buffer_bytes: int = 1 << 20,
        chunk_bytes: int = 1 << 16,
        held_bytes: int = 1 << 25,
    ) -> None:
        self._connection = Connection(base_url, api_key, transport, retry or RetryPolicy(), stall_seconds)
        self._buffer_bytes = buffer_bytes
        self._chunk_bytes = min(chunk_bytes, buffer_bytes)
        self._held_bytes = held_bytes
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._running:
            task.cancel()
        # The group hears only of cancellation: any other error of the body is to leave as it is, not in a group.
        cancelled = error if isinstance(error, asyncio.CancelledError) else None
        try:
            await self._group.__aexit__(type(cancelled) if cancelled else None, cancelled, trace)
        finally:
            await self._connection.aclose()

    async def create_session(self, **config: Any) -> Session:
        """Open a session; ``config`` are the fields of the server's ``SessionConfig``, each with its default.

        A full server is asked again until the give-up time. A try whose answer was lost leaves a session behind, which
        the server ends when it has been idle.
        """
        document = await self._connection.document("POST", "sessions", json={"config": config})
        state = read_state(document | {"offset": 0})
        return self._session(state, Origin(state.session_id), config, may_reopen=True)

    async def session(self, session: str | Origin) -> Session:
        """Take up a session that exists: ``send`` goes on at the first byte that the server lacks.

        ``session``: its id, or where it may have been reopened the ``origin`` of who had it before. Until it is sent
        to it belongs to someone else, and is not reopened.
        """
        origin = session if isinstance(session, Origin) else Origin(session)
        state = read_state(await self._connection.document("GET", origin.path))
        return self._session(state, origin, state.config, may_reopen=False)

    async def info(self) -> dict[str, Any]:
        """What the server can do, and its limits."""
        return await self._connection.document("GET", "info")

    def _session(self, state: SessionState, origin: Origin, config: dict[str, Any], *, may_reopen: bool) -> Session:
        known: Mapping[str, Any] = {**config, **state.config}
        audio = KeptAudio(origin.offset + state.offset, known, self._held_bytes)
        lineage = Lineage(self._connection, config, origin, audio, may_reopen=may_reopen)
        feed = Feed(self._connection, lineage, self._start)
        upload = Upload(self._connection, lineage, feed, self._buffer_bytes, self._chunk_bytes, self._start)
        return Session(self._connection, state, lineage, feed, upload)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task
