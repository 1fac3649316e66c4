"""The Deepgram peer is what it pretends to be: Deepgram's own SDK streams to it and reads everything it says."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.typing import Subprotocol

from tests.support.deepgram_engine import warm_engine
from tests.support.deepgram_peer import KEY, DeepgramPeer
from tests.support.deepgram_speech import coded_speech, coded_text, embedded
from tests.support.deepgram_stream import NET_0000, NET_0001, NeverAnswer, Refuse, Trouble
from tests.support.servers import wav_of

# the SDK still uses what websockets has replaced
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SENTENCES = ([1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11])
SPEECH = coded_speech(*SENTENCES)
FRAME_BYTES = 6_400


def sdk(peer: DeepgramPeer, **credentials: Any) -> Any:
    from deepgram import AsyncDeepgramClient, DeepgramClientEnvironment

    environment = DeepgramClientEnvironment(base="http://-", production=peer.url, agent="ws://-", agent_rest="http://-")
    return AsyncDeepgramClient(environment=environment, **(credentials or {"api_key": KEY}))


def query(**changes: Any) -> dict[str, Any]:
    asked = {
        "model": "nova-3",
        "language": "ko",
        "encoding": "linear16",
        "sample_rate": 16_000,
        "channels": 1,
        "interim_results": True,
        "smart_format": True,
        "endpointing": 300,
        "utterance_end_ms": 1000,
        "vad_events": True,
        "keyterm": ["김 대리", "a&b"],
    }
    return {name: value for name, value in (asked | changes).items() if value is not None}


@asynccontextmanager
async def dial(peer: DeepgramPeer, parameters: str, **options: Any) -> AsyncIterator[ClientConnection]:
    """A plain client, for what the SDK can't do."""
    options.setdefault("additional_headers", {"Authorization": f"Token {KEY}"})
    async with connect(f"{peer.url}/v1/listen?{parameters}", **options) as connection:
        yield connection


async def said(connection: ClientConnection) -> list[dict[str, Any]]:
    """Everything until the stream is closed."""
    return [json.loads(message) async for message in connection]


RAW = "model=nova-2&language=ko&encoding=linear16&sample_rate=16000&interim_results=true&endpointing=300"


# --- with the SDK ---------------------------------------------------------------------------------------------------


async def test_the_sdk_reads_every_message_of_a_stream_and_its_clean_end() -> None:
    from deepgram.listen.v1.types import (
        ListenV1Metadata,
        ListenV1Results,
        ListenV1SpeechStarted,
        ListenV1UtteranceEnd,
    )

    async with DeepgramPeer() as peer, sdk(peer).listen.v1.connect(**query()) as stream:
        for at in range(0, len(SPEECH), FRAME_BYTES):
            await stream.send_media(SPEECH[at : at + FRAME_BYTES])
        await stream.send_keep_alive()
        await stream.send_close_stream()
        messages = [message async for message in stream]

    types: Any = (ListenV1Results, ListenV1SpeechStarted, ListenV1UtteranceEnd, ListenV1Metadata)
    assert {type(message) for message in messages} == set(types)
    for message, raw in zip(messages, peer.streams[0].said, strict=True):
        type(message).model_validate(raw)  # the stream itself is read without looking at types and missing fields
    results = [message for message in messages if isinstance(message, ListenV1Results)]
    finals = [result for result in results if result.is_final]
    assert [text for final in finals if (text := final.channel.alternatives[0].transcript)] != coded_text(*SENTENCES)
    assert (
        " ".join(final.channel.alternatives[0].transcript for final in finals).split()
        == " ".join(coded_text(*SENTENCES)).split()
    )
    assert [final.speech_final for final in finals].count(True) == len(SENTENCES)
    for before, after in zip(finals, finals[1:], strict=False):
        assert after.start == pytest.approx(before.start + before.duration)
    word = finals[0].channel.alternatives[0].words[0]
    assert (word.word, word.punctuated_word) == ("w1", "w1")
    assert [word.start, word.end] == pytest.approx([0.0, 0.3])
    metadata = messages[-1]
    assert isinstance(metadata, ListenV1Metadata)
    assert metadata.sha256 == hashlib.sha256(SPEECH).hexdigest()
    assert metadata.duration == pytest.approx(len(SPEECH) / 32_000)
    assert metadata.request_id == results[0].metadata.request_id == peer.handshakes[0].request_id


async def test_what_the_sdk_asks_for_arrives() -> None:
    from deepgram.listen.v1.types import ListenV1Configure, ListenV1ConfigureSuccess

    async with DeepgramPeer() as peer, sdk(peer).listen.v1.connect(**query()) as stream:
        await stream.send_configure(ListenV1Configure(type="Configure", keyterms=["x"]))
        answer = await stream.recv()
        assert isinstance(answer, ListenV1ConfigureSuccess)
        await stream.send_close_stream()
        assert len([message async for message in stream]) == 1  # of no audio there is nothing but the metadata
    handshake = peer.handshakes[0]
    assert handshake.all("keyterm") == ["김 대리", "a&b"]
    assert (handshake.get("model"), handshake.get("sample_rate")) == ("nova-3", "16000")
    assert (handshake.flag("smart_format"), handshake.flag("diarize")) == (True, False)


async def test_finalize_settles_what_was_heard() -> None:
    async with DeepgramPeer() as peer, sdk(peer).listen.v1.connect(**query(vad_events=None)) as stream:
        await stream.send_media(coded_speech([1, 2], pause=0))
        await stream.send_finalize()
        async for message in stream:
            if message.is_final:
                break
        best = message.channel.alternatives[0]
        assert (best.transcript, message.from_finalize, message.duration) == ("w1 w2", True, pytest.approx(0.8))


async def test_the_sdk_is_told_what_a_model_can_not_be_configured_to_do() -> None:
    from deepgram.listen.v1.types import ListenV1Configure, ListenV1ConfigureFailure

    async with DeepgramPeer() as peer, sdk(peer).listen.v1.connect(**query(model="nova-2", keyterm=None)) as stream:
        await stream.send_configure(ListenV1Configure(type="Configure", keyterms=["x"]))
        answer = await stream.recv()
    assert isinstance(answer, ListenV1ConfigureFailure)
    assert answer.code == "CONFIGURE_KEYTERMS_NOT_SUPPORTED"


@pytest.mark.parametrize("credentials", [{"api_key": KEY}, {"access_token": KEY}], ids=["token", "bearer"])
async def test_the_sdk_gets_in_with_a_key_or_an_access_token(credentials: dict[str, str]) -> None:
    async with DeepgramPeer() as peer, sdk(peer, **credentials).listen.v1.connect(**query()) as stream:
        await stream.send_close_stream()
        assert [message.type async for message in stream] == ["Metadata"]


async def test_the_sdk_is_refused_with_a_wrong_key() -> None:
    from deepgram.core.api_error import ApiError

    async with DeepgramPeer() as peer:
        with pytest.raises(ApiError) as refused:
            async with sdk(peer, api_key="wrong").listen.v1.connect(**query()):
                pass
    assert refused.value.status_code == 401


async def test_the_sdk_streams_real_speech_to_the_embedded_engine(korean_pcm: bytes) -> None:
    async with (
        DeepgramPeer(transcriber=embedded(warm_engine())) as peer,
        sdk(peer).listen.v1.connect(**query(endpointing=500)) as stream,
    ):
        await stream.send_media(korean_pcm)
        await stream.send_close_stream()
        results = [message async for message in stream if message.type == "Results"]
    finals = [result.channel.alternatives[0] for result in results if result.is_final]
    assert "걸어갔다" in "".join(final.transcript for final in finals).replace(" ", "")
    assert any(not result.is_final for result in results)


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (f"{RAW}&utterance_end_ms=999", "Invalid 'utterance_end_ms' value of '999'."),
        (f"{RAW.replace('nova-2', 'nova-3')}&keywords=a:2", "Keywords are not supported for Nova-3."),
        (RAW.replace("nova-2", "nova-2-meeting"), "No such model/language/tier combination found."),
        (RAW.replace("endpointing=300", "endpointing=soon"), "Invalid 'endpointing' value of 'soon'."),
        (RAW.replace("&sample_rate=16000", ""), "'encoding' needs 'sample_rate'."),
    ],
)
async def test_a_query_that_deepgram_would_refuse_is_refused(parameters: str, reason: str) -> None:
    async with DeepgramPeer() as peer:
        with pytest.raises(InvalidStatus) as refused:
            async with dial(peer, parameters):
                pass
    answer = refused.value.response
    assert answer.status_code == 400
    assert reason in answer.headers["dg-error"]
    body = json.loads(answer.body or b"")
    assert (body["err_code"], body["request_id"]) == ("INVALID_QUERY_PARAMETER", answer.headers["dg-request-id"])


@pytest.mark.parametrize("status", [400, 401, 402, 403, 429, 503])
async def test_the_plan_refuses_handshakes_as_often_as_it_says(status: int) -> None:
    async with DeepgramPeer([Refuse(status, "SOME_CODE", "some reason")]) as peer:
        with pytest.raises(InvalidStatus) as refused:
            async with dial(peer, RAW):
                pass
        assert refused.value.response.status_code == status
        async with dial(peer, RAW) as stream:
            assert stream.response is not None
            assert stream.response.headers["dg-request-id"] == peer.handshakes[1].request_id


async def test_a_browser_brings_its_key_as_a_subprotocol() -> None:
    async with DeepgramPeer() as peer:
        offered = [Subprotocol("token"), Subprotocol(KEY)]
        async with dial(peer, RAW, additional_headers={}, subprotocols=offered) as stream:
            assert stream.subprotocol == "token"


# --- closes and faults ----------------------------------------------------------------------------------------------


async def test_a_stream_without_audio_or_keepalive_is_closed() -> None:
    async with DeepgramPeer(hungry_seconds=0.04) as peer, dial(peer, RAW) as stream:
        with pytest.raises(ConnectionClosedError) as closed:
            await said(stream)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, NET_0001)


async def test_keepalive_keeps_the_stream_open() -> None:
    async with DeepgramPeer(hungry_seconds=0.2) as peer, dial(peer, RAW) as stream:
        for _ in range(8):
            await stream.send('{"type": "KeepAlive"}')
            await asyncio.sleep(0.04)
        await stream.send(b"")  # an empty frame ends the stream, as CloseStream does
        assert [message["type"] for message in await said(stream)] == ["Metadata"]


async def test_a_stream_that_has_nothing_to_say_is_closed() -> None:
    async with DeepgramPeer([Trouble(mute_after=0)], mute_seconds=0.04) as peer, dial(peer, RAW) as stream:
        await stream.send(SPEECH)
        with pytest.raises(ConnectionClosedError) as closed:
            await said(stream)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, NET_0000)


async def test_a_wav_is_read_and_anything_else_is_undecodable() -> None:
    async with DeepgramPeer() as peer:
        async with dial(peer, "model=nova-2&language=ko&endpointing=300") as stream:
            await stream.send(wav_of(SPEECH))
            await stream.send('{"type": "CloseStream"}')
            texts = [message["channel"]["alternatives"][0]["transcript"] for message in (await said(stream))[:-1]]
            assert " ".join(texts).split() == " ".join(coded_text(*SENTENCES)).split()
        async with dial(peer, "model=nova-2&language=ko") as stream:
            await stream.send(b"no audio at all")
            with pytest.raises(ConnectionClosedError) as closed:
                await said(stream)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008


async def test_a_text_that_is_no_message_is_an_error_and_the_stream_goes_on() -> None:
    async with DeepgramPeer() as peer, dial(peer, RAW) as stream:
        for text in ("{", "", '{"type": "Nonsense"}'):
            await stream.send(text)
            assert json.loads(await stream.recv())["variant"] == "SchemaError"
        await stream.send('{"type": "CloseStream"}')
        assert [message["type"] for message in await said(stream)] == ["Metadata"]


async def test_samples_may_be_cut_in_two() -> None:
    async with DeepgramPeer() as peer, dial(peer, RAW) as stream:
        for at in range(0, len(SPEECH), 3_201):
            await stream.send(SPEECH[at : at + 3_201])
        await stream.send('{"type": "CloseStream"}')
        finals = [message for message in await said(stream) if message.get("is_final")]
        texts = [final["channel"]["alternatives"][0]["transcript"] for final in finals]
        assert " ".join(texts).split() == " ".join(coded_text(*SENTENCES)).split()


async def test_a_deaf_peer_answers_no_ping() -> None:
    async with (
        DeepgramPeer([Trouble(deaf_after=0.1)]) as peer,
        dial(peer, RAW, ping_interval=0.02, ping_timeout=0.04, close_timeout=0.04) as stream,
    ):
        await stream.send(SPEECH[:FRAME_BYTES])
        with pytest.raises(ConnectionClosedError) as closed:
            await said(stream)
    assert closed.value.rcvd is None


async def test_a_peer_that_never_answers_leaves_the_client_waiting() -> None:
    async with DeepgramPeer([NeverAnswer()]) as peer:
        with pytest.raises(TimeoutError):
            async with dial(peer, RAW, open_timeout=0.04):
                pass


async def test_a_peer_that_has_vanished_refuses_connections_and_breaks_the_open_ones() -> None:
    async with DeepgramPeer() as peer, dial(peer, RAW) as stream:
        await peer.vanish()
        with pytest.raises(ConnectionClosedError):
            await said(stream)
        with pytest.raises(OSError):
            async with dial(peer, RAW):
                pass
