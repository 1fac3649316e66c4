"""A real server in a thread, and what a client does with it."""

import io
import json
import os
import socket
import threading
import wave
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from server.engines.base import Engine
from server.main import create_app
from server.session_log.base import SessionLog
from server.settings import Settings
from tests.fake_engine import FakeEngine

ROOT = Path(__file__).parent.parent
SPEECH_DIR = Path(os.environ.get("STT_SPEECH_DIR") or ROOT.parent / "shared" / "speech")
KOREAN_WAV = ROOT / "samples" / "ko.wav"
KOREAN_TEXT = "그는 이리저리 피하면서 길 한 옆으로 걸어갔다"
LIVE_DEEPGRAM_KEY = os.environ.get("DEEPGRAM_API_KEY", "").strip()
LIVE_DEEPGRAM_URL = os.environ.get("DEEPGRAM_BASE_URL", "wss://api.deepgram.com")
"""For the tests that are marked so; no other sees them."""
FAIL_ON_SKIP = os.environ.get("STT_FAIL_ON_SKIP") == "1"
"""Set by CI: a test that is skipped although this machine could run it fails the run."""
STUCK_SECONDS = 60.0
"""Something that takes so long will never happen."""


def pytest_configure() -> None:
    """No test depends on the environment of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("STT_") or name in ("DEEPGRAM_API_KEY", "DEEPGRAM_BASE_URL", "WEB_CONCURRENCY"):
            del os.environ[name]


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not FAIL_ON_SKIP:
        return
    needless = [each.nodeid for each in reporter.stats.get("skipped", []) if "deepgram" not in each.keywords]
    if needless:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line("skipped, but must run here: " + ", ".join(needless), red=True)


# --- a server -------------------------------------------------------------------------------------------------------


class _Server(uvicorn.Server):
    """Says when it has started, or failed to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.decided = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.decided.set()


@contextmanager
def run_server(
    engines: Mapping[str, Engine] | None = None,
    settings: Mapping[str, Any] | None = None,
    session_log: SessionLog | None = None,
) -> Iterator[str]:
    """The app in a real uvicorn on a free port; gives its base URL. Without ``engines`` it has the real one."""
    app = create_app(settings_of(**(settings or {})), engines, session_log)
    config = uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1)
    server = _Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],), name="server")
        thread.start()
        try:
            assert server.decided.wait(STUCK_SECONDS)
            assert server.started, "the server did not start"
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(STUCK_SECONDS)
    assert not thread.is_alive(), "the server did not stop"


def settings_of(**values: Any) -> Settings:
    """The defaults but for ``values``, whatever the environment says."""
    return Settings(_env_file=None, **values)


@pytest.fixture(scope="session")
def korean_server() -> Iterator[str]:
    """A server with the real embedded engine. It takes seconds to load, so all tests share it.

    It takes the sessions of all of them, however little the machine can do in the moment of its start.
    """
    with run_server(settings={"heartbeat_seconds": 0.2, "vosk_pool": 1, "local_sessions": 64}) as url:
        yield url


@pytest.fixture(scope="module")
def fake_engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture(scope="module")
def fake_server(fake_engine: FakeEngine) -> Iterator[str]:
    """A server with an engine that never fails; the tests of a module share it, each with sessions of its own."""
    with run_server({"fake": fake_engine}, {"heartbeat_seconds": 0.2}) as url:
        yield url


@pytest.fixture
async def http(fake_server: str) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(fake_server) as client:
        yield client


@pytest.fixture
async def korean_http(korean_server: str) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(korean_server) as client:
        yield client


@pytest.fixture(scope="session")
def speech_dir() -> Path:
    if not SPEECH_DIR.is_dir():
        pytest.skip(f"STT_SPEECH_DIR: there are no recordings in {SPEECH_DIR}")
    return SPEECH_DIR


@pytest.fixture(scope="session")
def korean_pcm() -> bytes:
    """3.9 s of Korean: 16 kHz mono PCM."""
    with wave.open(str(KOREAN_WAV)) as recording:
        return bytes(recording.readframes(recording.getnframes()))


@pytest.fixture(scope="session")
def english_pcm(speech_dir: Path) -> bytes:
    """5.9 s of English without a pause: 16 kHz mono PCM."""
    with wave.open(str(speech_dir / "en" / "leopard" / "test.wav")) as recording:
        return bytes(recording.readframes(recording.getnframes()))


def wav_of(pcm: bytes, rate: int = 16_000) -> bytes:
    """A WAV file of mono PCM."""
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(rate)
        recording.writeframes(pcm)
    return file.getvalue()


# --- a client -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """One frame of an event stream; ``id`` is ``None`` for a heartbeat."""

    id: int | None
    type: str
    data: dict[str, Any]
    session_id: str
    timestamp: float


def connect(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=STUCK_SECONDS, trust_env=False)


async def open_session(http: httpx.AsyncClient, **config: Any) -> str:
    answer = await http.post("/sessions", json={"config": config})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["session_id"])


async def upload(http: httpx.AsyncClient, session_id: str, pcm: bytes, offset: int | None = None) -> httpx.Response:
    """One raw body."""
    headers = {"Content-Type": "application/octet-stream"}
    if offset is not None:
        headers["Upload-Offset"] = str(offset)
    return await http.post(f"/sessions/{session_id}/audio", content=pcm, headers=headers)


async def finish(http: httpx.AsyncClient, session_id: str) -> dict[str, Any]:
    """The whole transcript."""
    answer = await http.delete(f"/sessions/{session_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@asynccontextmanager
async def stream(
    http: httpx.AsyncClient, session_id: str, last_event_id: int | str | None = None
) -> AsyncIterator[AsyncIterator[Event]]:
    """The event stream, connected; heartbeats included."""
    headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
    async with http.stream("GET", f"/sessions/{session_id}/stream", headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield events_in(answer)


async def events_in(answer: httpx.Response) -> AsyncIterator[Event]:
    """The frames of an event stream, as they come."""
    event_id, data = None, None
    async for line in answer.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "id":
            event_id = int(value)
        elif field == "data":
            data = json.loads(value)
        elif not line and data is not None:
            yield Event(event_id, data["event_type"], data["data"], data["session_id"], data["timestamp"])
            event_id, data = None, None


async def read_to_end(http: httpx.AsyncClient, session_id: str, last_event_id: int | str | None = None) -> list[Event]:
    """Everything but heartbeats, until the server closes the stream."""
    async with stream(http, session_id, last_event_id) as events:
        return [event async for event in events if event.type != "heartbeat"]


def finals(events: list[Event]) -> list[str]:
    return [event.data["text"] for event in events if event.type == "final"]
