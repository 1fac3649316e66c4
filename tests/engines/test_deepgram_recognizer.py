"""The Deepgram engine against the peer: the life of a stream."""

import asyncio
import logging
from typing import Any

import pytest

from server.models import Final, Interim, Recognition, SessionConfig, SpeechEnded, SpeechStarted
from tests.support.deepgram_peer import KEY, DeepgramPeer
from tests.support.deepgram_recognition import SECOND, SENTENCES, SPEECH, Outcome, engine_for, recognise
from tests.support.deepgram_speech import coded_speech, coded_text
from tests.support.deepgram_stream import NeverAnswer, Refuse, Trouble
from tests.support.engine_settings import deepgram_settings


async def test_a_stream_is_recognised_whole() -> None:
    async with DeepgramPeer() as peer:
        outcome = await recognise(engine_for(peer))
    assert outcome.error is None
    assert outcome.texts == coded_text(*SENTENCES)
    assert outcome.through == pytest.approx(len(SPEECH) / SECOND)
    kinds = [type(each) for each in outcome.recognitions if not isinstance(each, Interim)]
    spoken = [kind for kind, each in zip(kinds, _without_interims(outcome), strict=True) if _has_text(each)]
    assert spoken == [SpeechStarted, SpeechEnded, Final] * 3
    assert any(isinstance(each, Interim) for each in outcome.recognitions)


def _without_interims(outcome: Outcome) -> list[Recognition]:
    return [each for each in outcome.recognitions if not isinstance(each, Interim)]


def _has_text(recognition: Recognition) -> bool:
    return not isinstance(recognition, Final) or bool(recognition.text)


async def test_the_clock_goes_on_where_the_recognizer_was_opened() -> None:
    async with DeepgramPeer() as peer:
        outcome = await recognise(engine_for(peer), start=60.0)
    first = outcome.finals[0]
    assert [first.start, first.words[0].start, first.words[-1].end] == pytest.approx([60.0, 60.0, 61.1])


async def test_every_byte_is_sent_once_in_small_frames_and_none_is_empty() -> None:
    async with DeepgramPeer() as peer:
        await recognise(engine_for(peer))
        (stream,) = peer.streams
    assert bytes(stream.audio) == SPEECH
    assert {size for _, size in stream.frames} == {3_200}
    assert [text["type"] for text in stream.texts] == ["CloseStream"]


async def test_nothing_is_connected_before_there_is_audio() -> None:
    async with DeepgramPeer() as peer:
        engine = engine_for(peer)
        async with engine.open(SessionConfig(), 0.0) as recognizer:
            await asyncio.sleep(0)
            assert (peer.handshakes, engine.status()["streams"]) == ([], 0)
            await recognizer.finish()
            assert [each async for each in recognizer] == []
        assert peer.handshakes == []


async def test_what_the_session_wants_is_asked_for() -> None:
    async with DeepgramPeer() as peer:
        await recognise(engine_for(peer), model="nova-3", language="ko-KR", keywords=["김 대리"], punctuate=False)
        (handshake,) = peer.handshakes
    assert (handshake.get("model"), handshake.get("language")) == ("nova-3", "ko-KR")
    assert (handshake.all("keyterm"), handshake.get("punctuate")) == (["김 대리"], "false")
    assert handshake.headers["Authorization"] == f"Token {KEY}"


async def test_a_stream_without_audio_settles_its_words_and_is_kept_open() -> None:
    async with DeepgramPeer(hungry_seconds=1.0) as peer:
        engine = engine_for(peer, deepgram_keepalive_seconds=0.02)

        async def idle() -> None:
            await peer.until(lambda peer: peer.streams[0].count("KeepAlive") >= 3)

        outcome = await recognise(engine, coded_speech([1, 2], pause=0), meanwhile=idle)
        texts = [text["type"] for text in peer.streams[0].texts]
    assert texts[0] == "Finalize"
    assert set(texts[1:-1]) == {"KeepAlive"}
    assert (outcome.texts, outcome.error) == (["w1 w2"], None)


async def test_an_interim_that_is_never_settled_is_the_best_there_is_at_the_end() -> None:
    def alter(message: dict[str, Any]) -> None:
        message["is_final"] = message["speech_final"] = False

    async with DeepgramPeer(alter=alter) as peer:
        outcome = await recognise(engine_for(peer), coded_speech([1, 2], pause=0))
    assert (outcome.texts, outcome.error) == (["w1 w2"], None)


async def test_a_backlog_is_sent_no_faster_than_deepgram_allows() -> None:
    speed = 8.0
    async with DeepgramPeer() as peer:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await recognise(engine_for(peer, deepgram_max_speed=speed), SPEECH[: 4 * SECOND])
        (stream,) = peer.streams
    sent = 0.0
    for at, size in stream.frames:
        sent += size / SECOND
        assert sent <= (at - began) * speed


async def test_the_speed_is_the_one_that_deepgram_documents() -> None:
    assert deepgram_settings().deepgram_max_speed == 1.25


async def test_a_slow_far_end_slows_the_upload_down() -> None:
    """What waits is in the session's log, not in memory."""
    async with DeepgramPeer([NeverAnswer()]) as peer:
        engine = engine_for(peer, deepgram_connect_seconds=5)
        async with engine.open(SessionConfig(), 0.0) as recognizer:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.04):
                    await recognizer.send_audio(bytes(SECOND))


async def test_the_log_has_the_request_id_and_neither_key_nor_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with DeepgramPeer([Refuse(503), Trouble()]) as peer:
        logging.getLogger("websockets.server").setLevel(logging.INFO)
        await recognise(engine_for(peer))
        await recognise(engine_for(peer))
        ids = [handshake.request_id for handshake in peer.handshakes]
    assert all(request_id in caplog.text for request_id in ids)
    assert KEY not in caplog.text
    assert "w1" not in caplog.text


async def test_it_is_known_what_a_stream_has_cost() -> None:
    async with DeepgramPeer() as peer:
        outcome = await recognise(engine_for(peer))
    assert outcome.usage.sent_seconds == pytest.approx(len(SPEECH) / SECOND)
    assert outcome.usage.connected_seconds > 0


async def test_a_recognizer_that_is_given_up_leaves_nothing_behind() -> None:
    async with DeepgramPeer() as peer:
        engine = engine_for(peer)
        async with engine.open(SessionConfig(), 0.0) as recognizer:
            await recognizer.send_audio(SPEECH[:SECOND])
            await peer.until(lambda peer: bool(peer.streams))
            assert engine.status()["streams"] == 1
        await peer.until(lambda peer: peer.streams[0].over)
        assert engine.status()["streams"] == 0


async def test_messages_that_nobody_knows_are_noted_once_and_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def alter(message: dict[str, Any]) -> None:
        if not message["is_final"]:
            message["type"] = "Mystery"

    async with DeepgramPeer(alter=alter) as peer:
        outcome = await recognise(engine_for(peer))
    assert outcome.texts == coded_text(*SENTENCES)
    assert caplog.text.count("Mystery") == 1
