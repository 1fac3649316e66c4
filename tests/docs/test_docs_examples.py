"""The examples in the documents work when they are pasted: each runs for real, against a real server.

``<!-- run -->`` before a block says that it works as it is; ``<!-- run: text -->`` also what its output contains. The
bash blocks of a document are one script, as they are for a reader who pastes one after the other.
"""

import functools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.documents import NAMES, Block, blocks, english
from tests.support.servers import CLIENT, ROOT

DOCUMENTED_URL = "http://localhost:8001"
SHIM = ROOT / "tests" / "support" / "browser_shim.mjs"
EXAMPLE_SECONDS = 60
"""How long an example may take."""


def runnable(language: str) -> list[tuple[str, Block]]:
    return [(name, each) for name in NAMES for each in blocks(english(name)) if each.run and each.language == language]


def scripts(language: str) -> list["pytest.ParameterSet"]:
    """Each block on its own."""
    return [pytest.param(block, id=f"{name}-{n}") for n, (name, block) in enumerate(runnable(language), start=1)]


def output_of(command: list[str], server: str, folder: Path) -> str:
    """What the command prints, run from the repository's root with the venv in front of the path."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(CLIENT))),
        "STT_URL": server,
        "PYTHONUTF8": "1",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=EXAMPLE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where an example runs: it sees the samples and may write files."""
    (tmp_path / "samples").symlink_to(ROOT / "samples", target_is_directory=True)
    return tmp_path


@pytest.mark.parametrize("name", sorted({name for name, _ in runnable("bash")}))
def test_the_shell_commands_of_a_document_work_in_their_order(name: str, korean_server: str, folder: Path) -> None:
    commands = [block for document, block in runnable("bash") if document == name]
    script = "set -eu\n" + "\n".join(block.code for block in commands).replace(DOCUMENTED_URL, korean_server)
    output = output_of(["bash", "-c", script], korean_server, folder)
    for block in commands:
        for expected in block.prints:
            assert expected in output


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("block", scripts("javascript"))
def test_a_javascript_example_works(block: Block, korean_server: str, folder: Path) -> None:
    program = folder / "example.mjs"
    program.write_text(block.code.replace(DOCUMENTED_URL, korean_server), "utf-8")
    output = output_of(["node", "--import", SHIM.as_uri(), str(program)], korean_server, folder)
    for expected in block.prints:
        assert expected in output


@pytest.mark.parametrize("block", scripts("python"))
def test_a_python_example_works(block: Block, korean_server: str, folder: Path) -> None:
    program = folder / "example.py"
    program.write_text(block.code.replace(DOCUMENTED_URL, korean_server), "utf-8")
    output = output_of([sys.executable, str(program)], korean_server, folder)
    for expected in block.prints:
        assert expected in output


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def page_server(folder: Path) -> Iterator[str]:
    """What ``python -m http.server`` does: another origin than the speech server's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_QuietHandler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize("block", scripts("html"))
def test_a_page_example_works_in_a_browser(block: Block, korean_server: str, page_server: str, folder: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    (folder / "page.html").write_text(block.code.replace(DOCUMENTED_URL, korean_server), "utf-8")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{page_server}/page.html")
        page.set_input_files("input", ROOT / "samples" / "ko.wav")
        for expected in block.prints:
            page.get_by_text(expected).first.wait_for(timeout=EXAMPLE_SECONDS * 1000)
        browser.close()
