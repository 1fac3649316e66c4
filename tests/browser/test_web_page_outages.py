"""The page at ``/`` in a real browser: what is recorded without network or server is kept, and sent later."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import chromium, killable_server, needs_chromium, playing, visit
from tests.support.fake_engine import silence
from tests.support.servers import ROOT, wav_of
from tests.support.web_page import (  # noqa: F401
    assert_gapless,
    assert_understood,
    beeping_fixture,
    clock_server_fixture,
    download,
    finals,
    finish,
    press,
)

pytestmark = [pytest.mark.browser, needs_chromium, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def long_talk(tmp_path_factory: pytest.TempPathFactory, korean_pcm: bytes) -> Path:
    """The sentence four times: longer than a network is away."""
    path = tmp_path_factory.mktemp("microphone") / "long-talk.wav"
    path.write_bytes(wav_of(silence(0.5) + (korean_pcm + silence(1.5)) * 4))
    return path


def test_what_is_spoken_in_ten_seconds_without_network_is_kept_and_recognised(
    korean_server: str, long_talk: Path
) -> None:
    with chromium(*playing(long_talk)) as browser, visit(browser, korean_server) as page:
        page.get_by_label("Spoken language").select_option("ko")
        press(page, "Record")
        expect(page.locator("#interim")).to_contain_text("그는")
        page.context.set_offline(True)
        expect(page.get_by_role("alert")).to_contain_text("Recording goes on")
        expect(page.locator("#connection")).to_have_text("No connection")
        expect(page.locator("#waiting")).to_have_text("10 s waiting")
        expect(page.locator("#speech")).to_be_hidden()  # nobody knows
        assert finals(page) == []
        page.context.set_offline(False)
        expect(page.locator("#connection")).to_have_text("Connected")
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(page.locator("#waiting")).to_be_empty()
        expect(page.locator("#finals li")).to_have_count(4)
        finish(page)
        assert_understood(finals(page), times=4)
        starts = [segment["start"] for segment in json.loads(download(page, "json"))["segments"]]
    assert [later - start for start, later in pairwise(starts)] == pytest.approx([5.4] * 3, abs=0.6)


def test_stopping_without_network_waits_for_it(clock_server: str, beeping: Browser) -> None:
    with visit(beeping, clock_server) as page:
        press(page, "Record")
        expect(page.locator("#finals li")).not_to_have_count(0)
        page.context.set_offline(True)
        expect(page.locator("#waiting")).to_contain_text("s waiting")
        press(page, "Stop")
        expect(page.get_by_role("button", name="Cancel")).to_be_enabled()
        page.context.set_offline(False)
        expect(page.get_by_role("button", name="Record", exact=True)).to_be_enabled()
        assert_gapless(page)


def test_a_full_buffer_stops_the_recording_and_all_of_it_is_sent_later(clock_server: str, beeping: Browser) -> None:
    module = (ROOT / "server" / "web" / "stt-client.js").read_text("utf-8")
    small = module.replace("= 10 * 60 * 32_000", "= 3 * 32_000")
    assert small != module
    with visit(beeping, clock_server) as page:
        page.route("**/stt-client.js", lambda route: route.fulfill(body=small, content_type="text/javascript"))
        page.reload()
        press(page, "Record")
        expect(page.locator("#finals li")).not_to_have_count(0)
        page.context.set_offline(True)
        expect(page.get_by_role("alert")).to_contain_text("recording has stopped")
        expect(page.locator("#waiting")).to_have_text("3 s waiting")
        expect(page.get_by_role("button", name="Cancel")).to_be_enabled()
        page.context.set_offline(False)
        expect(page.get_by_role("button", name="Record", exact=True)).to_be_enabled()
        assert_gapless(page)


def test_a_server_that_is_killed_and_restarted_in_mid_sentence_gets_what_it_lacks(beeping: Browser) -> None:
    with killable_server() as server, visit(beeping, server.url) as page:
        press(page, "Record")
        expect(page.locator("#finals li")).not_to_have_count(0)
        server.kill()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("The server cannot be reached. Recording goes on")
        expect(page.locator("#waiting")).to_contain_text("s waiting")
        kept = finals(page)
        server.start()
        expect(alert).to_contain_text("a new one goes on by itself")
        expect(page.locator("#finals li")).not_to_have_count(len(kept))
        expect(alert).to_be_hidden()
        finish(page)
        assert finals(page)[: len(kept)] == kept
        assert_gapless(page)
        assert_gapless_subtitles(download(page, "srt"))


def assert_gapless_subtitles(srt: str) -> None:
    spans = re.findall(r"(\S+) --> (\S+)", srt)
    assert len(spans) >= 3
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]


def test_a_recording_that_is_stopped_while_the_server_restarts_is_finished_by_itself(beeping: Browser) -> None:
    with killable_server() as server, visit(beeping, server.url) as page:
        press(page, "Record")
        expect(page.locator("#finals li")).not_to_have_count(0)
        server.stop()
        expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
        press(page, "Stop")
        expect(page.get_by_role("button", name="Cancel")).to_be_enabled()
        server.start()
        expect(page.get_by_role("button", name="Record", exact=True)).to_be_enabled()
        assert_gapless(page)


def test_what_a_recording_owes_to_a_server_that_stays_away_can_be_sent_later(beeping: Browser) -> None:
    module = (ROOT / "server" / "web" / "stt-client.js").read_text("utf-8")
    impatient = module.replace("holdSeconds: 600", "holdSeconds: 3")
    assert impatient != module
    with killable_server() as server, visit(beeping, server.url) as page:
        page.route("**/stt-client.js", lambda route: route.fulfill(body=impatient, content_type="text/javascript"))
        page.reload()
        press(page, "Record")
        expect(page.locator("#finals li")).not_to_have_count(0)
        server.kill()
        expect(page.get_by_role("alert")).to_contain_text("The server has been away for too long")
        press(page, "Close this message")
        finish(page)
        expect(page.get_by_role("alert")).to_contain_text("not recognised yet")
        page.once("dialog", lambda dialog: dialog.dismiss())
        press(page, "Record")
        server.start()
        press(page, "Try again")
        expect(page.get_by_role("alert")).not_to_contain_text("too long")
        expect(page.get_by_role("button", name="Record", exact=True)).to_be_enabled()
        assert_gapless(page)
