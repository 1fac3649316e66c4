"""The page at ``/`` in a real browser, with a microphone that plays Korean; its files, and ``/usage``."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import jiwer
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser import ALLOW, BEEPING, DENY, ClockEngine, chromium, killable_server, needs_chromium, playing, visit
from tests.conftest import KOREAN_WAV, ROOT, run_server, wav_of
from tests.fake_engine import said, silence, speech
from tests.recordings import recording

pytestmark = [pytest.mark.browser, needs_chromium, pytest.mark.timeout(180)]

SPOKEN = "그는 이리저리 피하면서 길 한 옆으로 걸어갔다"
MAX_CER = 0.35
"""Per sentence; a microphone is heard a little differently each time."""
MAX_FIRST_BYTES = 100_000
KOREAN: dict[str, Any] = {"locale": "ko-KR"}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
CUE = re.compile(r"\d+\n(\d\d):(\d\d):(\d\d),(\d{3}) --> (\d\d):(\d\d):(\d\d),(\d{3})\n(.+)\n")


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory, korean_pcm: bytes) -> Path:
    """The sentence twice, with silence around it, at the rate of most microphones."""
    path = tmp_path_factory.mktemp("microphone") / "talk.wav"
    path.write_bytes(wav_of(silence(0.5) + (korean_pcm + silence(1.5)) * 2))
    return path


@pytest.fixture(scope="module")
def long_talk(tmp_path_factory: pytest.TempPathFactory, korean_pcm: bytes) -> Path:
    """The sentence four times: longer than a network is away."""
    path = tmp_path_factory.mktemp("microphone") / "long-talk.wav"
    path.write_bytes(wav_of(silence(0.5) + (korean_pcm + silence(1.5)) * 4))
    return path


@pytest.fixture(scope="module")
def clock_server() -> Iterator[str]:
    with run_server({"clock": ClockEngine()}, {"heartbeat_seconds": 0.2}) as url:
        yield url


@pytest.fixture
def beeping() -> Iterator[Browser]:
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
        assert jiwer.cer(SPOKEN.replace(" ", ""), re.sub(r"[ .]", "", text)) < MAX_CER, text


# --- what is spoken -------------------------------------------------------------------------------------------------


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


def assert_gapless(page: Page) -> None:
    """Each second of what was recorded is in the text once."""
    segments = json.loads(download(page, "json"))["segments"]
    assert segments[0]["start"] == 0
    for one, following in zip(segments, segments[1:], strict=False):
        assert following["start"] == pytest.approx(one["end"], abs=0.002)
    minutes, seconds = page.locator("#elapsed").inner_text().split(":")
    assert 0 <= segments[-1]["end"] - (60 * int(minutes) + int(seconds)) < 1


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


def test_a_server_that_is_killed_and_restarted_is_told_and_gets_what_it_lacks(beeping: Browser) -> None:
    with killable_server() as server, visit(beeping, server.url) as page:
        press(page, "Record")
        expect(page.locator("#finals li")).not_to_have_count(0)
        server.kill()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("The server cannot be reached. Recording goes on")
        expect(page.locator("#waiting")).to_contain_text("s waiting")
        kept = finals(page)
        server.start()
        expect(alert).to_contain_text("does not know this recording any more; it was probably restarted")
        assert finals(page) == kept
        page.get_by_role("button", name="Go on").press("Space")
        expect(alert).to_be_hidden()
        expect(page.locator("#record")).to_be_focused()
        expect(page.locator("#finals li")).not_to_have_count(len(kept))
        finish(page)
        assert finals(page)[: len(kept)] == kept
        assert_gapless(page)
        assert_gapless_subtitles(download(page, "srt"))


def assert_gapless_subtitles(srt: str) -> None:
    spans = re.findall(r"(\S+) --> (\S+)", srt)
    assert len(spans) >= 3
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]


def test_what_a_recording_owes_when_the_server_stops_can_be_sent_later(beeping: Browser) -> None:
    with killable_server() as server, visit(beeping, server.url) as page:
        press(page, "Record")
        expect(page.locator("#finals li")).not_to_have_count(0)
        server.stop()
        expect(page.get_by_role("alert")).to_contain_text("The server has ended this recording (it is being stopped)")
        press(page, "Close this message")
        finish(page)
        expect(page.get_by_role("alert")).to_contain_text("not recognised yet")
        page.once("dialog", lambda dialog: dialog.dismiss())
        press(page, "Record")
        press(page, "Go on")
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
        server.start()
        press(page, "Try again")
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(page.get_by_role("button", name="Record", exact=True)).to_be_enabled()
        assert_gapless(page)


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
    flow = (ROOT / "tests" / "original_flow.mjs").read_text("utf-8")
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


# --- what goes wrong ------------------------------------------------------------------------------------------------


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


def test_a_full_server_is_told(beeping: Browser) -> None:
    with run_server({"clock": ClockEngine()}, {"max_sessions": 1}) as url, visit(beeping, url) as page:
        taken = httpx.post(f"{url}/sessions", trust_env=False).json()["session_id"]
        press(page, "Record")
        expect(page.get_by_role("alert")).to_contain_text("All places on the server are taken. Try again in 5 s.")
        httpx.delete(f"{url}/sessions/{taken}", trust_env=False)
        page.get_by_role("button", name="Try again").press("Enter")
        expect(page.locator("#finals li")).not_to_have_count(0)
        expect(page.locator("#record")).to_be_focused()  # the message that had the focus is gone
        finish(page)


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


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_file_is_transcribed_with_a_progress_bar(korean_server: str) -> None:
    with chromium() as browser, visit(browser, korean_server, **KOREAN) as page:
        page.locator("#file").set_input_files(KOREAN_WAV)
        expect(page.get_by_label("ko.wav 받아쓰는 중")).to_be_visible()
        expect(page.get_by_role("button", name="취소")).to_be_visible()
        expect(page.get_by_role("button", name="녹음", exact=True)).to_be_enabled()
        assert_understood(finals(page), times=1)
        assert page.locator("#elapsed").inner_text() == "0:03"


@pytest.mark.parametrize(("name", "codec", "picture"), [("mp4", "aac", "mpeg4"), ("webm", "libopus", "libvpx")])
def test_the_sound_of_a_video_is_transcribed(korean_server: str, name: str, codec: str, picture: str) -> None:
    video = recording(codec, name, 48_000, 2, picture=picture)
    assert video.find(b"moov") == -1 or video.index(b"mdat") < video.index(b"moov")  # as cameras and phones do it
    with chromium() as browser, visit(browser, korean_server, **KOREAN) as page:
        drop(page, f"holiday.{name}", f"video/{name}", video)
        expect(page.get_by_role("button", name="녹음", exact=True)).to_be_enabled()
        assert_understood(finals(page), times=1)


def test_a_dropped_file_is_transcribed(fake_server: str) -> None:
    utterances = ((1, 2), (3,), (4, 5))
    with chromium() as browser, visit(browser, fake_server) as page:
        drop(page, "talk.wav", "audio/wav", wav_of(speech(*utterances)))
        expect(page.locator("#finals li")).to_have_count(3)
        assert finals(page) == said(*utterances)


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


def test_a_file_that_is_no_audio_is_refused_with_its_name(fake_server: str) -> None:
    with chromium() as browser, visit(browser, fake_server) as page:
        drop(page, "notes.txt", "text/plain", b"not a sound")
        expect(page.get_by_role("alert")).to_contain_text("notes.txt is no audio file")
        drop(page, "broken.wav", "audio/wav", b"RIFF\x00\x00\x00\x00WAVEdata" + bytes(2000))
        expect(page.get_by_role("alert")).to_contain_text("This is no audio that the server can read")
        expect(page.get_by_role("button", name="Record", exact=True)).to_be_enabled()


def test_a_message_stays_when_the_server_answers_only_afterwards(fake_server: str) -> None:
    with chromium() as browser, visit(browser, fake_server) as page:
        asked: list[Route] = []
        page.route("**/info", lambda route: asked.append(route))
        page.reload()
        drop(page, "notes.txt", "text/plain", b"not a sound")
        expect(page.get_by_role("alert")).to_contain_text("notes.txt is no audio file")
        asked[0].continue_()
        expect(page.locator("#engine option")).to_have_count(2)
        expect(page.get_by_role("alert")).to_contain_text("notes.txt is no audio file")


# --- the page itself ------------------------------------------------------------------------------------------------


def test_the_first_paint_is_small_and_comes_from_here(fake_server: str) -> None:
    with chromium() as browser, browser.new_page() as page:
        answers: list[tuple[str, int]] = []
        page.on("response", lambda answer: answers.append((answer.url, len(answer.body()))))
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
