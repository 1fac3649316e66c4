"""The Streamlit app in a real browser, run as a user runs it, with a microphone that plays a recording."""

import asyncio
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jiwer
import pytest
from playwright.async_api import FrameLocator, Page, async_playwright, expect

from tests.support.browser import CHROMIUM, DENY, FLAGS, needs_chromium, playing
from tests.support.fake_engine import FakeEngine, said, silence, speech
from tests.support.servers import KOREAN_TEXT, ROOT, STUCK_SECONDS, run_server, wav_of
from tests.support.streamlit_talk import NOWHERE, open_session
from tests.support.wire import connect

pytestmark = [pytest.mark.browser, needs_chromium, pytest.mark.timeout(240)]
MAX_CER = 0.35
"""Per sentence; a microphone is heard a little differently each time."""
CUE = re.compile(r"(\d+)\n\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}\n(.+?)\n\n", re.DOTALL)
"""Of an SRT: its number and its text."""
expect.set_options(timeout=STUCK_SECONDS * 500)


@pytest.fixture(scope="module")
def streamlit_url() -> Iterator[str]:
    """``streamlit run``, as the README says."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "streamlit", "run", "client/streamlit_app.py", "--server.port", port]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout
        assert any("URL:" in line for line in process.stdout), "Streamlit did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=STUCK_SECONDS)


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory, korean_pcm: bytes) -> Path:
    """The sentence twice, with a pause after each."""
    path = tmp_path_factory.mktemp("microphone") / "talk.wav"
    path.write_bytes(wav_of((korean_pcm + silence(1.5)) * 2))
    return path


class App:
    """The page of one browser. ``elsewhere``: what was asked of other machines; ``errors``: what its scripts raised;
    ``session_id``: to which it has last sent audio.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.session_id = ""
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if urlsplit(url).hostname not in ("127.0.0.1", None, ""):
            self.elsewhere.append(url)
        if sent := re.search(r"/sessions/([^/]+)/audio$", url):
            self.session_id = sent[1]

    @property
    def microphone(self) -> FrameLocator:
        return self.page.frame_locator("iframe")

    @property
    def finals(self) -> Any:
        return self.page.locator(".stt > div:not(.interim) > p")

    async def open(self, url: str, server: str) -> None:
        await self.page.goto(url)
        address = self.page.get_by_label("Server address")
        await address.fill(server)
        await address.press("Enter")
        status = self.page.get_by_test_id("stSidebar").get_by_text("No answer" if server == NOWHERE else "Ready")
        await expect(status).to_be_visible()

    async def record(self, url: str, server: str) -> None:
        """Open the app, and start a recording whose first words are being shown."""
        await self.open(url, server)
        await self.press("Start recording")
        await expect(self.microphone.locator("#live")).to_contain_text("그는")

    async def finish(self) -> None:
        """Wait for both sentences, stop, and see that they were understood."""
        await expect(self.finals).to_have_count(2)
        await self.press("Stop recording")
        await expect(self.page.get_by_text("Complete")).to_be_visible()
        for text in await self.finals.all_inner_texts():
            assert jiwer.cer(KOREAN_TEXT.replace(" ", ""), text.replace(" ", "").rstrip(".")) < MAX_CER, text

    async def press(self, name: str) -> None:
        await self.microphone.get_by_role("button", name=name).click()

    async def upload(self, name: str, audio: bytes) -> None:
        await self.page.get_by_role("tab", name="File").click()
        file: Any = {"name": name, "mimeType": "audio/wav", "buffer": audio}
        await self.page.locator("input[type=file]").set_input_files(file)
        await self.page.get_by_role("button", name="Transcribe").click()

    async def download(self, label: str) -> str:
        async with self.page.expect_download() as started:
            await self.page.get_by_role("button", name=label).click()
        path = await (await started.value).path()
        return await asyncio.to_thread(path.read_text, "utf-8")


@asynccontextmanager
async def chromium(*flags: str, locale: str = "en-US", width: int = 1280) -> AsyncIterator[App]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        app = App(await browser.new_page(locale=locale, viewport={"width": width, "height": 1200}))
        try:
            yield app
        finally:
            await browser.close()
    assert app.errors == []
    assert app.elsewhere == []


class Line:
    """A TCP line to a server, which can be cut and mended: from outside, a server that is killed and started again."""

    def __init__(self, server_url: str) -> None:
        self._server = urlsplit(server_url)
        self._listening: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def mend(self) -> None:
        self._listening = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._listening.sockets[0].getsockname()[1]

    def cut(self) -> None:
        if self._listening:
            self._listening.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._server.hostname, self._server.port)
        self._writers |= {writer, there[1]}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pump(reader, there[1]))
            tasks.create_task(self._pump(there[0], writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(1 << 16):
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        self._writers.discard(writer)
        writer.close()


@pytest.fixture
async def line(korean_server: str) -> AsyncIterator[Line]:
    line = Line(korean_server)
    await line.mend()
    yield line
    line.cut()


# --- microphone -----------------------------------------------------------------------------------------------------


async def test_words_appear_while_one_speaks_and_become_the_right_final(
    streamlit_url: str, korean_server: str, talk: Path
) -> None:
    async with chromium(*playing(talk)) as app:
        await app.record(streamlit_url, korean_server)
        assert await app.finals.count() == 0
        await app.finish()
        await expect(app.microphone.locator("#state")).to_have_text("Press and speak.")
        finals = await app.finals.all_inner_texts()
        cues = CUE.findall(await app.download("SRT"))
    assert [number for number, _ in cues] == [str(number) for number in range(1, len(cues) + 1)]
    assert "".join("".join(text for _, text in cues).split()) == "".join("".join(finals).split())


async def test_running_the_script_again_while_one_speaks_loses_nothing(
    streamlit_url: str, korean_server: str, talk: Path
) -> None:
    async with chromium(*playing(talk)) as app:
        await app.record(streamlit_url, korean_server)
        await app.page.get_by_role("radio", name="한국어").click()
        await expect(app.page.get_by_role("heading", name="실시간 음성 인식")).to_be_visible()
        await expect(app.microphone.locator("#state")).to_contain_text("녹음 중")
        await app.page.get_by_role("radio", name="English").click()
        await app.finish()
        assert await app.page.get_by_label("Sessions of this window").count() == 0


async def test_the_browser_asks_before_a_recording_is_left(streamlit_url: str, korean_server: str, talk: Path) -> None:
    async with chromium(*playing(talk)) as app:
        await app.record(streamlit_url, korean_server)
        async with app.page.expect_event("dialog") as asked:
            await app.page.evaluate("setTimeout(() => location.reload())")  # not at once: it would answer never
        question = await asked.value
        assert question.type == "beforeunload"
        await question.dismiss()
        await app.finish()


async def test_a_cut_connection_to_the_app_loses_nothing(streamlit_url: str, korean_server: str, talk: Path) -> None:
    line = Line(streamlit_url)
    await line.mend()
    async with chromium(*playing(talk)) as app:
        await app.record(line.url, korean_server)
        line.cut()
        await expect(app.page.get_by_text("Connecting")).to_be_visible()
        await line.mend()
        await app.finish()
        assert await app.page.get_by_label("Sessions of this window").count() == 0
    line.cut()


async def test_a_dead_server_is_told_and_a_restarted_one_gets_everything(
    streamlit_url: str, korean_server: str, line: Line, talk: Path
) -> None:
    async with chromium(*playing(talk)) as app:
        await app.record(streamlit_url, line.url)
        line.cut()
        await expect(app.page.get_by_text(f"The speech server at {line.url} does not answer.")).to_be_visible()
        await expect(app.microphone.locator("#state")).to_contain_text("the recording is kept")
        async with connect(korean_server) as http:  # a server that is started again knows no session
            await http.delete(f"/sessions/{app.session_id}?purge=true")
        await line.mend()
        await expect(app.microphone.locator("#problem")).to_contain_text("The server was restarted")
        await app.finish()
        await expect(app.microphone.locator("#problem")).to_be_empty()


async def test_a_microphone_that_is_not_allowed_is_told(streamlit_url: str, korean_server: str) -> None:
    async with chromium(DENY, "--use-fake-device-for-media-stream") as app:
        await app.open(streamlit_url, korean_server)
        await app.press("Start recording")
        await expect(app.microphone.locator("#problem")).to_contain_text("The microphone was not allowed.")
        await expect(app.microphone.get_by_role("button", name="Start recording")).to_be_enabled()


async def test_a_recording_without_a_server_is_told(streamlit_url: str, talk: Path) -> None:
    async with chromium(*playing(talk)) as app:
        await app.open(streamlit_url, NOWHERE)
        await app.press("Start recording")
        await expect(app.microphone.locator("#problem")).to_contain_text("The speech server cannot be reached.")


async def test_a_server_that_is_full_is_told(streamlit_url: str, fake_engine: FakeEngine, talk: Path) -> None:
    with run_server({"fake": fake_engine}, {"max_sessions": 1}) as server:
        await open_session(server)
        async with chromium(*playing(talk)) as app:
            await app.open(streamlit_url, server)
            await app.press("Start recording")
            await expect(app.microphone.locator("#problem")).to_contain_text("The server is full.")
            await app.press("Stop waiting")
            await expect(app.microphone.locator("#problem")).to_be_empty()
            await expect(app.microphone.get_by_role("button", name="Start recording")).to_be_enabled()


# --- file -----------------------------------------------------------------------------------------------------------


async def test_a_file_is_transcribed_live(streamlit_url: str, fake_server: str) -> None:
    utterances = [(1, 2), (3, 4, 5)]
    async with chromium() as app:
        await app.open(streamlit_url, fake_server)
        await app.upload("talk.wav", wav_of(speech(*utterances)))
        await expect(app.page.get_by_text("Complete")).to_be_visible()
        await expect(app.finals).to_have_text(said(*utterances))
        assert await app.download("TXT") == "\n".join([*said(*utterances), ""])
        assert (await app.download("VTT")).startswith("WEBVTT\n")


async def test_a_phone_shows_everything_without_scrolling_sideways(streamlit_url: str, fake_server: str) -> None:
    async with chromium(width=390) as app:
        await app.page.goto(streamlit_url)
        await expect(app.microphone.get_by_role("button", name="Start recording")).to_be_enabled()
        fits = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert await app.page.evaluate(fits)
        assert await app.page.get_by_role("button", name="Deploy").count() == 0  # by client/.streamlit/config.toml
