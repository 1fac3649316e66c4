"""The client as it is installed: alone, into an empty environment, with what it needs and nothing more."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import server
import stt_client
from tests.support.fake_engine import said, speech
from tests.support.servers import CLIENT, ROOT, wav_of

UTTERANCES = ((1, 2), (3,))
PROGRAM = """
import asyncio, sys
from stt_client import STTClient

async def main():
    async with STTClient(sys.argv[1]) as client:
        session = await client.create_session()
        with open(sys.argv[2], "rb") as recording:
            await session.send(recording.read())
        for segment in (await session.finish()).segments:
            print(segment.text)

asyncio.run(main())
"""


def test_the_client_has_the_version_of_the_server() -> None:
    assert stt_client.__version__ == server.__version__


def test_the_environment_of_the_project_has_what_the_extras_ask_for() -> None:
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    pinned = (ROOT / "requirements.txt").read_text("utf-8")
    for each in asked:
        assert f"\n{each.split('>=')[0]}==" in pinned


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the client and nothing else. Needs a package index."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    done = subprocess.run(
        [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", CLIENT],
        capture_output=True,
        text=True,
    )
    if "No matching distribution found for hatchling" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    return programs


def run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, env=clean | {"PYTHONUTF8": "1"}, capture_output=True, text=True)


@pytest.mark.timeout(300)
def test_the_sdk_alone_brings_httpx_and_transcribes(environment: Path, fake_server: str, tmp_path: Path) -> None:
    listed = run([environment / "python", "-m", "pip", "list", "--format=freeze"], tmp_path).stdout
    names = {line.split("==")[0].lower() for line in listed.splitlines()}
    assert {"httpx", "httpx-sse", "stt-realtime-client"} <= names
    assert not names & {"rich", "streamlit", "fastapi", "numpy"}
    (tmp_path / "talk.wav").write_bytes(wav_of(speech(*UTTERANCES)))
    (tmp_path / "program.py").write_text(PROGRAM, "utf-8")
    done = run([environment / "python", "program.py", fake_server, "talk.wav"], tmp_path)
    assert (done.stdout.splitlines(), done.stderr) == (said(*UTTERANCES), "")


@pytest.mark.timeout(300)
def test_the_command_without_its_extra_says_what_to_install(environment: Path, tmp_path: Path) -> None:
    done = run([environment / "stt", "talk.wav"], tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr
        == 'stt: the command line needs the package rich: pip install rich, or "./client[cli]" in the repository\n'
    )
