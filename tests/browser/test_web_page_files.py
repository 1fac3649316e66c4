"""The page at ``/`` in a real browser: files, chosen or dropped."""

import pytest
from playwright.sync_api import Route, expect

from tests.support.browser import chromium, needs_chromium, visit
from tests.support.fake_engine import said, speech
from tests.support.recordings import recording
from tests.support.servers import KOREAN_WAV, wav_of
from tests.support.web_page import KOREAN, assert_understood, drop, finals

pytestmark = [pytest.mark.browser, needs_chromium, pytest.mark.timeout(180)]


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
