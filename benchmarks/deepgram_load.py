"""Many sessions on Deepgram at once: what the server adds to each message, and what a session weighs.

    python -m benchmarks.deepgram_load --sessions 200 --seconds 30

Three processes: the Deepgram peer of the tests, which writes the time into each transcript just before it is sent; the
server; and clients that send live audio and read their event streams. The latency of an event is from the peer's
writing to the client's reading, so it has the way through both sockets in it.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import socket
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import uvicorn

from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE
from server.main import create_app
from server.models import Word
from server.settings import Settings
from tests.support.deepgram_peer import KEY, DeepgramPeer
from tests.support.deepgram_speech import Emit, Hypothesis
from tests.support.engine_settings import deepgram_engine

CHUNK_SECONDS = 0.2
FINAL_EVERY = 4
"""Seconds of audio for each final; every second in between has an interim, as Deepgram does."""
RAMP_SECONDS = 5.0
SETTLE_SECONDS = 3.0
PAGE_BYTES = 4096


class TimeTeller:
    """Hears the time of day in any audio."""

    def __init__(self, emit: Emit, endpointing: float, tasks: asyncio.TaskGroup) -> None:
        self._emit = emit
        self._samples = 0
        self._said = 0

    async def hear(self, pcm: bytes) -> None:
        self._samples += len(pcm) // 2
        while self._samples >= (self._said + 1) * SAMPLE_RATE:
            self._said += 1
            await self._tell(settled=self._said % FINAL_EVERY == 0)

    async def flush(self) -> None:
        await self._tell(settled=True)

    async def aclose(self) -> None: ...

    async def _tell(self, *, settled: bool) -> None:
        until = self._samples / SAMPLE_RATE
        text = f"{time.monotonic():.6f}"
        await self._emit(Hypothesis(text, (Word(text, until - 0.5, until, 0.9),), until, settled, settled))


def be_deepgram(port: Connection) -> None:
    async def run() -> None:
        async with DeepgramPeer(transcriber=TimeTeller) as peer:
            port.send(peer.url)
            await asyncio.Event().wait()

    asyncio.run(run())


def be_server(port: Connection, deepgram: str, sessions: int) -> None:
    settings = Settings(_env_file=None, log_level="WARNING", max_sessions=sessions + 1)
    engine = deepgram_engine(deepgram_api_key=KEY, deepgram_base_url=deepgram, deepgram_probe=False)
    with socket.create_server(("127.0.0.1", 0), backlog=sessions * 2) as listening:
        port.send(listening.getsockname()[1])
        config = uvicorn.Config(create_app(settings, {"deepgram": engine}), log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listening])


# --- the clients ----------------------------------------------------------------------------------------------------


@dataclass
class Client:
    """One session over two plain connections; ``late`` has the latency of each event in milliseconds."""

    port: int
    late: list[float] = field(default_factory=list)
    finals: int = 0
    errors: list[str] = field(default_factory=list)

    async def run(self, begin: float, seconds: float, measuring: Callable[[], bool]) -> None:
        await asyncio.sleep(begin)
        session = await self._open()
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(session, measuring))
            await self._send(session, seconds)
            await self._request("DELETE", f"/sessions/{session}")
            await reading

    async def _open(self) -> str:
        answer = await self._request("POST", "/sessions")
        return str(json.loads(answer)["session_id"])

    async def _request(self, method: str, path: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        _, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return body

    async def _send(self, session: str, seconds: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = f"POST /sessions/{session}/audio HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        writer.write(f"{head}Content-Type: application/octet-stream\r\nConnection: close\r\n\r\n".encode())
        chunk = bytes(round(CHUNK_SECONDS * BYTES_PER_SECOND))
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(round(seconds / CHUNK_SECONDS)):
            await asyncio.sleep(began + number * CHUNK_SECONDS - loop.time())
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await reader.read()
        writer.close()

    async def _read(self, session: str, measuring: Callable[[], bool]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET /sessions/{session}/stream HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        async for line in reader:
            if not line.startswith(b"data: "):
                continue
            now = time.monotonic()
            event = json.loads(line[6:])
            match event["event_type"]:
                case "token" | "final" as kind:
                    self.finals += kind == "final"
                    if measuring() and event["data"]["text"]:
                        self.late.append((now - float(event["data"]["text"].split()[-1])) * 1000)
                case "error":
                    self.errors.append(event["data"]["message"])
                case "session_end":
                    break
        writer.close()


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def percentile(values: list[float], percent: float) -> float:
    return sorted(values)[min(len(values) - 1, round(len(values) * percent / 100))]


async def load(port: int, server: int, sessions: int, seconds: float) -> None:
    warm = Client(port)
    await warm.run(0, 2.0, lambda: False)  # what is imported on first use
    empty = resident_bytes(server)
    loop = asyncio.get_running_loop()
    window = (loop.time() + RAMP_SECONDS + SETTLE_SECONDS, loop.time() + seconds)
    clients = [Client(port) for _ in range(sessions)]
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            begin = random.uniform(0, RAMP_SECONDS)
            tasks.create_task(client.run(begin, seconds, lambda: window[0] < loop.time() < window[1]))
        await asyncio.sleep(window[0] - loop.time())
        used = cpu_seconds(server)
        await asyncio.sleep(window[1] - loop.time())
        used = cpu_seconds(server) - used
        full = resident_bytes(server)
    late = [each for client in clients for each in client.late]
    print(f"{sessions} sessions, {seconds:g} s each; {len(late)} events measured")
    print(f"added latency: p50 {statistics.median(late):.1f} ms, p90 {percentile(late, 90):.1f} ms, "
          f"p99 {percentile(late, 99):.1f} ms, max {max(late):.1f} ms")  # fmt: skip
    print(f"memory: {(full - empty) / sessions / 1024:.0f} KiB a session ({empty / 2**20:.0f} MiB without any)")
    print(f"processor: {used / (window[1] - window[0]) / sessions * 1000:.2f} ms a session and second of audio")
    short = sum(client.finals < int(seconds) // FINAL_EVERY for client in clients)
    print(f"errors: {sum(len(client.errors) for client in clients)}; sessions that lack a final: {short}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sessions", type=int, default=200)
    arguments.add_argument("--seconds", type=float, default=30.0)
    asked = arguments.parse_args()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    peer = context.Process(target=be_deepgram, args=(there,), daemon=True)
    peer.start()
    deepgram = here.recv()
    server = context.Process(target=be_server, args=(there, deepgram, asked.sessions), daemon=True)
    server.start()
    port = here.recv()
    try:
        assert server.pid is not None
        asyncio.run(load(port, server.pid, asked.sessions, asked.seconds))
    finally:
        server.terminate()
        peer.terminate()


if __name__ == "__main__":
    main()
