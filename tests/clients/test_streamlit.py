"""The Streamlit app without a browser: its script against a real server, and the thread behind it."""

import ast
import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from stt_client import RequestRefused, RetryPolicy, STTClient
from stt_streamlit.i18n import TEXTS, TONGUES, Words, tongue_of
from stt_streamlit.sidebar import sentence
from stt_streamlit.state import LiveSession, Problem
from tests.support.fake_engine import CONFIDENCE, FakeEngine, said, speech
from tests.support.servers import CLIENT, STUCK_SECONDS, run_server, wav_of
from tests.support.streamlit_talk import NOWHERE, TALK, UTTERANCES, open_session, until

APP = CLIENT / "streamlit_app.py"
PARTS = CLIENT / "stt_streamlit"


@pytest.fixture(autouse=True)
def single_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    once = RetryPolicy(give_up_seconds=0, first_contact_seconds=0)
    monkeypatch.setattr("stt_streamlit.session.OPENING", once)


@pytest.fixture(autouse=True)
def closed_threads() -> Iterator[None]:
    """Streamlit closes what a browser session has cached when it ends, which no test session does."""
    yield
    st.cache_resource.clear()


# --- the script -----------------------------------------------------------------------------------------------------


def open_app(url: str, monkeypatch: pytest.MonkeyPatch, locale: str = "en-US") -> AppTest:
    monkeypatch.setenv("STT_URL", url)
    app = AppTest.from_file(APP, default_timeout=STUCK_SECONDS)
    app.context = {"locale": locale}
    return run(app)


def run(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception, app.exception
    return app


def transcribe(app: AppTest, name: str = "talk.wav", audio: bytes = TALK) -> LiveSession:
    """Upload a file and run the script until its session is over, as a browser would."""
    app.file_uploader(key="file").set_value((name, audio, "audio/wav"))
    run(app)
    button(app, Words("en")("transcribe")).click()
    run(app)
    live: LiveSession = app.session_state["sessions"][-1]
    until(lambda: live.view.over)
    run(app)
    return live


def button(app: AppTest, label: str) -> Any:
    return next(each for each in app.button if each.label == label)


def shown(app: AppTest) -> str:
    kinds = (app.get("html"), app.error, app.warning, app.info, app.caption)
    return "\n".join(str(each.value) for kind in kinds for each in cast("list[Any]", kind))


def test_a_file_becomes_a_transcript(fake_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(fake_server, monkeypatch)
    transcribe(app)
    for text in said(*UTTERANCES):
        assert text in shown(app)
    assert f"{CONFIDENCE:.0%}" in shown(app)
    assert "talk.wav · fake" in shown(app)


def test_every_download_has_every_utterance(fake_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(fake_server, monkeypatch)
    view = transcribe(app).view
    assert view.text == "\n".join(said(*UTTERANCES))
    assert view.srt.startswith("1\n00:00:00,") and view.vtt.startswith("WEBVTT\n")
    for text in said(*UTTERANCES):
        assert text in view.srt and text in view.vtt
    assert [each["text"] for each in view.document["segments"]] == said(*UTTERANCES)
    downloads = cast("list[Any]", app.get("download_button"))
    assert [(each.label, each.disabled) for each in downloads] == [
        (each, False) for each in ("TXT", "SRT", "VTT", "JSON")
    ]


def test_running_the_script_again_neither_ends_nor_doubles_a_session(
    fake_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_app(fake_server, monkeypatch)
    app.file_uploader(key="file").set_value(("talk.wav", wav_of(speech(*UTTERANCES * 20)), "audio/wav"))
    run(app)
    button(app, "Transcribe").click()
    run(app)
    (live,) = app.session_state["sessions"]
    runs = 0
    while not live.view.over:
        run(app)
        runs += 1
    assert runs > 1
    assert app.session_state["sessions"] == [live]
    assert [each.text for each in live.view.utterances] == said(*UTTERANCES * 20)


def test_an_earlier_session_can_be_seen_again(fake_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(fake_server, monkeypatch)
    first = transcribe(app, "first.wav", wav_of(speech((7,))))
    transcribe(app, "second.wav", wav_of(speech((8,))))
    assert "말8" in shown(app) and "말7" not in shown(app)
    app.selectbox(key="shown").select(first.key)
    run(app)
    assert "말7" in shown(app) and "말8" not in shown(app)


def test_what_can_be_chosen_is_what_the_server_offers(fake_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(fake_server, monkeypatch)
    assert app.selectbox(key="language").options == ["한국어", "English"]
    assert app.selectbox(key="engine").options == ["Automatic", "fake"]
    assert app.text_input(key="keywords").disabled  # which this engine can't do
    assert app.selectbox(key="two_pass").disabled


def test_settings_reach_the_session(fake_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(fake_server, monkeypatch)
    app.selectbox(key="language").select("en")
    app.number_input(key="endpointing_ms").set_value(700)
    assert transcribe(app).config == {"language": "en", "engine": "auto", "endpointing_ms": 700}
    assert "English" in shown(app)


def test_the_language_is_the_browsers_and_can_be_switched(fake_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(fake_server, monkeypatch, "ko-KR")
    assert app.header[0].value == "실시간 음성 인식"
    app.session_state["tongue"] = "en"
    assert run(app).header[0].value == "Real-time speech to text"


def test_a_server_that_is_away_is_told_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(NOWHERE, monkeypatch)
    assert f"The speech server at {NOWHERE} does not answer." in app.error[0].value


def test_a_file_for_a_server_that_is_away_fails_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app(NOWHERE, monkeypatch)
    transcribe(app)
    assert Words("en")("problem_server_away") in shown(app)


def test_an_address_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_app("localhost:8001", monkeypatch)
    transcribe(app)
    assert Words("en")("problem_wrong_address") in shown(app)


def test_a_server_that_is_full_is_told_and_the_next_try_works(
    fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_server({"fake": fake_engine}, {"max_sessions": 1}) as url:
        app = open_app(url, monkeypatch)
        opened = asyncio.run(open_session(url))
        assert transcribe(app).view.status == "failed"
        assert Words("en")("problem_too_many_sessions") in shown(app)
        asyncio.run(purge(url, opened))
        assert transcribe(app).view.status == "ended"


async def purge(url: str, session_id: str) -> None:
    async with STTClient(url) as client:
        await (await client.session(session_id)).purge()


def test_a_refused_field_is_named() -> None:
    extra = {"errors": [{"field": "config.language", "message": "supported: ko"}]}
    problem = Problem.of(RequestRefused(422, "invalid_request", "…", extra))
    told = sentence(Words("en"), "problem", problem)
    assert told == "The server refused the settings.\n\n- config.language: supported: ko"


def test_a_browser_session_has_one_thread_which_ends_with_it(fake_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    until(lambda: not client_threads())
    app = open_app(fake_server, monkeypatch)
    run(app)
    assert len(client_threads()) == 1
    st.cache_resource.clear()  # what Streamlit does for its session
    until(lambda: not client_threads())


def client_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "stt-client"]


# --- words ----------------------------------------------------------------------------------------------------------


def test_both_languages_say_everything_with_the_same_values() -> None:
    for key, both in TEXTS.items():
        assert len(both) == len(TONGUES) and all(both), key
        korean, english = (sorted(re.findall(r"{\w+}", text)) for text in both)
        assert korean == english, key


def test_the_browsers_locale_chooses_the_language() -> None:
    assert [tongue_of(each) for each in ("ko", "ko-KR", "en-US", "kok-IN", None)] == ["ko", "ko", "en", "en", "en"]


def sources() -> list[Path]:
    return [APP, *sorted(each for each in PARTS.glob("*.py") if each.name != "i18n.py")]


def test_every_text_that_is_asked_for_exists() -> None:
    asked = {
        call.args[0].value
        for source in sources()
        for call in ast.walk(ast.parse(source.read_text("utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "words"
        if call.args and isinstance(call.args[0], ast.Constant)
    }
    assert len(asked) > 20
    assert asked <= set(TEXTS)


def test_every_text_is_asked_for() -> None:
    written = "".join(source.read_text("utf-8") for source in sources())
    by_code = ("problem_", "notice_", "mic_")
    by_kind = {"latency_help", "arrival_help"}
    unasked = {key for key in TEXTS if not re.search(f"[\"']{key}[\"']", written) and not key.startswith(by_code)}
    assert unasked == by_kind


def test_the_component_has_every_text_that_it_asks_for() -> None:
    script = (PARTS / "microphone_component" / "microphone.js").read_text("utf-8")
    asked = set(re.findall(r"texts\.(\w+)", script)) | {"idle", "starting", "recording", "finishing"}
    assert asked <= set(Words("ko").starting_with("mic_"))
    assert set(Words("ko").starting_with("mic_")) >= {"no_microphone", "permission_denied", "insecure_origin"}
