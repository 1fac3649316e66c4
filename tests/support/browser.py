"""A real browser with a microphone that plays a recording, and a server that can be killed."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect, sync_playwright

from server.engines.base import BYTES_PER_SECOND, Capabilities
from server.errors import EngineError
from server.main import create_app
from server.models import Final, Interim, Recognition, SessionConfig
from tests.support.servers import ROOT, STUCK_SECONDS, settings_of

CHROMIUM = Path(os.environ.get("STT_CHROMIUM", "/usr/bin/chromium"))
needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"STT_CHROMIUM: there is no {CHROMIUM}")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
ALLOW = "--use-fake-ui-for-media-stream"
DENY = "--deny-permission-prompts"
BEEPING = (ALLOW, "--use-fake-device-for-media-stream")
expect.set_options(timeout=STUCK_SECONDS * 1000)


def playing(recording: Path) -> tuple[str, ...]:
    """Flags of a browser whose microphone plays a WAV once, from when it is opened."""
    return (*BEEPING, f"--use-file-for-fake-audio-capture={recording}%noloop")


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        yield browser
        browser.close()


@contextmanager
def visit(browser: Browser, url: str, **context: Any) -> Iterator[Page]:
    """A page of its own. It may raise no error, and ask nobody but the server."""
    given: dict[str, Any] = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, "accept_downloads": True}
    page = browser.new_context(**(given | context)).new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.extend(_elsewhere(request.url, url)))
    page.goto(url)
    yield page
    page.context.close()
    assert wrong == []


def _elsewhere(asked: str, url: str) -> list[str]:
    there = urlsplit(asked)
    return [] if there.scheme in ("blob", "data") or there.netloc == urlsplit(url).netloc else [asked]


# --- a server whose words tell the time -----------------------------------------------------------------------------


@dataclass
class ClockEngine:
    """Says how many seconds it has heard: an interim at each half, a final at each whole one, and one for the rest.

    The finals of a session join without a gap, so what is lost or told twice can be seen. It fails for good once it
    has heard ``fails_at`` seconds.
    """

    fails_at: float = float("inf")
    capabilities: Capabilities = field(default=Capabilities(languages=frozenset({"ko", "en"})))

    async def prewarm(self) -> None:
        return

    @asynccontextmanager
    async def open(self, config: SessionConfig, start: float) -> AsyncIterator["ClockRecognizer"]:
        yield ClockRecognizer(self.fails_at, start)

    def status(self) -> dict[str, Any]:
        return {"ready": True}

    async def aclose(self) -> None:
        return


class ClockRecognizer:
    def __init__(self, fails_at: float, start: float) -> None:
        self._fails_at = fails_at
        self._said = self._heard = start
        self._results: asyncio.Queue[Recognition | None] = asyncio.Queue()

    async def send_audio(self, pcm: bytes) -> None:
        self._heard += len(pcm) / BYTES_PER_SECOND
        if self._heard >= self._fails_at:
            raise EngineError("The clock has stopped.", retryable=False)
        while self._heard >= self._said + 1:
            self._say(self._said + 1)
        if self._heard >= self._said + 0.5:
            self._results.put_nowait(Interim("…", self._said, self._heard))

    async def flush(self) -> None:
        self._say(self._heard, flushed=True)

    async def finish(self) -> None:
        if self._heard > self._said:
            self._say(self._heard)
        self._results.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Recognition]:
        while (recognition := await self._results.get()) is not None:
            yield recognition

    def _say(self, until: float, *, flushed: bool = False) -> None:
        text = f"{until:.2f}" if until > self._said else ""
        self._results.put_nowait(Final(text, self._said, until, until, flushed=flushed))
        self._said = until


def clock_app() -> FastAPI:
    """For ``uvicorn --factory``."""
    return create_app(settings_of(heartbeat_seconds=0.2), {"clock": ClockEngine()})


class ServerProcess:
    """A server of its own, always at the same address."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "--factory",
            "tests.support.browser:clock_app",
            "--port",
            str(self._port),
        ]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([*command, "--log-level", "critical"], cwd=ROOT, stdout=quiet)
        with httpx.Client(trust_env=False) as http:
            while self._process.poll() is None:
                try:
                    assert http.get(f"{self.url}/health").is_success
                except httpx.TransportError:
                    continue
                return
        raise AssertionError("the server did not start")

    def stop(self) -> None:
        assert self._process
        self._process.terminate()
        self._process.wait(STUCK_SECONDS)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()


@contextmanager
def killable_server() -> Iterator[ServerProcess]:
    server = ServerProcess()
    server.start()
    try:
        yield server
    finally:
        server.kill()
