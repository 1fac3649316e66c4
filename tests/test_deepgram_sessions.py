"""Sessions on Deepgram from the client's side: real server, real sockets, and a far end that fails."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import httpx
import pytest

from server import stt_service
from server.engines.base import Engine
from server.engines.deepgram import engine as deepgram
from server.engines.deepgram.breaker import CircuitBreaker
from server.engines.deepgram.engine import DeepgramEngine
from tests.conftest import (
    Event,
    connect,
    finals,
    finish,
    open_session,
    read_to_end,
    run_server,
    settings_of,
    stream,
    upload,
)
from tests.deepgram_engine import CodedEngine, Time, seconds_of, warm_engine
from tests.deepgram_peer import KEY, DeepgramPeer
from tests.deepgram_speech import coded_speech, coded_text, embedded
from tests.deepgram_stream import Misfortune, NeverAnswer, Refuse, Trouble

SENTENCES = [list(range(first, first + 1 + first % 4)) for first in range(10, 110, 10)]
SPEECH = coded_speech(*SENTENCES)
SPOKEN: dict[str, Any] = {"deepgram_max_speed": 3.0, "deepgram_silence_seconds": 4.0}
"""As fast as the embedded engine can hear."""
PERIOD = 5.4
"""Seconds from one beginning of the real sentence to the next."""
LIMITS = {"deepgram_connect_seconds": 0.5, "deepgram_silence_seconds": 0.5, "deepgram_finish_seconds": 5.0}


def with_pauses(sentence: bytes, times: int, pause: float | None = None) -> bytes:
    """The sentence again and again; without ``pause`` it begins every ``PERIOD`` seconds."""
    seconds = PERIOD - seconds_of(sentence) if pause is None else pause
    return (sentence + bytes(round(seconds * 16_000) * 2)) * times


@pytest.fixture
def embedded_engine() -> Engine:
    return warm_engine()


@pytest.fixture
def breaker_time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(deepgram, "CircuitBreaker", partial(CircuitBreaker, clock=time))
    return time


@asynccontextmanager
async def serving(
    peer: DeepgramPeer, engines: Mapping[str, Engine] | None = None, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A server whose Deepgram is ``peer``; beside it the ``engines``, by default one that hears coded speech."""
    values = {
        "deepgram_api_key": KEY,
        "deepgram_base_url": peer.url,
        "deepgram_max_speed": 20,
        "deepgram_probe": False,
        **LIMITS,
        **settings,
    }
    chain: dict[str, Engine] = {
        "deepgram": DeepgramEngine(settings_of(**values)),
        **(engines or {"local": CodedEngine()}),
    }
    running = run_server(chain, values)
    url = await asyncio.to_thread(running.__enter__)  # the peer lives on this event loop
    try:
        async with connect(url) as http:
            yield http
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def play(http: httpx.AsyncClient, pcm: bytes, **config: Any) -> list[Event]:
    """A whole session; its events as they came."""
    session_id = await open_session(http, **config)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read_to_end(http, session_id))
        await upload(http, session_id, pcm)
        await finish(http, session_id)
    return reading.result()


def words_of(events: Sequence[Event]) -> list[str]:
    return " ".join(finals(list(events))).split()


def codes(events: Sequence[Event]) -> list[str]:
    return [event.data["code"] for event in events if event.type == "error"]


def assert_times_are_monotone(events: Sequence[Event]) -> None:
    now = 0.0
    for event in events:
        if event.type == "final":
            for word in event.data["words"]:
                assert now <= word["start"] <= word["end"]
                now = word["end"]
            assert event.data["start"] <= now <= event.data["end"]


# --- a session that goes well ---------------------------------------------------------------------------------------


async def test_a_session_is_recognised_by_deepgram() -> None:
    async with DeepgramPeer() as peer, serving(peer) as http:
        events = await play(http, SPEECH)
    assert finals(events) == coded_text(*SENTENCES)
    assert {event.data["engine"] for event in events if event.type == "final"} == {"deepgram"}
    assert [event.type for event in events].count("speech_start") == len(SENTENCES)
    assert [event.type for event in events].count("speech_end") == len(SENTENCES)
    assert any(event.type == "token" for event in events)
    assert (codes(events), events[-1].data["reason"]) == ([], "finished")


@pytest.mark.parametrize("trouble", [Trouble(), Trouble(ignores=("Finalize",))], ids=["answered", "not answered"])
async def test_a_client_that_stops_sending_gets_its_words_and_goes_on_later(trouble: Trouble) -> None:
    async with DeepgramPeer([trouble]) as peer, serving(peer, deepgram_keepalive_seconds=0.05) as http:
        session_id = await open_session(http)
        async with stream(http, session_id) as events:
            await upload(http, session_id, coded_speech([1, 2], pause=0))
            assert await anext(event.data["text"] async for event in events if event.type == "final") == "w1 w2"
        await upload(http, session_id, coded_speech([3, 4]))
        assert (await finish(http, session_id))["text"] == "w1 w2 w3 w4"
        assert len(peer.streams) == 1


async def test_a_config_that_the_model_can_not_do_is_refused_by_field() -> None:
    async with DeepgramPeer() as peer, serving(peer) as http:
        for config, fields in (
            ({"language": "multi", "model": "nova-9"}, {"config.model"}),
            ({"language": "ar"}, {"config.language"}),
            ({"keywords": ["word:2"], "model": "nova-3"}, {"config.keywords"}),
            ({"diarize": True}, {"config.diarize"}),
        ):
            answer = await http.post("/sessions", json={"config": {"engine": "deepgram"} | config})
            assert answer.status_code == 422
            assert {error["field"] for error in answer.json()["errors"]} == fields
            assert "deepgram" in answer.json()["detail"]
        answer = await http.post("/sessions", json={"config": {"utterance_end_ms": 999}})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "config.utterance_end_ms")
        assert peer.handshakes == []


async def test_a_model_that_no_engine_knows_is_a_mistake_and_not_a_wish_for_another_engine() -> None:
    async with DeepgramPeer() as peer, serving(peer) as http:
        answer = await http.post("/sessions", json={"config": {"model": "nova3"}})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "config.model")
        assert "there is nova-3, " in answer.json()["detail"]
        for config, engine in (
            ({"model": "nova-3"}, "deepgram"),
            ({"model": "00000000-0000-0000-0000-000000000000"}, "deepgram"),
            ({"model": "nova-2-meeting", "language": "ko"}, "local"),  # it does not know the language
            ({"model": "nova3", "engine": "local"}, "local"),  # it has models of its own
        ):
            assert (await http.post("/sessions", json={"config": config})).json()["engine"] == engine


async def test_info_tells_what_deepgram_can_do() -> None:
    async with DeepgramPeer() as peer, serving(peer) as http:
        told = (await http.get("/info")).json()["engines"]["deepgram"]
    assert {"ko", "ko-KR", "multi", "en-US"} <= set(told["languages"])
    assert (told["keywords"], told["utterance_end"], told["diarize"]) == (True, True, False)
    assert {"nova-2", "nova-3"} <= set(told["models"])


async def test_metrics_tell_what_a_session_costs() -> None:
    async with DeepgramPeer([Trouble(close_after=5.0)]) as peer, serving(peer) as http:
        await play(http, SPEECH)
        sent = sum(stream.seconds for stream in peer.streams)
        metrics = dict(line.rsplit(" ", 1) for line in (await http.get("/metrics")).text.splitlines())
    assert metrics['stt_session_sent_seconds_count{engine="deepgram"}'] == "1.0"
    assert float(metrics['stt_session_sent_seconds_sum{engine="deepgram"}']) == pytest.approx(sent, abs=0.3)
    assert sent > seconds_of(SPEECH)
    assert float(metrics['stt_session_connected_seconds_sum{engine="deepgram"}']) > 0
    assert metrics['stt_engine_ready{engine="deepgram"}'] == "1.0"
    assert metrics['stt_engine_failures_total{engine="deepgram"}'] == "1.0"


# --- a session that outlives its connections ------------------------------------------------------------------------

EVERYTHING: list[Misfortune] = [
    Trouble(close_after=2.35),
    Trouble(close_after=4.15, code=None),
    Refuse(503),
    Trouble(deaf_after=3.3),
    Refuse(429),
    Trouble(close_after=5.05, reason=""),
]


async def test_every_word_comes_once_whatever_happens_to_the_connection() -> None:
    async with DeepgramPeer(EVERYTHING) as peer, serving(peer) as http:
        events = await play(http, SPEECH)
        assert len(peer.handshakes) == len(EVERYTHING) + 1
    assert words_of(events) == " ".join(coded_text(*SENTENCES)).split()
    assert_times_are_monotone(events)
    assert codes(events) == ["engine_restarted"] * len(EVERYTHING)
    assert events[-1].data["reason"] == "finished"
    starts = [event for event in events if event.type == "speech_start"]
    ends = [event for event in events if event.type == "speech_end"]
    assert len(starts) == len(ends)


async def test_nothing_that_is_settled_is_sent_again_and_everything_else_is() -> None:
    async with DeepgramPeer([Trouble(close_after=7.05)]) as peer, serving(peer) as http:
        await play(http, SPEECH)
        first, second = peer.streams
    settled = [message for message in first.said if message.get("is_final")][-1]
    through = round((settled["start"] + settled["duration"]) * 32_000)
    assert 0 < through < len(first.audio)
    assert bytes(second.audio) == SPEECH[through:]


@pytest.mark.parametrize("silent", [NeverAnswer(), Trouble(mute_after=2.0)], ids=["handshake", "stream"])
async def test_silence_from_the_far_end_is_not_waited_for(silent: NeverAnswer | Trouble) -> None:
    async with DeepgramPeer([silent]) as peer, serving(peer) as http:
        events = await play(http, SPEECH)
    assert words_of(events) == " ".join(coded_text(*SENTENCES)).split()
    assert codes(events) == ["engine_restarted"]


async def test_the_connection_may_break_at_the_very_end() -> None:
    plan = [Trouble(ignores=("CloseStream",))]
    async with DeepgramPeer(plan) as peer, serving(peer, deepgram_finish_seconds=0.3) as http:
        events = await play(http, coded_speech(*SENTENCES, pause=0.1))
    assert words_of(events) == " ".join(coded_text(*SENTENCES)).split()


async def test_real_speech_survives_everything(korean_pcm: bytes, embedded_engine: Engine) -> None:
    """A minute of it: three closes in the middle of a word, a socket that is not read, two refusals."""
    plan: list[Misfortune] = [
        Trouble(close_after=2.0),
        Refuse(503),
        Trouble(close_after=7.6),
        Trouble(deaf_after=7.0),
        Refuse(429),
        Trouble(close_after=18.2, code=None),
    ]
    sentences = 11
    async with (
        DeepgramPeer(plan, transcriber=embedded(embedded_engine)) as peer,
        serving(peer, {"local": embedded_engine}, **SPOKEN) as http,
    ):
        events = await play(http, with_pauses(korean_pcm, sentences))
        assert len(peer.handshakes) == len(plan) + 1
    assert len(finals(events)) == "".join(finals(events)).count("걸어갔다") == sentences
    assert_times_are_monotone(events)
    starts = [event.data["start"] for event in events if event.type == "final"]
    assert [after - before for before, after in pairwise(starts)] == pytest.approx([PERIOD] * (sentences - 1), abs=0.5)
    assert codes(events) == ["engine_restarted"] * len(plan)
    assert {event.data["engine"] for event in events if event.type == "final"} == {"deepgram"}


# --- the next engine ------------------------------------------------------------------------------------------------


async def test_when_deepgram_is_gone_for_good_the_next_engine_finishes_the_session() -> None:
    async with DeepgramPeer() as peer, serving(peer) as http:
        session_id = await open_session(http)
        await upload(http, session_id, SPEECH)
        await peer.until(lambda peer: bool(peer.streams) and peer.streams[0].seconds > 7.05)
        await peer.vanish()
        await finish(http, session_id)
        events = await read_to_end(http, session_id)
    assert words_of(events) == " ".join(coded_text(*SENTENCES)).split()
    assert codes(events) == ["engine_restarted"] * 3 + ["engine_failover"]
    failover = next(event.data for event in events if event.data.get("code") == "engine_failover")
    assert (failover["engine"], failover["recoverable"]) == ("local", True)
    engines = [event.data["engine"] for event in events if event.type == "final"]
    assert engines == sorted(engines)
    assert set(engines) == {"deepgram", "local"}


async def test_a_session_that_has_no_other_engine_waits_until_deepgram_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than there are retries; the circuit is open by then."""
    monkeypatch.setattr(stt_service, "FIRST_BACKOFF_SECONDS", 0.01)
    async with DeepgramPeer() as peer, serving(peer) as http:
        session_id = await open_session(http, engine="deepgram")
        await upload(http, session_id, SPEECH)
        await peer.until(lambda peer: bool(peer.streams) and peer.streams[0].seconds > 7.05)
        async with stream(http, session_id) as events:
            await peer.vanish()
            restarts = 0
            while restarts < 7:
                restarts += (await anext(events)).type == "error"
        assert (await http.get("/health")).json()["engines"]["deepgram"]["circuit"] == "open"
        await peer.come_back()
        await finish(http, session_id)
        heard = await read_to_end(http, session_id)
        assert (await http.get("/health")).json()["engines"]["deepgram"]["circuit"] == "closed"
    assert words_of(heard) == " ".join(coded_text(*SENTENCES)).split()
    assert set(codes(heard)) == {"engine_restarted"}
    assert heard[-1].data["reason"] == "finished"


async def test_an_outage_is_not_waited_for_for_ever() -> None:
    async with DeepgramPeer([Refuse(503)] * 9) as peer, serving(peer, engine_outage_seconds=0) as http:
        events = await play(http, SPEECH, engine="deepgram")
    assert codes(events) == ["engine_restarted"] * 3 + ["engine_failed"]


async def test_real_speech_is_finished_by_the_embedded_engine(korean_pcm: bytes, embedded_engine: Engine) -> None:
    async with (
        DeepgramPeer(transcriber=embedded(embedded_engine)) as peer,
        serving(peer, {"local": embedded_engine}, **SPOKEN) as http,
    ):
        session_id = await open_session(http)
        await upload(http, session_id, with_pauses(korean_pcm, 3))
        await peer.until(lambda peer: bool(peer.streams) and peer.streams[0].seconds > 7.0)
        await peer.vanish()
        await finish(http, session_id)
        events = await read_to_end(http, session_id)
    assert codes(events)[-1] == "engine_failover"
    spoken = [event.data for event in events if event.type == "final"]
    assert [final["engine"] for final in spoken] == ["deepgram", "local", "local"]
    assert all("걸어갔다" in final["text"] for final in spoken)
    assert_times_are_monotone(events)


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (Refuse(400, message="Why not."), "Deepgram refuses the session's parameters (400): Why not."),
        (Refuse(401), "Deepgram refuses the API key (401)."),
        (Refuse(402), "Deepgram's account is out of credit (402)."),
        (Refuse(403), "The API key may not use this model of Deepgram (403)."),
        (Trouble(close_after=1.0, code=1008), "Deepgram can't decode the audio (1008)."),
    ],
)
async def test_what_no_retry_helps_moves_the_session_at_once(refusal: Refuse | Trouble, message: str) -> None:
    async with DeepgramPeer([refusal]) as peer, serving(peer) as http:
        events = await play(http, SPEECH)
        assert len(peer.handshakes) == 1
    assert words_of(events) == " ".join(coded_text(*SENTENCES)).split()
    assert codes(events) == ["engine_failover"]
    assert next(event.data["message"] for event in events if event.type == "error") == message


async def test_new_sessions_go_to_the_next_engine_until_deepgram_has_recovered(breaker_time: Time) -> None:
    refused = [Refuse(503)] * 3
    async with (
        DeepgramPeer(refused) as peer,
        serving(peer, deepgram_breaker_failures=3, deepgram_breaker_seconds=30) as http,
    ):
        events = await play(http, SPEECH)
        assert codes(events) == ["engine_restarted"] * 2 + ["engine_failover"]
        health = (await http.get("/health")).json()
        assert (health["status"], health["engines"]["deepgram"]["circuit"]) == ("ok", "open")
        assert health["engines"]["deepgram"]["detail"] == "Deepgram is not available (503)."
        assert 'stt_engine_ready{engine="deepgram"} 0.0' in (await http.get("/metrics")).text
        events = await play(http, SPEECH)
        assert {event.data["engine"] for event in events if event.type == "final"} == {"local"}
        assert (codes(events), len(peer.handshakes)) == ([], len(refused))

        breaker_time.now = 30.0
        events = await play(http, SPEECH)
        assert {event.data["engine"] for event in events if event.type == "final"} == {"deepgram"}
        assert (await http.get("/health")).json()["engines"]["deepgram"]["circuit"] == "closed"


async def test_sessions_beyond_what_the_account_allows_go_to_the_next_engine() -> None:
    async with DeepgramPeer() as peer, serving(peer, deepgram_sessions=1) as http:
        opened = [(await http.post("/sessions")).json()["engine"] for _ in range(2)]
    assert opened == ["deepgram", "local"]


async def test_a_session_that_wants_deepgram_alone_ends_with_the_reason() -> None:
    async with DeepgramPeer([Refuse(401)]) as peer, serving(peer) as http:
        events = await play(http, SPEECH, engine="deepgram")
    assert [event.type for event in events] == ["error", "session_end"]
    assert events[0].data["message"] == "Deepgram refuses the API key (401)."
    assert events[0].data["recoverable"] is False


# --- the key --------------------------------------------------------------------------------------------------------


async def test_without_a_key_health_says_so_and_the_embedded_engine_does_it_all() -> None:
    with run_server({"local": CodedEngine()}) as url:
        async with connect(url) as http:
            health = (await http.get("/health")).json()
            assert (health["status"], list(health["engines"])) == ("ok", ["local"])
            assert health["notes"] == ["DEEPGRAM_API_KEY is not set: the embedded engine recognises every session."]
            assert finals(await play(http, SPEECH))


async def test_with_a_bad_key_health_says_so_and_the_embedded_engine_does_it_all() -> None:
    async with DeepgramPeer() as peer, serving(peer, deepgram_api_key="wrong", deepgram_probe=True) as http:
        health = (await http.get("/health")).json()
        assert (health["status"], health["engines"]["deepgram"]["ready"]) == ("ok", False)
        assert health["engines"]["deepgram"]["detail"] == "Deepgram refuses the API key (401)."
        events = await play(http, SPEECH)
        assert {event.data["engine"] for event in events if event.type == "final"} == {"local"}
        assert (codes(events), len(peer.handshakes)) == ([], 1)


# --- silence that is not sent ---------------------------------------------------------------------------------------


async def test_with_silence_left_out_the_transcript_is_the_same(korean_pcm: bytes, embedded_engine: Engine) -> None:
    pcm = with_pauses(korean_pcm, 2, pause=4.0)
    async with DeepgramPeer(transcriber=embedded(embedded_engine)) as peer:
        beside = {"local": embedded_engine}
        async with serving(peer, beside, **SPOKEN) as http:
            sent = await play(http, pcm)
        async with serving(peer, beside, **SPOKEN, deepgram_skip_silence=True) as http:
            skipped = await play(http, pcm)
        whole, gated = peer.streams
    assert len(finals(skipped)) == len(finals(sent)) == 2
    assert all("걸어갔다" in text for text in finals(skipped))
    assert gated.seconds < whole.seconds - 4.0
    for before, after in zip(_starts(sent), _starts(skipped), strict=True):
        assert after == pytest.approx(before, abs=0.25)


def _starts(events: Sequence[Event]) -> list[float]:
    return [event.data["start"] for event in events if event.type == "final"]
