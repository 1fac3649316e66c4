"""The page at ``/`` in a real browser: what goes wrong is explained, and one can go on."""

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import ALLOW, BEEPING, DENY, ClockEngine, chromium, killable_server, needs_chromium, visit
from tests.support.servers import run_server
from tests.support.web_page import KOREAN, assert_gapless, beeping_fixture, clock_server_fixture, finish, press  # noqa: F401

pytestmark = [pytest.mark.browser, needs_chromium, pytest.mark.timeout(180)]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([DENY, "--use-fake-device-for-media-stream"], "마이크 사용이 허용되지 않았습니다"),
        ([ALLOW], "마이크가 없습니다"),
    ],
    ids=["permission denied", "no microphone"],
)
def test_a_microphone_that_cannot_be_had_is_explained(clock_server: str, flags: list[str], words: str) -> None:
    with chromium(*flags) as browser, visit(browser, clock_server, **KOREAN) as page:
        press(page, "녹음")
        expect(page.get_by_role("alert")).to_contain_text(words)
        expect(page.get_by_role("button", name="녹음", exact=True)).to_be_enabled()


def test_a_microphone_that_is_unplugged_ends_the_recording(clock_server: str, beeping: Browser) -> None:
    with visit(beeping, clock_server) as page:
        page.evaluate(
            """() => {
                const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
                navigator.mediaDevices.getUserMedia = async (wanted) => (window.given = await ask(wanted));
            }"""
        )
        press(page, "Record")
        expect(page.locator("#finals li")).not_to_have_count(0)
        page.evaluate("given.getTracks()[0].dispatchEvent(new Event('ended'))")
        expect(page.get_by_role("alert")).to_contain_text("The microphone was unplugged or taken away")
        expect(page.get_by_role("button", name="Record", exact=True)).to_be_enabled()
        assert_gapless(page)


def test_an_origin_that_gets_no_microphone_is_explained(clock_server: str) -> None:
    with chromium(*BEEPING, "--host-resolver-rules=MAP stt.test 127.0.0.1") as browser:
        port = clock_server.rpartition(":")[2]
        with visit(browser, f"http://stt.test:{port}/") as page:
            press(page, "Record")
            expect(page.get_by_role("alert")).to_contain_text("only to https pages and to localhost")
            expect(page.get_by_role("alert")).to_contain_text(f"http://localhost:{port}/")
            press(page, "한국어")
            expect(page.get_by_role("alert")).to_contain_text("https 페이지와 localhost에서만")


def test_a_server_that_is_away_is_told_and_tried_again(beeping: Browser) -> None:
    with killable_server() as server, visit(beeping, server.url) as page:
        expect(page.locator("#connection")).to_have_text("Connected")
        server.kill()
        press(page, "Record")
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
        expect(page.locator("#connection")).to_have_text("No connection")
        server.start()
        press(page, "Try again")
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(page.locator("#connection")).to_have_text("Connected")
        expect(page.locator("#finals li")).not_to_have_count(0)
        finish(page)
        assert_gapless(page)


def test_a_place_on_a_full_server_is_waited_for_and_what_is_said_meanwhile_is_kept(beeping: Browser) -> None:
    with run_server({"clock": ClockEngine()}, {"max_sessions": 1}) as url, visit(beeping, url) as page:
        taken = httpx.post(f"{url}/sessions", trust_env=False).json()["session_id"]
        press(page, "Record")
        expect(page.get_by_role("alert")).to_contain_text("All places on the server are taken. Waiting for one")
        httpx.delete(f"{url}/sessions/{taken}", trust_env=False)
        expect(page.locator("#finals li")).not_to_have_count(0)
        expect(page.get_by_role("alert")).to_be_hidden()
        finish(page)
        assert_gapless(page)


def test_one_need_not_wait_for_a_place(beeping: Browser) -> None:
    with run_server({"clock": ClockEngine()}, {"max_sessions": 1}) as url, visit(beeping, url) as page:
        httpx.post(f"{url}/sessions", trust_env=False)
        for way in ("Stop waiting", "Cancel"):
            press(page, "Record")
            expect(page.get_by_role("alert")).to_contain_text("Waiting for one")
            page.get_by_role("button", name=way, exact=True).press("Enter")
            expect(page.get_by_role("alert")).to_be_hidden()
            expect(page.get_by_role("button", name="Record", exact=True)).to_be_enabled()
            expect(page.locator("#record")).to_be_focused()  # the message that had the focus is gone


def test_an_engine_that_fails_is_told_and_nothing_is_lost(beeping: Browser) -> None:
    engines = {"first": ClockEngine(fails_at=1.7), "second": ClockEngine()}
    with run_server(engines) as url, visit(beeping, url) as page:
        press(page, "Record")
        expect(page.get_by_role("alert")).to_contain_text("An engine failed; second goes on. Nothing is lost.")
        press(page, "Close this message")
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(page.locator("#finals li").nth(2)).to_be_visible()
        finish(page)
        assert_gapless(page)


def test_a_session_that_the_server_ends_can_go_on(beeping: Browser) -> None:
    with run_server({"clock": ClockEngine(fails_at=1.7)}) as url, visit(beeping, url) as page:
        press(page, "Record")
        expect(page.get_by_role("alert")).to_contain_text("Recognition failed: The clock has stopped.")
        press(page, "Go on")
        expect(page.locator("#finals li").nth(1)).to_be_visible()
        finish(page)
