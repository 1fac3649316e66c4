"""The original quick start's JavaScript works as it was written: in Node, and in a browser on a page of its own."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.support.browser import chromium, needs_chromium
from tests.support.servers import ROOT, STUCK_SECONDS

SHIM = ROOT / "tests" / "support" / "browser_shim.mjs"
FLOW = ROOT / "tests" / "server" / "original_flow.mjs"
IN_THE_PAGE = """async (server) => {
    const { originalFlow, base64EncodeAudio, pcmOf } = await import('/tests/server/original_flow.mjs');
    const printed = [];
    const { eventSource, session_id } = await originalFlow({
        fetch: (path, options) => fetch(new URL(path, server), options),
        EventSource: class extends EventSource { constructor(path) { super(new URL(path, server)); } },
        console: { log: (...words) => printed.push(words.join(' ')) },
        base64EncodeAudio,
        pcm16Buffer: pcmOf(await (await fetch('/samples/ko.wav')).arrayBuffer()),
    });
    while (eventSource.readyState !== EventSource.CLOSED) {
        await new Promise((wake) => { eventSource.onerror = wake; });
    }
    return { printed, session_id };
}"""


def spoken(lines: list[str]) -> list[str]:
    """What the flow printed as final."""
    return [line.removeprefix("최종 결과: ") for line in lines if line.startswith("최종 결과: ")]


def test_the_original_flow_works_in_node(korean_server: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    done = subprocess.run(
        [node, "--import", SHIM.as_uri(), str(FLOW)],
        cwd=ROOT,
        env=os.environ | {"STT_URL": korean_server},
        capture_output=True,
        encoding="utf-8",
        timeout=STUCK_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("실시간 토큰: ") for line in lines) or spoken(lines)
    assert " ".join(spoken(lines)).startswith("그는")
    assert lines[-1] == "끝"  # the reconnect after the end was told to stop


@pytest.fixture
def page_server() -> Iterator[str]:
    """The repository's files on another port than the service's: another origin."""

    class Quiet(SimpleHTTPRequestHandler):
        extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript"}

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(ROOT))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.browser
@needs_chromium
def test_the_original_flow_works_in_a_browser_on_another_origin(korean_server: str, page_server: str) -> None:
    with chromium() as browser, browser.new_page() as page:
        page.goto(f"{page_server}/samples/README.md")
        told = page.evaluate(IN_THE_PAGE, korean_server)
    transcript = httpx.get(f"{korean_server}/sessions/{told['session_id']}/transcript", trust_env=False).json()
    assert transcript["text"].startswith("그는")
    assert spoken(told["printed"]) == [segment["text"] for segment in transcript["segments"]]
