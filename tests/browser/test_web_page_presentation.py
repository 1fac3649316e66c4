"""The page at ``/`` in a real browser: its weight and policy, its languages, its looks, and its use by key."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import chromium, needs_chromium, visit
from tests.support.fake_engine import said, speech
from tests.support.servers import ROOT, wav_of
from tests.support.web_page import beeping_fixture, clock_server_fixture, drop, press  # noqa: F401

pytestmark = [pytest.mark.browser, needs_chromium, pytest.mark.timeout(180)]
MAX_FIRST_BYTES = 80_000
"""On the wire, compressed."""
"""Uncompressed, with the comments that hold the types: there is no build step."""
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}


def test_the_first_paint_is_small_and_comes_from_here(fake_server: str) -> None:
    with chromium() as browser, browser.new_page() as page:
        answers: list[tuple[str, int]] = []
        page.on("requestfinished", lambda asked: answers.append((asked.url, asked.sizes()["responseBodySize"])))
        main = page.goto(f"{fake_server}/")
        page.wait_for_load_state("networkidle")
        assert main
        assert "default-src 'self'" in main.headers["content-security-policy"]
        assert {url.startswith(fake_server) for url, _ in answers} == {True}
        assert len(answers) > 5
        assert sum(size for _, size in answers) < MAX_FIRST_BYTES


def test_the_policy_forbids_scripts_in_the_page_and_other_servers(fake_server: str) -> None:
    with chromium() as browser, visit(browser, fake_server) as page:
        page.evaluate(
            """() => {
                window.broken = [];
                document.addEventListener('securitypolicyviolation', (event) => broken.push(event.effectiveDirective));
                const script = document.createElement('script');
                script.textContent = 'window.injected = true';
                document.body.append(script);
                fetch('http://localhost:9/').catch(() => {});
            }"""
        )
        page.wait_for_function("window.broken.length === 2")
        assert page.evaluate("window.broken.sort()") == ["connect-src", "script-src-elem"]
        assert page.evaluate("window.injected") is None


@pytest.mark.parametrize(
    ("locale", "title"), [("ko-KR", "실시간 받아쓰기"), ("en-GB", "Speech to text"), ("fr-FR", "Speech to text")]
)
def test_the_page_speaks_the_language_of_the_browser(fake_server: str, locale: str, title: str) -> None:
    with chromium() as browser, visit(browser, fake_server, locale=locale) as page:
        expect(page).to_have_title(title)
        expect(page.get_by_role("heading")).to_have_text(title)
        assert page.locator("html").get_attribute("lang") == ("ko" if locale == "ko-KR" else "en")
        expect(page.locator("#connection")).not_to_be_empty()
        expect(page.locator("#language")).to_have_value("en" if locale == "en-GB" else "ko")


def test_the_chosen_languages_are_remembered(fake_server: str) -> None:
    with chromium() as browser, visit(browser, fake_server) as page:
        page.get_by_label("Spoken language").select_option("ko")
        press(page, "한국어")
        expect(page.get_by_label("말하는 언어").locator("option:checked")).to_have_text("한국어")
        page.reload()
        expect(page).to_have_title("실시간 받아쓰기")
        expect(page.get_by_label("말하는 언어")).to_have_value("ko")


def test_both_languages_say_everything() -> None:
    texts = (ROOT / "server" / "web" / "texts.js").read_text("utf-8")
    english, korean = (
        set(re.findall(r"^    (\w+):", re.search(rf"const {name} = {{\n(.+?)\n}};", texts, re.DOTALL)[1], re.MULTILINE))  # type: ignore[index]
        for name in ("en", "ko")
    )
    assert english == korean
    assert len(english) > 50


def test_every_control_has_a_name_and_can_be_reached_by_key(clock_server: str, beeping: Browser) -> None:
    with visit(beeping, clock_server) as page:
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll('button, select, input, progress, [role=log]')].filter((control) => {
                const label = control.labels?.[0]?.textContent ?? control.textContent;
                return control.checkVisibility() && !(control.getAttribute('aria-label') ?? label).trim();
            }).map((control) => control.outerHTML)"""
        )
        assert unnamed == []
        page.get_by_label("Engine").focus()
        page.keyboard.press("Tab")
        expect(page.get_by_role("region", name="Transcript")).to_be_focused()  # it scrolls
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Record", exact=True)).to_be_focused()
        page.keyboard.press("Space")
        expect(page.get_by_role("button", name="Stop", exact=True)).to_be_focused()
        expect(page.get_by_role("log").get_by_role("listitem")).not_to_have_count(0)
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Record", exact=True)).to_be_enabled()
        assert page.get_by_role("log").get_attribute("aria-live") == "polite"


@pytest.mark.parametrize("locale", ["ko-KR", "en-US"])
def test_the_page_fits_a_phone(clock_server: str, beeping: Browser, locale: str) -> None:
    with visit(beeping, clock_server, locale=locale, **PHONE) as page:
        page.locator("#record").click()
        expect(page.locator("#finals li").nth(1)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for needed in ("#record", "#elapsed", "#finals li >> nth=-1", "#copy", "#language"):
            expect(page.locator(needed)).to_be_in_viewport(ratio=1)
        page.locator("#record").click()
        expect(page.locator("#copy")).to_be_enabled()


def test_dark_is_dark(fake_server: str) -> None:
    def lightness(page: Page) -> int:
        return sum(
            int(part) for part in page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)")
        )

    with chromium() as browser:
        with visit(browser, fake_server, color_scheme="dark") as page:
            dark = lightness(page)
        with visit(browser, fake_server, color_scheme="light") as page:
            assert lightness(page) > 600 > 150 > dark


def test_the_text_can_be_copied(fake_server: str) -> None:
    with chromium() as browser, visit(browser, fake_server, permissions=["clipboard-read", "clipboard-write"]) as page:
        drop(page, "talk.wav", "audio/wav", wav_of(speech((1, 2), (3,))))
        expect(page.locator("#finals li")).to_have_count(2)
        press(page, "Copy")
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == "".join(f"{line}\n" for line in said((1, 2), (3,)))
