"""The JavaScript client in Node: its own tests, in ``js/``, each reported here by its name."""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from server.engines.base import SAMPLE_RATE
from server.languages import WITHOUT_SPACES
from server.models import SessionConfig
from tests.support import recordings
from tests.support.fake_engine import FakeEngine, FakeRecognizer, said, speech
from tests.support.servers import ROOT, STUCK_SECONDS, run_server, wav_of

FILES = sorted((Path(__file__).parent / "js").glob("*.test.mjs"))
WITH_SERVERS = "real_server.test.mjs"
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
def servers(recording: RecordingEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that tells the tests of real servers where those are, and what is said in which file."""
    folder = tmp_path_factory.mktemp("audio")
    (folder / "noise").write_bytes(NOISE)
    (folder / "audio").write_bytes(speech(*UTTERANCES))
    (folder / "wav").write_bytes(wav_of(speech(*UTTERANCES)))
    (folder / "mp4").write_bytes(recordings.recording("flac", "mp4", SAMPLE_RATE, pcm=speech(*UTTERANCES)))
    with (
        run_server({"fake": FakeEngine(), "recording": recording}, SETTINGS) as url,
        run_server({"fake": FakeEngine()}, SETTINGS) as second,
        run_server({"fake": FakeEngine()}, SETTINGS | {"max_sessions": 1}) as full,
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        taken.close()
        addresses = {"url": url, "second": second, "full": full, "nowhere": nowhere}
        files = {name: str(folder / name) for name in ("noise", "audio", "wav", "mp4", "heard")}
        yield {"STT_TEST_SERVERS": json.dumps({**addresses, **files, "said": said(*UTTERANCES)})}


def in_node(file: Path, environment: dict[str, str]) -> dict[str, str]:
    """What went wrong in each test of the file, by its name: nothing, if all is well."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    command = [node, "--test", "--test-force-exit", "--test-timeout=60000", "--test-reporter=tap", str(file)]
    environment = {name: value for name, value in os.environ.items() if name != "NODE_OPTIONS"} | environment
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=2 * STUCK_SECONDS
    )
    cases = re.findall(r"^(not )?ok \d+ - (.+?)(?: # SKIP .*)?\n((?:  .*\n)*)", done.stdout, re.MULTILINE)
    told = {name: report if failed else "" for failed, name, report in cases}
    assert told and (done.returncode == 0) is not any(told.values()), done.stdout + done.stderr
    return told


@pytest.fixture(scope="module")
def told(servers: dict[str, str]) -> Iterator[dict[str, dict[str, str]]]:
    """What was told of each file that has run."""
    yield {}


def names() -> Iterator["pytest.ParameterSet"]:
    """Those that stand in the files; the ones that a table makes are told with their file."""
    for file in FILES:
        yield pytest.param(file, None, id=file.name.removesuffix(".test.mjs"))
        for name in re.findall(r"^test\('(.+?)',", file.read_text("utf-8"), re.MULTILINE):
            yield pytest.param(file, name, id=f"{file.name.removesuffix('.test.mjs')}: {name}")


@pytest.mark.parametrize(("file", "name"), list(names()))
def test_in_node(file: Path, name: str | None, servers: dict[str, str], told: dict[str, dict[str, str]]) -> None:
    if file.name not in told:
        told[file.name] = in_node(file, servers)
    results = told[file.name]
    if name is None:
        assert {each: wrong for each, wrong in results.items() if wrong} == {}
    else:
        assert results[name] == ""


def test_every_byte_arrived_once_whatever_the_network_did(
    servers: dict[str, str], recording: RecordingEngine, told: dict[str, dict[str, str]]
) -> None:
    if WITH_SERVERS not in told:
        told[WITH_SERVERS] = in_node(FILES[0].parent / WITH_SERVERS, servers)
    assert bytes(recording.heard) == NOISE


def test_the_languages_without_spaces_are_those_of_the_server() -> None:
    script = (ROOT / "server" / "web" / "transcript-formats.js").read_text("utf-8")
    listed = re.search(r"WITHOUT_SPACES = new Set\(\[(.+?)\]\)", script)
    assert listed
    assert set(re.findall(r"'(\w+)'", listed[1])) == WITHOUT_SPACES
