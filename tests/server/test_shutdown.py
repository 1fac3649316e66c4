"""A server that is told to stop ends every session, tells every viewer, and goes."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import httpx
import pytest

from server.engines.base import Capabilities
from server.errors import CannotStart, Draining
from server.lifecycle import refuse_separate_processes
from server.models import SessionConfig
from server.observe.metrics import Metrics
from server.session_log.base import Lease
from server.session_log.memory import MemorySessionLog
from server.streaming_manager import StreamingSessionManager
from tests.support.fake_engine import FakeEngine, speech
from tests.support.servers import ROOT, STUCK_SECONDS, run_server, settings_of
from tests.support.wire import Event, connect, finals, open_session, stream, upload

UVICORN = [sys.executable, "-m", "uvicorn", "server.main:app", "--port", "0"]
FAKE_SERVER = """
import sys, uvicorn
from server.engines.base import BYTES_PER_SECOND
from server.main import create_app
from server.settings import Settings
from tests.support.fake_engine import FakeEngine, Fault

faults = [Fault(where=sys.argv[1], times=None)] if sys.argv[1] else []
engine = FakeEngine(faults, say=lambda number: f"말{number}" * int(sys.argv[2]))
uvicorn.run(create_app(Settings(_env_file=None, drain_seconds=0.2, max_backlog_seconds=60), {"fake": engine}), port=0)
"""
STOP_SECONDS = 5.0
"""The service promises two; a machine that is busy with other things gets more."""


class Server:
    """A server in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url
        self.log = b""

    async def stop(self, number: signal.Signals) -> float:
        """Send the signal; the seconds until the process has ended."""
        begun = time.monotonic()
        self.process.send_signal(number)
        assert self.process.stderr
        async with asyncio.timeout(STUCK_SECONDS):
            self.log += await self.process.stderr.read()
            await self.process.wait()
        return time.monotonic() - begun


@asynccontextmanager
async def server_process(*command: str) -> AsyncIterator[Server]:
    """The server, ready; killed afterwards if it still runs."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    assert process.stderr
    try:
        async with asyncio.timeout(STUCK_SECONDS):
            while not (found := re.search(rb"running on (http://[\d.:]+)", await process.stderr.readline())):
                assert process.returncode is None
        yield Server(process, found[1].decode())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.stderr.read()
        await process.wait()


def fake_server(hangs_in: str = "", talkative: int = 1) -> list[str]:
    return [sys.executable, "-c", FAKE_SERVER, hangs_in, str(talkative)]


async def watch(http: httpx.AsyncClient, session_id: str, connected: asyncio.Event) -> list[Event]:
    """All events of a session's stream; ``connected`` is set by the first one that is not a heartbeat."""
    seen = []
    async with stream(http, session_id) as events:
        async for event in events:
            if event.type != "heartbeat":
                seen.append(event)
                connected.set()
    return seen


@pytest.mark.timeout(150)
async def test_a_terminated_server_ends_its_sessions_and_goes(
    korean_pcm: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async with server_process(*UVICORN) as server, connect(server.url) as http, asyncio.TaskGroup() as tasks:
        viewers = []
        for _ in range(3):
            session_id, connected = await open_session(http), asyncio.Event()
            viewers.append(tasks.create_task(watch(http, session_id, connected)))
            tasks.create_task(talk_until_refused(server.url, session_id, korean_pcm))
            await connected.wait()
        seconds = await server.stop(signal.SIGTERM)
        for viewer in viewers:
            events = await viewer
            assert (events[-1].type, events[-1].data) == ("session_end", {"reason": "server_shutdown"})
            assert [event.type for event in events].count("session_end") == 1
    with capsys.disabled():
        sys.stdout.write(f" [stopped in {seconds:.2f} s] ")
    assert seconds < STOP_SECONDS
    assert b"Traceback" not in server.log, server.log.decode()


async def talk_until_refused(url: str, session_id: str, pcm: bytes) -> None:
    """A live microphone: one body without an end, a tenth of a second of audio at a time."""

    async def microphone() -> AsyncIterator[bytes]:
        while True:
            for start in range(0, len(pcm), 3_200):
                yield pcm[start : start + 3_200]
                await asyncio.sleep(0.02)

    async with connect(url) as http:
        with contextlib.suppress(httpx.TransportError):  # the server hung up in the middle of the body
            answer = await http.post(
                f"/sessions/{session_id}/audio",
                content=microphone(),
                headers={"Content-Type": "application/octet-stream"},
            )
            assert answer.json()["code"] == "session_ended"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
async def test_the_last_words_come_before_the_end(number: signal.Signals) -> None:
    async with server_process(*fake_server()) as server, connect(server.url) as http, asyncio.TaskGroup() as tasks:
        session_id, connected = await open_session(http), asyncio.Event()
        viewer = tasks.create_task(watch(http, session_id, connected))
        await upload(http, session_id, speech([1]) + speech([2, 3])[:20_000])
        await connected.wait()
        assert await server.stop(number) < STOP_SECONDS
        events = await viewer
    assert finals(events) == ["말1", "말2 말3"]
    assert (events[-1].type, events[-1].data["reason"]) == ("session_end", "server_shutdown")
    assert b"Traceback" not in server.log, server.log.decode()
    assert b"Application shutdown complete" in server.log


@pytest.mark.parametrize("hangs_in", ["finish", "send", "open"])
async def test_a_recognizer_that_hangs_does_not_keep_the_server(hangs_in: str) -> None:
    async with server_process(*fake_server(hangs_in)) as server, connect(server.url) as http:
        async with asyncio.TaskGroup() as tasks, stream(http, await open_session(http)) as events:
            first = await anext(events)
            await upload(http, first.session_id, speech([1]))
            deleting = tasks.create_task(http.delete(f"/sessions/{first.session_id}"))
            await anext(events)
            assert await server.stop(signal.SIGTERM) < STOP_SECONDS
            assert [event.type async for event in events][-1] == "session_end"
        assert deleting.result().status_code == 200


async def test_a_viewer_that_never_reads_does_not_keep_the_server() -> None:
    async with server_process(*fake_server(talkative=5_000)) as server, connect(server.url) as http:
        session_id = await open_session(http)
        address = httpx.URL(server.url)
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            stalled.connect((address.host, address.port))
            stalled.sendall(f"GET /sessions/{session_id}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await upload(http, session_id, speech(*([number] for number in range(1, 301)), seconds=0.1))
            async with stream(http, session_id) as events:  # everything that there is to say has been said
                async for event in events:
                    if event.type == "final" and event.data["text"].startswith("말300"):
                        break
            assert await server.stop(signal.SIGTERM) < STOP_SECONDS


async def test_an_upload_that_pauses_does_not_keep_the_server() -> None:
    async with server_process(*fake_server()) as server, connect(server.url) as http:
        session_id = await open_session(http)
        address = httpx.URL(server.url)
        _, writer = await asyncio.open_connection(address.host, address.port)
        head = f"POST /sessions/{session_id}/audio HTTP/1.1\r\nHost: localhost\r\nContent-Length: 64000\r\n"
        writer.write(f"{head}Content-Type: audio/wav\r\n\r\n".encode() + speech([1]))
        async with stream(http, session_id) as events:
            async for event in events:
                if event.type == "final":
                    break
        assert await server.stop(signal.SIGTERM) < STOP_SECONDS
        writer.close()


class VanishingLog(MemorySessionLog):
    """Fails whoever wants to recognise."""

    async def claim(self, owner: str, engines: Collection[str], wait: float) -> Lease | None:
        raise ConnectionError("the log is gone")


async def test_a_server_whose_recognition_half_has_died_does_not_look_alive() -> None:
    with run_server({"fake": FakeEngine()}, session_log=VanishingLog()) as url:
        async with connect(url) as http:
            assert (await http.get("/health")).status_code == 503
            assert (await http.post("/sessions")).status_code == 503


async def test_a_server_that_stops_opens_no_session() -> None:
    capabilities = {"fake": Capabilities(frozenset({"ko"}))}
    manager = StreamingSessionManager(MemorySessionLog(), capabilities, settings_of(), Metrics())
    manager.draining = True
    with pytest.raises(Draining) as refusal:
        await manager.open(SessionConfig())
    assert (refusal.value.status, refusal.value.code) == (503, "draining")
    assert refusal.value.retry_after


@pytest.mark.parametrize("arguments", [["--workers", "2"], ["--workers=2"], ["--port", "1", "--workers", "4"]])
def test_several_workers_are_refused(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["uvicorn", "server.main:app", *arguments])
    with pytest.raises(CannotStart):
        refuse_separate_processes(settings_of(), MemorySessionLog())


async def test_a_process_that_others_would_join_says_what_to_do_and_goes() -> None:
    process = await asyncio.create_subprocess_exec(
        *UVICORN,
        cwd=ROOT,
        env=os.environ | {"WEB_CONCURRENCY": "2"},
        stderr=asyncio.subprocess.STDOUT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(STUCK_SECONDS / 2):
            output, _ = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
            await process.communicate()
    assert b"start one worker (no --workers, WEB_CONCURRENCY=1)" in output
    assert b"Traceback" not in output


def test_importing_the_app_neither_reads_the_command_line_nor_exits() -> None:
    code = "import sys; sys.argv = ['uvicorn', '--workers', '4']; import server.main; print(server.main.app.title)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=STUCK_SECONDS)
    assert done.returncode == 0, done.stderr
    assert "speech-to-text" in done.stdout
