"""Sessions on Deepgram from the client's side: when the next engine takes over, and when nobody does."""

from functools import partial

import pytest

from server.engines.base import Engine
from server.engines.deepgram import engine as deepgram
from server.engines.deepgram.breaker import CircuitBreaker
from server.recognition import session
from tests.support.deepgram_engine import Time
from tests.support.deepgram_peer import DeepgramPeer
from tests.support.deepgram_sessions import (  # noqa: F401
    SENTENCES,
    SPEECH,
    SPOKEN,
    assert_times_are_monotone,
    codes,
    embedded_engine_fixture,
    play,
    serving,
    with_pauses,
    words_of,
)
from tests.support.deepgram_speech import coded_text, embedded
from tests.support.deepgram_stream import Refuse, Trouble
from tests.support.wire import finish, open_session, read_to_end, stream, upload


@pytest.fixture
def breaker_time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(deepgram, "CircuitBreaker", partial(CircuitBreaker, clock=time))
    return time


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
    monkeypatch.setattr(session, "FIRST_BACKOFF_SECONDS", 0.01)
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
