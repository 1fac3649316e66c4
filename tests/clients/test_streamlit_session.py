"""The thread behind the Streamlit app against a real server, and the picture that it keeps of a session."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from server.engines.base import BYTES_PER_SECOND
from stt_client import Event, ServerUnavailable, SessionState, STTClient
from stt_streamlit.charts import arrivals
from stt_streamlit.i18n import Words
from stt_streamlit.session import AHEAD_SECONDS, Background, _carry_on, _measure, _upload
from stt_streamlit.sidebar import sentence
from stt_streamlit.state import LiveSession, SessionView
from stt_streamlit.view import shade_percent, transcript_html
from tests.support.fake_engine import FakeEngine, said, speech
from tests.support.scripted_server import ScriptedServer, scripted_fixture, url_fixture  # noqa: F401
from tests.support.servers import STUCK_SECONDS, run_server, wav_of
from tests.support.streamlit_talk import NOWHERE, TALK, UTTERANCES, open_session, until

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
    until(lambda: live.audio is None)


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


async def test_a_server_that_is_slow_is_given_little_so_that_a_file_can_be_stopped() -> None:
    live = file_session(NOWHERE)

    class Slow:
        confirmed_bytes = sent = 0
        finished = False

        async def state(self) -> SessionState:
            buffered_seconds = self.sent / BYTES_PER_SECOND
            live.stopping = buffered_seconds > AHEAD_SECONDS  # by the user, as nothing goes on
            return SessionState("sess_x", "open", self.sent, buffered_seconds=buffered_seconds)

        async def send(self, pcm: bytes) -> None:
            self.sent += len(pcm)

        async def confirmed(self) -> None:
            return

        async def finish(self) -> None:
            self.finished = True

    slow = Slow()
    await _upload(slow, live, bytes(10_000_000))  # type: ignore[arg-type]
    assert slow.finished
    assert AHEAD_SECONDS < slow.sent / BYTES_PER_SECOND < 2 * AHEAD_SECONDS


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


async def test_a_file_whose_session_the_server_loses_is_transcribed_with_a_notice(
    scripted: ScriptedServer, url: str
) -> None:
    scripted.listens = True
    scripted.upload_faults.extend(["lose session"])
    live = file_session(url, TALK)
    await _carry_on(live)
    assert (live.view.status, live.view.problem) == ("ended", None)
    assert texts(live) == ["1 2", "3", "4 5 6"]
    assert [each.code for each in live.view.notices] == ["session_reopened"]
    assert live.view.session_id == "sess_1"
    assert [each["text"] for each in live.view.document["segments"]] == texts(live)
    assert "4 5 6" in live.view.srt and "4 5 6" in live.view.vtt


def test_what_was_said_so_far_is_asked_for(background: Background) -> None:
    live = LiveSession("microphone", "microphone", NOWHERE, view=SessionView(session_id="sess_x"))
    background.flush(live)
    until(lambda: live.view.notices)
    assert [each.code for each in live.view.notices] == ["server_away"]


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


def test_a_reopened_session_is_a_notice_and_its_words_come_again() -> None:
    view = after(
        event("speech_start", start=0.5),
        event("token", 2, text="안"),
        Event("session_reopened", {"reason": "session_not_found"}, 100.0, "sess_y", 3),
    )
    assert (view.session_id, view.interim, view.status) == ("sess_y", "", "live")
    assert [each.code for each in view.notices] == ["session_reopened"]
    for tongue in ("ko", "en"):
        assert sentence(Words(tongue), "notice", view.notices[0]) == Words(tongue)("notice_session_reopened")


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
