"""The fixtures that tests of several folders share, and what makes a skipped test a failed one."""

import os
import wave
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from server.engines.deepgram.settings import DeepgramSettings
from server.engines.local.settings import LocalSettings
from server.settings import Settings
from tests.support.engine_settings import local_engine
from tests.support.fake_engine import FakeEngine
from tests.support.servers import FAIL_ON_SKIP, FIELD_DIR, KOREAN_WAV, SPEECH_DIR, run_server
from tests.support.wire import connect


def pytest_configure() -> None:
    """No test depends on the environment of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("STT_") or name in ("DEEPGRAM_API_KEY", "DEEPGRAM_BASE_URL", "WEB_CONCURRENCY"):
            del os.environ[name]
    for settings in (Settings, LocalSettings, DeepgramSettings):
        settings.model_config["env_file"] = None


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not FAIL_ON_SKIP:
        return
    needless = [each.nodeid for each in reporter.stats.get("skipped", []) if "deepgram" not in each.keywords]
    if needless:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line("skipped, but must run here: " + ", ".join(needless), red=True)


@pytest.fixture(scope="session")
def korean_server() -> Iterator[str]:
    """A server with the real embedded engine. It takes seconds to load, so all tests share it.

    It takes the sessions of all of them, however little the machine can do in the moment of its start.
    """
    with run_server({"local": local_engine(vosk_pool=1, local_sessions=64)}, {"heartbeat_seconds": 0.2}) as url:
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
def field_dir() -> Path:
    if not FIELD_DIR.is_dir():
        pytest.skip(f"STT_FIELD_DIR: there are no recordings in {FIELD_DIR}")
    return FIELD_DIR


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
