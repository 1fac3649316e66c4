"""Sessions on Deepgram from the client's side: those that go well, with a key or without, with silence or without."""

from collections.abc import Sequence

import pytest

from server.engines.base import Engine
from server.engines.deepgram.settings import NO_KEY
from tests.support.deepgram_engine import CodedEngine, seconds_of
from tests.support.deepgram_peer import DeepgramPeer
from tests.support.deepgram_sessions import (  # noqa: F401
    SENTENCES,
    SPEECH,
    SPOKEN,
    codes,
    embedded_engine_fixture,
    play,
    serving,
    with_pauses,
)
from tests.support.deepgram_speech import coded_speech, coded_text, embedded
from tests.support.deepgram_stream import Trouble
from tests.support.servers import run_server
from tests.support.wire import Event, connect, finals, finish, open_session, stream, upload

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


# --- the key --------------------------------------------------------------------------------------------------------


async def test_without_a_key_health_says_so_and_the_embedded_engine_does_it_all() -> None:
    with run_server({"local": CodedEngine()}) as url:
        async with connect(url) as http:
            health = (await http.get("/health")).json()
            assert (health["status"], list(health["engines"])) == ("ok", ["local"])
            assert health["notes"] == [NO_KEY]
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
