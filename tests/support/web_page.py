"""The page at ``/`` as its user works it, and what it must show then."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jiwer
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import BEEPING, ClockEngine, chromium
from tests.support.servers import KOREAN_TEXT, run_server

MAX_CER = 0.35
"""Per sentence; a microphone is heard a little differently each time."""
KOREAN: dict[str, Any] = {"locale": "ko-KR"}


@pytest.fixture(name="clock_server", scope="module")
def clock_server_fixture() -> Iterator[str]:
    with run_server({"clock": ClockEngine()}, {"heartbeat_seconds": 0.2}) as url:
        yield url


@pytest.fixture(name="beeping")
def beeping_fixture() -> Iterator[Browser]:
    with chromium(*BEEPING) as browser:
        yield browser


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def finals(page: Page) -> list[str]:
    return page.locator("#finals p").all_inner_texts()


def download(page: Page, name: str) -> str:
    with page.expect_download() as started:
        press(page, name)
    return started.value.path().read_text("utf-8")


def finish(page: Page, stop: str = "Stop", record: str = "Record") -> None:
    press(page, stop)
    expect(page.get_by_role("button", name=record, exact=True)).to_be_enabled()


def assert_understood(texts: list[str], times: int) -> None:
    assert len(texts) == times, texts
    for text in texts:
        assert jiwer.cer(KOREAN_TEXT.replace(" ", ""), re.sub(r"[ .]", "", text)) < MAX_CER, text


def assert_gapless(page: Page) -> None:
    """Each second of what was recorded is in the text once."""
    segments = json.loads(download(page, "json"))["segments"]
    assert segments[0]["start"] == 0
    for one, following in zip(segments, segments[1:], strict=False):
        assert following["start"] == pytest.approx(one["end"], abs=0.002)
    minutes, seconds = page.locator("#elapsed").inner_text().split(":")
    assert 0 <= segments[-1]["end"] - (60 * int(minutes) + int(seconds)) < 1


def drop(page: Page, name: str, kind: str, content: bytes) -> None:
    page.evaluate(
        """([name, type, bytes]) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
            const over = new DragEvent('dragover', { dataTransfer, bubbles: true, cancelable: true });
            document.body.dispatchEvent(over);
            const shown = document.getElementById('drop').checkVisibility();
            document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
            if (!over.defaultPrevented || !shown) throw new Error('it was not taken');
        }""",
        [name, kind, list(content)],
    )
