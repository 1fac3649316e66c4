"""The Streamlit app without a browser: its script against a real server, and the thread behind it."""

import ast
import asyncio
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from client.i18n import TEXTS, TONGUES, Words, tongue_of
from client.streamlit_charts import arrivals
from client.streamlit_session import Background, _measure
from client.streamlit_sidebar import sentence
from client.streamlit_state import LiveSession, Problem, SessionView
from client.streamlit_view import clock, shade_percent, transcript_html
from client.stt_client import Event, RequestRefused, RetryPolicy, ServerUnavailable, SessionState, STTClient
from tests.conftest import ROOT, STUCK_SECONDS, run_server, wav_of
from tests.fake_engine import CONFIDENCE, FakeEngine, said, speech

APP = ROOT / "client" / "streamlit_app.py"
COMPONENT = ROOT / "client" / "microphone_component"
NOWHERE = "http://127.0.0.1:9"
UTTERANCES = ((1, 2), (3,), (4, 5, 6))
TALK = wav_of(speech(*UTTERANCES))


@pytest.fixture(autouse=True)
def single_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    once = RetryPolicy(give_up_seconds=0, first_contact_seconds=0)
    monkeypatch.setattr("client.streamlit_session.OPENING", once)


@pytest.fixture(autouse=True)
def closed_threads() -> Iterator[None]:
    """Streamlit closes what a browser session has cached when it ends, which no test session does."""
    yield
    st.cache_resource.clear()


def until(condition: Any) -> None:
    """Wait for something that another thread is doing."""
    deadline = time.monotonic() + STUCK_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


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


async def open_session(url: str) -> str:
    async with STTClient(url) as client:
        return (await client.create_session()).session_id


async def purge(url: str, session_id: str) -> None:
    async with STTClient(url) as client:
        await (await client.session(session_id)).purge()


def test_a_refused_field_is_named() -> None:
    extra = {"errors": [{"field": "config.language", "message": "supported: ko"}]}
    problem = Problem.of(RequestRefused(422, "invalid_request", "…", extra))
    told = sentence(Words("en"), "problem", problem)
    assert told == "The server refused the settings.\n\n- config.language: supported: ko"


# --- the thread -----------------------------------------------------------------------------------------------------


@pytest.fixture
def background() -> Iterator[Background]:
    thread = Background()
    yield thread
    thread.close()
    thread.join()


def file_session(url: str, audio: bytes = TALK) -> LiveSession:
    return LiveSession("file", "talk.wav", url, audio=audio)


def texts(live: LiveSession) -> list[str]:
    return [each.text for each in live.view.utterances]


def test_a_session_is_carried_on_by_another_thread(fake_server: str, background: Background) -> None:
    live = file_session(fake_server, wav_of(speech(*UTTERANCES * 40)))
    first = Background()
    first.carry_on(live)
    until(lambda: live.view.utterances)
    first.close()
    first.join()
    assert not live.view.over and live.audio is not None
    session_id = live.view.session_id
    background.carry_on(live)
    until(lambda: live.view.over)
    assert (live.view.status, live.view.session_id) == ("ended", session_id)
    assert texts(live) == said(*UTTERANCES * 40)
    assert live.audio is None


def test_asking_twice_follows_once(fake_server: str, background: Background) -> None:
    live = file_session(fake_server)
    for _ in range(5):
        background.carry_on(live)
    until(lambda: live.view.over)
    assert texts(live) == said(*UTTERANCES)


def test_a_session_of_someone_else_is_followed_to_its_end(fake_server: str, background: Background) -> None:
    session_id = asyncio.run(open_session(fake_server))
    live = LiveSession("microphone", "microphone", fake_server, view=SessionView(session_id=session_id))
    background.carry_on(live)
    until(lambda: live.view.status == "live")
    asyncio.run(send_and_finish(fake_server, session_id))
    until(lambda: live.view.over)
    assert texts(live) == said(*UTTERANCES)
    assert all(seconds >= 0 for seconds in arrivals(live, live.view))


async def send_and_finish(url: str, session_id: str) -> None:
    async with STTClient(url) as client:
        session = await client.session(session_id)
        await session.send(TALK)
        await session.finish()


def test_a_session_that_the_server_has_forgotten_is_told(fake_server: str, background: Background) -> None:
    live = LiveSession("microphone", "microphone", fake_server, view=SessionView(session_id="sess_gone"))
    background.carry_on(live)
    until(lambda: live.view.over)
    assert live.view.problem and live.view.problem.code == "session_lost"


def test_a_file_that_is_stopped_ends_with_what_was_sent(fake_server: str, background: Background) -> None:
    live = file_session(fake_server, wav_of(speech(*[(1,)] * 600)))
    background.carry_on(live)
    until(lambda: live.view.utterances)
    live.stopping = True
    until(lambda: live.view.over)
    assert live.view.status == "ended"
    assert 0 < len(live.view.utterances) < 600


def test_a_browser_session_has_one_thread_which_ends_with_it(fake_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    until(lambda: not client_threads())
    app = open_app(fake_server, monkeypatch)
    run(app)
    assert len(client_threads()) == 1
    st.cache_resource.clear()  # what Streamlit does for its session
    until(lambda: not client_threads())


def client_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "stt-client"]


def test_a_server_that_goes_and_comes_is_seen(fake_engine: FakeEngine, background: Background) -> None:
    with run_server({"fake": fake_engine}) as url:
        background.watch(url, None)
        background.wait_for_server(STUCK_SECONDS)
        before = background.server
        assert before.ready
        assert list(before.info["engines"]) == ["fake"]
    until(lambda: background.server.problem)
    now = background.server
    assert not now.ready
    assert now.problem and now.problem.code == "server_away"
    assert list(now.info["engines"]) == ["fake"]  # for the settings, until it is back


def test_something_else_at_the_address_is_no_server(background: Background, fake_server: str) -> None:
    background.watch(f"{fake_server}/docs", None)
    background.wait_for_server(STUCK_SECONDS)
    assert background.server.known and not background.server.ready


async def test_what_happens_during_a_question_is_not_forgotten() -> None:
    live = file_session(NOWHERE)

    class Asked:
        async def state(self) -> SessionState:
            live.view = live.view.after(event("final", text="말", start=0.0, end=1.0))
            return SessionState("sess_x", "open", 50, recognized_seconds=1.0, buffered_seconds=1.0)

    with suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await _measure(Asked(), live, 100)  # type: ignore[arg-type]
    assert texts(live) == ["말"]
    assert live.view.progress == 0.25


# --- the picture ----------------------------------------------------------------------------------------------------


def event(event_type: str, event_id: int = 1, timestamp: float = 100.0, **data: Any) -> Event:
    return Event(event_type, data, timestamp, "sess_x", event_id)


def after(*events: Event) -> SessionView:
    view = SessionView(status="live")
    for each in events:
        view = view.after(each)
    return view


def test_a_final_takes_the_place_of_the_interim() -> None:
    view = after(event("token", text="안녕"), event("final", 2, text="안녕하세요", start=0.5, end=1.5, confidence=0.8))
    assert (view.interim, view.text, view.last_event_id) == ("", "안녕하세요", 2)
    assert view.utterances[0].confidence == 0.8


def test_speech_is_open_until_it_ends() -> None:
    view = after(event("speech_start", start=0.5))
    assert view.speech == ((0.5, None),)
    assert view.after(event("speech_end", end=2.0)).speech == ((0.5, 2.0),)
    assert view.after(event("speech_start", start=3.0)).speech == ((0.5, 3.0), (3.0, None))


def test_the_end_closes_everything() -> None:
    view = after(event("speech_start", start=0.5), event("token", text="안"), event("session_end", reason="finished"))
    assert (view.status, view.reason, view.interim, view.speech) == ("ended", "finished", "", ((0.5, 0.5),))


def test_latency_counts_from_the_quickest_event() -> None:
    view = after(
        event("speech_start", timestamp=101.0, start=1.0),
        event("token", timestamp=102.5, text="말", start=1.0, end=2.0),
        event("final", timestamp=103.2, text="말", start=1.0, end=2.0),
    )
    assert view.zero == 100.0
    assert arrivals(LiveSession("microphone", "", NOWHERE), view) == [pytest.approx(1.2)]


def test_an_engine_failover_is_a_notice_and_no_end() -> None:
    view = after(event("error", code="engine_failover", message="…", recoverable=True))
    assert [each.code for each in view.notices] == ["engine_failover"]
    assert not view.over


@pytest.mark.parametrize(
    ("recognized", "buffered", "offset", "progress"),
    [(0.0, 0.0, 0, 0.0), (5.0, 5.0, 100, 0.5), (5.0, 5.0, 50, 0.25), (10.0, 0.0, 100, 1.0)],
)
def test_progress_is_what_is_recognised_of_the_whole_file(
    recognized: float, buffered: float, offset: int, progress: float
) -> None:
    state = SessionState("sess_x", "open", offset, recognized_seconds=recognized, buffered_seconds=buffered)
    assert SessionView().measured(state, 100).progress == progress


def test_a_failure_keeps_what_was_recognised() -> None:
    view = after(event("final", text="말", start=0.0, end=1.0)).failed(ServerUnavailable("gone"))
    assert (view.status, view.text) == ("failed", "말")


def test_no_text_is_too_pale_to_read_and_certainty_is_darker() -> None:
    shades = [shade_percent(confidence / 100) for confidence in range(101)]
    assert shades == sorted(shades)
    assert (min(shades), max(shades), shade_percent(None)) == (60.0, 100.0, 100.0)


def test_what_was_said_is_text_and_never_markup() -> None:
    view = after(event("final", text="<img src=x onerror=alert(1)>", start=0.0, end=1.0))
    html = transcript_html(Words("en"), view, "<script>")
    assert "<img" not in html and "<script" not in html
    assert "&lt;img" in html and "&lt;script" in html


def test_clock_is_minutes_and_tenths() -> None:
    assert [clock(0.04), clock(59.96), clock(61.25)] == ["0:00.0", "1:00.0", "1:01.2"]


# --- words ----------------------------------------------------------------------------------------------------------


def test_both_languages_say_everything_with_the_same_values() -> None:
    for key, both in TEXTS.items():
        assert len(both) == len(TONGUES) and all(both), key
        korean, english = (sorted(re.findall(r"{\w+}", text)) for text in both)
        assert korean == english, key


def test_the_browsers_locale_chooses_the_language() -> None:
    assert [tongue_of(each) for each in ("ko", "ko-KR", "en-US", "kok-IN", None)] == ["ko", "ko", "en", "en", "en"]


def sources() -> list[Path]:
    return sorted(APP.parent.glob("streamlit_*.py"))


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
    assert {key for key in TEXTS if f'"{key}"' not in written and not key.startswith(by_code)} == by_kind


def test_the_component_has_every_text_that_it_asks_for() -> None:
    script = (COMPONENT / "microphone.js").read_text("utf-8")
    asked = set(re.findall(r"texts\.(\w+)", script)) | {"idle", "starting", "recording", "finishing"}
    assert asked <= set(Words("ko").starting_with("mic_"))
    assert set(Words("ko").starting_with("mic_")) >= {"no_microphone", "permission_denied", "insecure_origin"}
