"""The page at ``/`` in a real browser, with a microphone that plays Korean: what is spoken."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import chromium, needs_chromium, playing, visit
from tests.support.fake_engine import silence
from tests.support.servers import ROOT, wav_of
from tests.support.web_page import (  # noqa: F401
    KOREAN,
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
CUE = re.compile(r"\d+\n(\d\d):(\d\d):(\d\d),(\d{3}) --> (\d\d):(\d\d):(\d\d),(\d{3})\n(.+)\n")


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory, korean_pcm: bytes) -> Path:
    """The sentence twice, with silence around it, at the rate of most microphones."""
    path = tmp_path_factory.mktemp("microphone") / "talk.wav"
    path.write_bytes(wav_of(silence(0.5) + (korean_pcm + silence(1.5)) * 2))
    return path


def test_words_appear_while_one_speaks_and_become_the_right_final(korean_server: str, talk: Path) -> None:
    with chromium(*playing(talk)) as browser, visit(browser, korean_server, **KOREAN) as page:
        press(page, "녹음")
        expect(page.locator("#speech")).to_have_text("말하는 중")
        expect(page.locator("#interim")).to_contain_text("그는")
        assert finals(page) == []
        expect(page.locator("#finals li")).to_have_count(2)
        expect(page.locator("#speech")).to_have_text("조용함")
        expect(page.locator("#interim")).to_be_empty()
        finish(page, "멈춤", "녹음")
        assert_understood(finals(page), times=2)
        assert page.locator("#finals time").first.inner_text() in ("0:00", "0:01")
        assert page.locator("#finals .sure").count() > 2
        srt = download(page, "srt")
        txt, vtt, told = download(page, "txt"), download(page, "vtt"), json.loads(download(page, "json"))
    assert_valid_srt(srt)
    assert_understood(txt.splitlines(), times=2)
    assert vtt.startswith("WEBVTT\n\n00:00:0")
    assert [segment["text"] for segment in told["segments"]] == txt.splitlines()


LISTEN = """async () => {
    const { STTSession } = await import('./web/stt-client.js');
    window.told = [];
    STTSession.prototype.dispatchEvent = function (event) {
        if (/speech|token|final/.test(event.type)) told.push([event.type, event.detail.start, event.detail.end]);
        return EventTarget.prototype.dispatchEvent.call(this, event);
    };
}"""


def test_the_first_token_needs_less_than_a_second_of_speech(korean_server: str, talk: Path) -> None:
    """By the audio clock: how much speech the server has heard, however busy this machine is."""
    with chromium(*playing(talk)) as browser, visit(browser, korean_server, **KOREAN) as page:
        page.evaluate(LISTEN)
        press(page, "녹음")
        expect(page.locator("#finals li")).to_have_count(2)
        told = page.evaluate("told")
        finish(page, "멈춤", "녹음")
    order = "".join(kind[-1] for kind, _, _ in told)
    assert re.match("(tn+dn*l){2}", order), told  # speech_start, tokens, speech_end, final
    for begun, (_, start, end) in pairwise(told):
        assert begun[0] != "speech_start" or end - start < 1


def assert_valid_srt(srt: str) -> None:
    cues = [match.groups() for match in CUE.finditer(srt)]
    assert len(cues) == srt.count("-->") >= 2
    assert re.findall(r"^(\d+)\n\d\d:", srt, re.MULTILINE) == [str(n) for n in range(1, len(cues) + 1)]
    times = [[((int(h) * 60 + int(m)) * 60 + int(s)) * 1000 + int(ms)] for cue in cues for h, m, s, ms in halves(cue)]
    assert times == sorted(times)


def halves(cue: tuple[str, ...]) -> list[tuple[str, str, str, str]]:
    return [cue[0:4], cue[4:8]]  # type: ignore[list-item]


def test_recording_again_goes_on_in_the_same_text(clock_server: str, beeping: Browser) -> None:
    with visit(beeping, clock_server) as page:
        for count in (1, 2):
            press(page, "Record")
            expect(page.locator("#finals li").nth(count * 2 - 1)).to_be_visible()
            finish(page)
        assert_gapless(page)
        page.on("dialog", lambda dialog: dialog.accept())
        press(page, "Clear")
        assert finals(page) == []
        assert page.locator("#elapsed").inner_text() == "0:00"


def test_the_original_quick_start_works_on_a_page_of_this_server(korean_server: str, korean_pcm: bytes) -> None:
    flow = (ROOT / "tests" / "server" / "original_flow.mjs").read_text("utf-8")
    steps = flow[flow.index("// 1. 세션 생성") : flow.index("    return { eventSource")]
    script = f"""<meta charset="utf-8"><p></p><script type="module">
        const base64EncodeAudio = (pcm) => btoa(Array.from(pcm, (byte) => String.fromCharCode(byte)).join(''));
        const pcm16Buffer = new Uint8Array({list(korean_pcm)});
        console.log = (what, text) => document.querySelector('p').append(`${{what}} ${{text}} `);
        {steps}
        document.title = 'done';
    </script>"""
    with chromium() as browser, browser.new_page() as page:
        page.route("**/quick_start.html", lambda route: route.fulfill(body=script, content_type="text/html"))
        page.goto(f"{korean_server}/quick_start.html")
        expect(page).to_have_title("done")
        expect(page.locator("p")).to_contain_text("최종 결과: 그는")
        assert "실시간 토큰: 그는" in page.locator("p").inner_text()


def test_what_is_said_while_the_space_bar_is_held_is_text_when_it_is_let_go(
    clock_server: str, beeping: Browser
) -> None:
    with visit(beeping, clock_server) as page:
        talk = page.locator("#talk")
        expect(talk).to_contain_text("Hold to talk")
        for count in (1, 2):
            page.keyboard.down("Space")
            expect(talk).to_contain_text("Let go for the text")
            expect(page.locator("#interim")).to_have_text("…")
            page.keyboard.up("Space")
            expect(page.locator("#speech")).to_have_text("Paused")
            expect(page.locator("#finals li")).to_have_count(count)
            expect(page.locator("#interim")).to_be_empty()
        seconds = page.locator("#elapsed").inner_text()
        finish(page)
        assert page.locator("#elapsed").inner_text() == seconds
        assert_gapless(page)


def test_the_talk_button_is_held_with_the_pointer_and_the_keyboard(clock_server: str, beeping: Browser) -> None:
    with visit(beeping, clock_server) as page:
        talk = page.locator("#talk")
        talk.hover()
        page.mouse.down()
        expect(page.locator("#interim")).to_have_text("…")
        page.mouse.up()
        expect(page.locator("#finals li")).not_to_have_count(0)
        told = page.locator("#finals li").count()
        talk.focus()
        page.keyboard.down("Space")
        expect(page.locator("#interim")).to_have_text("…")
        page.keyboard.up("Space")
        expect(page.locator("#finals li")).not_to_have_count(told)
        finish(page)
        assert_gapless(page)


def test_enter_asks_for_the_text_while_one_speaks(clock_server: str, beeping: Browser) -> None:
    with visit(beeping, clock_server) as page:
        press(page, "Record")
        expect(page.locator("#interim")).to_have_text("…")
        page.keyboard.press("Enter")
        expect(page.locator("#finals li").filter(has_text=re.compile(r"\.(?!00)\d\d$"))).to_have_count(1)
        page.get_by_role("button", name="Text now").click()
        expect(page.locator("#finals li").filter(has_text=re.compile(r"\.(?!00)\d\d$"))).to_have_count(2)
        finish(page)
        assert_gapless(page)
