"""Live sessions that cost their maker as little as can be: prepared bytes, two plain connections for each session."""

import asyncio
import base64
import json
import os
import re
import struct
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.gateway_server import CHUNK_BYTES

HOST = "127.0.0.1"
CHUNK_SECONDS = 0.1
HEAD_BYTES = 6
"""First bytes of each chunk: they hold its number and are whole in base64. The rest is the same in all chunks."""
REST = base64.b64encode(os.urandom(CHUNK_BYTES - HEAD_BYTES))
END_SECONDS = 60.0
"""How long a session may take to end before what it still owes counts as lost."""
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
NUMBER = re.compile(rb'"text": ?"(\d+) ')


@dataclass
class Record:
    """What all sessions have seen so far. ``latencies`` are seconds from an upload's writing to its event's reading."""

    latencies: list[float] = field(default_factory=list)
    read_bytes: int = 0
    answers: int = 0
    errors: list[str] = field(default_factory=list)


class LiveSession:
    """Ten uploads a second from :meth:`start` to :meth:`stop`, each expected to be answered and to cause an event."""

    def __init__(self, path: str, record: Record) -> None:
        self._path = path
        self._record = record
        self._number = 0
        self._unseen: deque[tuple[int, float]] = deque()
        self._unanswered = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._uploads: asyncio.Transport
        self._all_answered = asyncio.Event()
        self._stream_ended = asyncio.Event()

    async def connect(self, port: int) -> None:
        self._uploads, _ = await self._loop.create_connection(lambda: Answers(self), HOST, port)
        stream, _ = await self._loop.create_connection(lambda: Events(self), HOST, port)
        stream.write(b"GET %b/stream HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n" % self._path.encode())

    def start(self, at: float) -> None:
        """Upload from ``at`` on, a time of the event loop."""
        self._timer = self._loop.call_at(at, self._upload, at)

    def stop(self) -> None:
        assert self._timer is not None
        self._timer.cancel()

    def _upload(self, due: float) -> None:
        self._timer = self._loop.call_at(due + CHUNK_SECONDS, self._upload, due + CHUNK_SECONDS)
        offset = self._number * CHUNK_BYTES
        self._number += 1
        head = base64.b64encode(struct.pack("<HHH", self._number, 0, 0))
        body = b'{"audio_data":"%b%b","offset":%d}' % (head, REST, offset)
        self._unseen.append((self._number, time.perf_counter()))
        self._unanswered += 1
        self._all_answered.clear()
        self._uploads.write(
            b"POST %b/audio HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (self._path.encode(), len(body), body)
        )

    def answered(self, status: bytes) -> None:
        self._unanswered -= 1
        self._record.answers += 1
        if not self._unanswered:
            self._all_answered.set()
        if status != b"200":
            self._record.errors.append(f"an upload was answered {status.decode()}")

    def seen(self, numbers: list[bytes], size: int) -> None:
        """Events that tell these numbers were read; an interim that never came was superseded by the next event."""
        now = time.perf_counter()
        self._record.read_bytes += size
        for number in numbers:
            while self._unseen and self._unseen[0][0] <= int(number):
                self._record.latencies.append(now - self._unseen.popleft()[1])

    def stream_ended(self) -> None:
        self._stream_ended.set()

    async def finish(self, port: int) -> None:
        """End the session and read its last events; what is missing then counts as an error."""
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._all_answered.wait()
                await request(port, "DELETE", self._path)
                await self._stream_ended.wait()
        except TimeoutError:
            self._record.errors.append("a session did not end")
        self._uploads.close()
        if self._unseen or self._unanswered:
            self._record.errors.append(f"{len(self._unseen)} events, {self._unanswered} answers did not come")


class Answers(asyncio.Protocol):
    """The keep-alive connection of a session's uploads."""

    def __init__(self, session: LiveSession) -> None:
        self._session = session
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (found := self._rest.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self._rest, 0, found)
            end = found + 4 + (int(length[1]) if length else 0)
            if len(self._rest) < end:
                return
            self._session.answered(self._rest[9:12])
            self._rest = self._rest[end:]


class Events(asyncio.Protocol):
    """The connection of a session's event stream; it is closed by the server at the end."""

    def __init__(self, session: LiveSession) -> None:
        self._session = session
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        whole, separator, self._rest = (self._rest + data).rpartition(b"\n\n")
        if separator:
            self._session.seen(NUMBER.findall(whole), len(data))

    def connection_lost(self, error: Exception | None) -> None:
        self._session.stream_ended()


async def request(port: int, method: str, path: str) -> bytes:
    """The body of the answer to one request on a connection of its own. Raises :class:`RuntimeError` if it is none."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if head[9:10] != b"2":
        raise RuntimeError(f"{method} {path} was answered {answer[:500]!r}")
    return body


@asynccontextmanager
async def live_sessions(port: int, count: int, record: Record) -> AsyncIterator[None]:
    """``count`` sessions that upload all the time, evenly spread over the tenth of a second; finished at the end."""
    sessions = []
    for _ in range(count):
        opened = json.loads(await request(port, "POST", "/sessions"))
        session = LiveSession(f"/sessions/{opened['session_id']}", record)
        await session.connect(port)
        sessions.append(session)
    now = asyncio.get_running_loop().time()
    for index, session in enumerate(sessions):
        session.start(now + CHUNK_SECONDS * index / count)
    yield
    for session in sessions:
        session.stop()
    async with asyncio.TaskGroup() as ends:
        for session in sessions:
            ends.create_task(session.finish(port))
