"""The JavaScript client against real servers, in Node. The tests themselves are in ``stt_client_js.mjs``."""

import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from server.engines.base import SAMPLE_RATE
from server.models import SessionConfig
from tests.support import recordings
from tests.support.fake_engine import FakeEngine, FakeRecognizer, said, speech
from tests.support.servers import STUCK_SECONDS, run_server, wav_of

TESTS = Path(__file__).parent / "stt_client_js.mjs"
NAMES = re.findall(r"^    async '(.+)'\(", TESTS.read_text("utf-8"), re.MULTILINE)
EVERY_BYTE = "every byte arrives once, whatever the network does"
RESTART = "what a restarted server had not finished is told again to a new session"
UTTERANCES = ((1, 2), (3,), (4, 5, 6), (7, 8))
NOISE = Random(5).randbytes(200_000)
SETTINGS = {"heartbeat_seconds": 0.2}


@dataclass
class RecordingEngine(FakeEngine):
    """Remembers what it heard, and says nothing."""

    heard: bytearray = field(default_factory=bytearray)

    @asynccontextmanager
    async def open(self, config: SessionConfig, start: float) -> AsyncIterator[FakeRecognizer]:
        yield _Recording(self, start)


class _Recording(FakeRecognizer):
    def __init__(self, engine: RecordingEngine, start: float) -> None:
        super().__init__(engine, start)
        self._heard = engine.heard

    async def send_audio(self, pcm: bytes) -> None:
        self._heard += pcm


@pytest.fixture(scope="module")
def recording() -> RecordingEngine:
    return RecordingEngine()


@pytest.fixture(scope="module")
def given(recording: RecordingEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What each test is told: servers, files, and what is said in them."""
    folder = tmp_path_factory.mktemp("audio")
    (folder / "noise").write_bytes(NOISE)
    (folder / "speech").write_bytes(speech(*UTTERANCES))
    (folder / "speech.wav").write_bytes(wav_of(speech(*UTTERANCES)))
    (folder / "speech.mp4").write_bytes(recordings.recording("flac", "mp4", SAMPLE_RATE, pcm=speech(*UTTERANCES)))
    with (
        run_server({"fake": FakeEngine(), "recording": recording}, SETTINGS) as url,
        run_server({"fake": FakeEngine()}, SETTINGS | {"max_sessions": 1}) as full,
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        taken.close()
        yield {
            "url": url,
            "full": full,
            "nowhere": nowhere,
            "audio": str(folder / "speech"),
            "wav": str(folder / "speech.wav"),
            "mp4": str(folder / "speech.mp4"),
            "said": said(*UTTERANCES),
            "noise": str(folder / "noise"),
        }


def in_node(name: str, given: dict[str, Any], answer: Callable[[str], Any]) -> dict[str, Any]:
    """Run one test; ``answer`` is called with what it asks for meanwhile."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    command = [node, "--unhandled-rejections=strict", str(TESTS), name, json.dumps(given)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as running:
        assert running.stdin and running.stdout and running.stderr
        patience = threading.Timer(STUCK_SECONDS, running.kill)
        patience.start()
        told: dict[str, Any] = {}
        for line in running.stdout:
            told = json.loads(line)
            if "ask" in told:
                running.stdin.write(json.dumps(answer(told["ask"])) + "\n")
                running.stdin.flush()
        complaints = running.stderr.read()
        patience.cancel()
        assert running.wait() == 0, complaints
    return told


def asks_nothing(what: str) -> None:
    raise AssertionError(what)


def test_the_tests_are_found() -> None:
    assert {EVERY_BYTE, RESTART} < set(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (EVERY_BYTE, RESTART)])
def test_in_node(name: str, given: dict[str, Any]) -> None:
    in_node(name, given, asks_nothing)


def test_every_byte_arrives_once_whatever_the_network_does(given: dict[str, Any], recording: RecordingEngine) -> None:
    in_node(EVERY_BYTE, given | {"audio": given["noise"]}, asks_nothing)
    assert bytes(recording.heard) == NOISE


def test_what_a_restarted_server_had_not_finished_is_told_again(given: dict[str, Any]) -> None:
    with ExitStack() as servers:

        def restart(_: str) -> str:
            servers.close()
            return servers.enter_context(run_server({"fake": FakeEngine()}, SETTINGS))

        in_node(RESTART, given | {"url": restart("start it")}, restart)
