"""The Deepgram engine against the peer: the life of a stream, each way in which it fails, and the circuit breaker."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import pytest
from websockets.asyncio.client import ClientConnection

from server.engines.base import Usage
from server.engines.deepgram import engine as deepgram
from server.engines.deepgram import socket as deepgram_socket
from server.engines.deepgram.breaker import CircuitBreaker
from server.engines.deepgram.engine import NO_KEY, DeepgramEngine
from server.engines.deepgram.messages import DeepgramError
from server.engines.deepgram.pulse import Pulse
from server.engines.deepgram.recognizer import DeepgramRecognizer
from server.engines.vad import FRAME_BYTES as VAD_FRAME_BYTES
from server.errors import EngineError
from server.models import Final, Interim, Recognition, SessionConfig, SpeechEnded, SpeechStarted
from tests.conftest import settings_of
from tests.deepgram_engine import Time
from tests.deepgram_peer import KEY, DeepgramPeer
from tests.deepgram_speech import coded_speech, coded_text
from tests.deepgram_stream import NET_0001, Misfortune, NeverAnswer, Refuse, Trouble

SENTENCES = ([1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11], [12])
SPEECH = coded_speech(*SENTENCES)
SECOND = 32_000
NOWHERE = "ws://127.0.0.1:9"


def engine_for(peer: DeepgramPeer | str, **settings: Any) -> DeepgramEngine:
    url = peer if isinstance(peer, str) else peer.url
    quick = {"deepgram_max_speed": 50, "deepgram_probe": False, "deepgram_finish_seconds": 2.0}
    return DeepgramEngine(settings_of(**quick | {"deepgram_api_key": KEY, "deepgram_base_url": url} | settings))


@dataclass
class Outcome:
    """What one recognizer said, and how it failed if it did."""

    recognitions: list[Recognition] = field(default_factory=list)
    error: EngineError | None = None
    usage: Usage = field(default_factory=Usage)

    @property
    def finals(self) -> list[Final]:
        return [each for each in self.recognitions if isinstance(each, Final)]

    @property
    def texts(self) -> list[str]:
        return [final.text for final in self.finals if final.text]

    @property
    def through(self) -> float:
        return self.finals[-1].through if self.finals else 0.0


async def recognise(
    engine: DeepgramEngine,
    pcm: bytes = SPEECH,
    start: float = 0.0,
    meanwhile: Callable[[], Any] | None = None,
    then: Callable[[DeepgramRecognizer], Awaitable[None]] | None = None,
    **config: Any,
) -> Outcome:
    """One recognizer from its first audio to its end; ``meanwhile`` and ``then`` come after the audio."""
    outcome = Outcome()

    async def feed() -> None:
        with suppress(EngineError):
            await recognizer.send_audio(pcm)
            if meanwhile:
                await meanwhile()
            if then:
                await then(recognizer)
            await recognizer.finish()

    async with engine.open(SessionConfig(**config), start) as recognizer, asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(feed())
        try:
            async for recognition in recognizer:
                outcome.recognitions.append(recognition)
        except EngineError as exc:
            outcome.error = exc
            feeding.cancel()
    outcome.usage = recognizer.usage
    return outcome


# --- the life of a stream -------------------------------------------------------------------------------------------


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
    assert settings_of().deepgram_max_speed == 1.25


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


# --- silence that is not sent ---------------------------------------------------------------------------------------


class AnySound:
    """Holds everything for speech that is not zero: coded speech is no speech to the real detector."""

    def stream(self) -> "AnySound":
        return self

    def probabilities(self, pcm: bytes) -> Sequence[float]:
        return [float(any(pcm[at : at + VAD_FRAME_BYTES])) for at in range(0, len(pcm), VAD_FRAME_BYTES)]


async def test_silence_is_not_sent_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepgram, "VoiceActivityDetector", AnySound)
    pcm = bytes(5 * SECOND) + coded_speech(*SENTENCES, pause=4.0)
    async with DeepgramPeer() as peer:
        all_of_it = await recognise(engine_for(peer), pcm, start=7.0)
        engine = engine_for(peer, deepgram_skip_silence=True)
        await engine.prewarm()
        outcome = await recognise(engine, pcm, start=7.0)
        stream = peer.streams[1]
    assert outcome.texts == all_of_it.texts == coded_text(*SENTENCES)
    for skipped, sent in zip(_spoken(outcome), _spoken(all_of_it), strict=True):
        assert [skipped.start, skipped.end] == pytest.approx([sent.start, sent.end], abs=0.1)
    assert outcome.through == pytest.approx(7.0 + len(pcm) / SECOND, abs=0.1)
    assert outcome.usage.sent_seconds == pytest.approx(stream.seconds)
    assert stream.seconds < len(pcm) / SECOND - 10
    assert stream.count("Finalize") == len(SENTENCES)


def _spoken(outcome: Outcome) -> list[Final]:
    return [final for final in outcome.finals if final.text]


async def test_a_session_of_silence_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepgram, "VoiceActivityDetector", AnySound)
    async with DeepgramPeer() as peer:
        engine = engine_for(peer, deepgram_skip_silence=True)
        await engine.prewarm()
        outcome = await recognise(engine, bytes(5 * SECOND))
        assert peer.handshakes == []
    assert outcome.through == pytest.approx(5.0, abs=0.1)


async def test_a_stream_is_kept_open_through_silence_that_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepgram, "VoiceActivityDetector", AnySound)
    async with DeepgramPeer(hungry_seconds=1.0) as peer:
        engine = engine_for(peer, deepgram_skip_silence=True, deepgram_keepalive_seconds=0.02)
        await engine.prewarm()

        async def idle() -> None:
            await peer.until(lambda peer: peer.streams[0].count("KeepAlive") >= 2)

        outcome = await recognise(engine, SPEECH, meanwhile=idle)
    assert (outcome.texts, outcome.error) == (coded_text(*SENTENCES), None)


async def test_a_stream_is_kept_open_while_silence_arrives_that_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """An open microphone in a quiet room: audio comes all the time, none of it is for Deepgram."""
    monkeypatch.setattr(deepgram, "VoiceActivityDetector", AnySound)
    async with DeepgramPeer(hungry_seconds=1.0) as peer:
        engine = engine_for(peer, deepgram_skip_silence=True, deepgram_keepalive_seconds=0.05)
        await engine.prewarm()

        async def quiet_room(recognizer: DeepgramRecognizer) -> None:
            while peer.streams[0].count("KeepAlive") < 3:
                await recognizer.send_audio(bytes(2 * SECOND))
                await asyncio.sleep(0.01)

        outcome = await recognise(engine, SPEECH, then=quiet_room)
    assert (outcome.texts, outcome.error) == (coded_text(*SENTENCES), None)


async def test_a_finalize_that_is_not_answered_is_no_silence_of_the_far_end() -> None:
    async with DeepgramPeer([Trouble(ignores=("Finalize",))], hungry_seconds=2.0) as peer:
        engine = engine_for(peer, deepgram_keepalive_seconds=0.05, deepgram_silence_seconds=0.3)

        async def pause(recognizer: DeepgramRecognizer) -> None:
            await peer.until(lambda peer: bool(peer.streams) and len(peer.streams[0].said) >= 3)
            await recognizer.send_audio(bytes(SECOND // 10))  # too little for a word from the far end
            await peer.until(lambda peer: peer.streams[0].count("KeepAlive") >= 12)

        outcome = await recognise(engine, coded_speech([1, 2], pause=0), then=pause)
    assert (outcome.texts, outcome.error) == (["w1 w2"], None)


# --- refused, unreachable -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "text", "retryable"),
    [
        (Refuse(400, message="Bad thing."), "Deepgram refuses the session's parameters (400): Bad thing.", False),
        (Refuse(401), "Deepgram refuses the API key (401).", False),
        (Refuse(402), "Deepgram's account is out of credit (402).", False),
        (Refuse(403), "The API key may not use this model of Deepgram (403).", False),
        (Refuse(429), "Deepgram takes no more streams at the moment (429).", True),
        (Refuse(502, as_json=False), "Deepgram is not available (502).", True),
        (NeverAnswer(), "Deepgram did not answer within 0.1 s.", True),
    ],
)
async def test_a_stream_that_is_not_opened_fails_with_a_sentence(
    refusal: Misfortune, text: str, retryable: bool
) -> None:
    async with DeepgramPeer([refusal]) as peer:
        outcome = await recognise(engine_for(peer, deepgram_connect_seconds=0.1))
    assert outcome.error is not None
    assert (str(outcome.error), outcome.error.retryable) == (text, retryable)
    assert (outcome.recognitions, outcome.usage.sent_seconds) == ([], 0.0)


async def test_a_key_that_comes_back_in_a_refusal_is_not_passed_on() -> None:
    async with DeepgramPeer([Refuse(400, message=f"Bad key {KEY}.")]) as peer:
        outcome = await recognise(engine_for(peer))
    assert "Bad key" in str(outcome.error)
    assert KEY not in str(outcome.error)


async def test_a_host_that_is_not_there_fails_with_a_sentence() -> None:
    async with DeepgramPeer() as peer:
        url = peer.url
    outcome = await recognise(engine_for(url))
    assert outcome.error is not None
    assert (str(outcome.error), outcome.error.retryable) == (
        "Deepgram can't be reached (ConnectionRefusedError).",
        True,
    )


async def test_a_name_that_can_not_be_resolved_fails_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    outcome = await recognise(engine_for("wss://no.such.host"))
    assert outcome.error is not None
    assert (str(outcome.error), outcome.error.retryable) == ("Deepgram's host name can't be resolved.", True)


async def test_a_certificate_that_is_not_trusted_fails_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def distrust(*args: Any, **options: Any) -> Any:
        raise ssl.SSLCertVerificationError(1, "self-signed certificate")

    monkeypatch.setattr(deepgram_socket, "connect", distrust)
    outcome = await recognise(engine_for(NOWHERE))
    assert outcome.error is not None
    assert (str(outcome.error), outcome.error.retryable) == ("Deepgram's certificate can't be verified.", False)


# --- broken off -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "text", "retryable"),
    [
        (Trouble(close_after=3.1), "Deepgram closed the stream (1011: it had nothing to say).", True),
        (Trouble(close_after=3.1, reason=NET_0001), "Deepgram closed the stream (1011: it received no audio).", True),
        (Trouble(close_after=3.1, code=1008, reason="DATA-0000"), "Deepgram can't decode the audio (1008).", False),
        (Trouble(close_after=3.1, code=1000, reason=""), "Deepgram closed the stream (1000).", True),
        (Trouble(close_after=3.1, code=None), "The connection to Deepgram broke off.", True),
        (Trouble(mute_after=3.1), "Deepgram has said nothing for 0.2 s.", True),
    ],
    ids=["1011 nothing to say", "1011 no audio", "1008", "1000", "no close", "silence"],
)
async def test_a_stream_that_breaks_publishes_what_is_settled_and_fails_with_a_sentence(
    trouble: Trouble, text: str, retryable: bool
) -> None:
    """It breaks in the middle of a word of the second sentence."""
    pcm = SPEECH + bytes(60 * SECOND)
    async with DeepgramPeer([trouble]) as peer:
        outcome = await recognise(engine_for(peer, deepgram_silence_seconds=0.2, deepgram_max_speed=8), pcm)
        outcome_of_the_rest = await recognise(engine_for(peer), SPEECH[_bytes(outcome.through) :], outcome.through)
    assert outcome.error is not None
    assert (str(outcome.error), outcome.error.retryable) == (text, retryable)
    assert outcome.through < 3.1
    words = " ".join(outcome.texts + outcome_of_the_rest.texts).split()
    assert words == " ".join(coded_text(*SENTENCES)).split()


def _bytes(seconds: float) -> int:
    return round(seconds * SECOND / 2) * 2


async def test_who_waits_with_audio_hears_of_the_failure_too() -> None:
    async with (
        DeepgramPeer([Trouble(close_after=1.0)]) as peer,
        engine_for(peer).open(SessionConfig(), 0.0) as recognizer,
    ):

        async def read() -> None:
            async for _ in recognizer:
                pass

        outcomes = await asyncio.gather(read(), recognizer.send_audio(SPEECH), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DeepgramError, DeepgramError]


async def test_a_socket_that_nobody_reads_is_given_up() -> None:
    async with DeepgramPeer([Trouble(deaf_after=1.0)]) as peer:
        outcome = await recognise(engine_for(peer, deepgram_ping_seconds=0.05), SPEECH + bytes(60 * SECOND))
    assert outcome.error is not None
    assert (str(outcome.error), outcome.error.retryable) == ("Deepgram does not answer any more.", True)
    assert outcome.error.outage


async def test_a_socket_that_is_deaf_from_the_beginning_is_given_up() -> None:
    async with DeepgramPeer([Trouble(deaf_after=0.0)]) as peer:
        outcome = await recognise(engine_for(peer, deepgram_ping_seconds=0.05), SPEECH + bytes(60 * SECOND))
    assert str(outcome.error) == "Deepgram does not answer any more."
    assert outcome.recognitions == []


async def test_a_far_end_that_answers_pings_is_not_deaf_though_it_says_nothing() -> None:
    async with DeepgramPeer([Trouble(mute_after=0.0)]) as peer:
        engine = engine_for(peer, deepgram_ping_seconds=0.02, deepgram_silence_seconds=0.5)
        outcome = await recognise(engine, SPEECH + bytes(60 * SECOND))
    assert str(outcome.error) == "Deepgram has said nothing for 0.5 s."


class FarAway:
    """A connection whose pongs take a while."""

    def __init__(self, delay: float) -> None:
        self.transport = self
        self.aborted = False
        self._delay = delay

    async def ping(self) -> asyncio.Future[float]:
        loop = asyncio.get_running_loop()
        pong = loop.create_future()
        loop.call_later(self._delay, pong.set_result, self._delay)
        return pong

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize(("grace", "aborted"), [(0.0, True), (0.3, False)])
async def test_a_long_way_is_no_silence(grace: float, aborted: bool) -> None:
    """The handshake has told how long it is."""
    far_away = FarAway(delay=0.2)
    pulse = Pulse(cast(ClientConnection, far_away), 0.02, grace)
    with suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            await pulse.watch()
    assert (far_away.aborted, pulse.stopped) == (aborted, aborted)


async def test_a_dead_connection_is_found_out_while_no_audio_flows() -> None:
    async with DeepgramPeer([Trouble(deaf_after=1.0)]) as peer:
        engine = engine_for(peer, deepgram_ping_seconds=0.05)
        outcome = await recognise(engine, SPEECH[:SECOND], meanwhile=asyncio.Event().wait)
    assert str(outcome.error) == "Deepgram does not answer any more."


async def test_a_connection_that_breaks_while_no_audio_flows_fails_too() -> None:
    async with DeepgramPeer(hungry_seconds=0.1) as peer:
        engine = engine_for(peer, deepgram_keepalive_seconds=5)
        outcome = await recognise(engine, SPEECH[:SECOND], meanwhile=asyncio.Event().wait)
    assert str(outcome.error) == "Deepgram closed the stream (1011: it received no audio)."


@pytest.mark.parametrize("trouble", [Trouble(delay=0.2), Trouble(seconds_per_second=0.1)], ids=["late", "slow"])
async def test_a_slow_network_costs_time_only(trouble: Trouble) -> None:
    async with DeepgramPeer([trouble]) as peer:
        outcome = await recognise(engine_for(peer))
    assert (outcome.texts, outcome.error) == (coded_text(*SENTENCES), None)


async def test_an_end_that_does_not_come_is_not_waited_for_longer_than_allowed() -> None:
    async with DeepgramPeer([Trouble(ignores=("CloseStream",))]) as peer:
        engine = engine_for(peer, deepgram_finish_seconds=0.1, deepgram_silence_seconds=60)
        outcome = await recognise(engine, coded_speech([1, 2], pause=0))
    assert outcome.error is not None
    assert (str(outcome.error), outcome.error.retryable) == ("Deepgram did not finish within 0.1 s.", True)


async def test_a_stream_that_breaks_while_it_finishes_owes_its_last_words() -> None:
    async with DeepgramPeer([Trouble(ignores=("CloseStream",))], hungry_seconds=0.1) as peer:
        outcome = await recognise(engine_for(peer), coded_speech([1, 2], pause=0), interim_results=False)
    assert str(outcome.error) == "Deepgram closed the stream (1011: it received no audio)."
    assert outcome.through == 0.0


async def test_an_end_that_does_not_come_is_no_failure_when_nothing_is_owed() -> None:
    async with DeepgramPeer([Trouble(ignores=("CloseStream",))]) as peer:
        engine = engine_for(peer, deepgram_finish_seconds=0.1, deepgram_keepalive_seconds=0.02)

        async def idle() -> None:
            await peer.until(lambda peer: peer.streams[0].count("KeepAlive") >= 2)

        outcome = await recognise(engine, coded_speech([1, 2], pause=0), meanwhile=idle)
    assert (outcome.texts, outcome.error) == (["w1 w2"], None)


# --- the circuit breaker --------------------------------------------------------------------------------------------


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(deepgram, "CircuitBreaker", partial(CircuitBreaker, clock=time))
    return time


async def test_after_failures_in_a_row_deepgram_is_not_ready_until_a_try_succeeds(time: Time) -> None:
    async with DeepgramPeer([Refuse(503), Refuse(503), Refuse(503), Trouble()]) as peer:
        engine = engine_for(peer, deepgram_breaker_failures=2, deepgram_breaker_seconds=30)
        for _ in range(2):
            assert engine.status()["ready"]
            await recognise(engine)
        assert engine.status() == {
            "ready": False,
            "circuit": "open",
            "streams": 0,
            "detail": "Deepgram is not available (503).",
        }
        time.now = 30.0
        assert (engine.status()["ready"], engine.status()["circuit"]) == (True, "half_open")
        await recognise(engine)
        assert engine.status()["circuit"] == "open"
        time.now = 60.0
        assert (await recognise(engine)).error is None
        assert engine.status() == {"ready": True, "circuit": "closed", "streams": 0}


async def test_who_has_no_other_engine_tries_though_the_circuit_is_open(
    time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    async with DeepgramPeer([Refuse(503), Refuse(503), Trouble()]) as peer:
        engine = engine_for(peer, deepgram_breaker_failures=1, deepgram_breaker_seconds=30)
        for _ in range(2):
            assert str((await recognise(engine)).error) == "Deepgram is not available (503)."
        assert engine.status()["circuit"] == "open"
        assert (await recognise(engine)).error is None
        assert engine.status()["circuit"] == "closed"
    assert caplog.text.count("new sessions do without Deepgram") == 1


async def test_while_one_session_tries_deepgram_is_not_ready_for_the_others(time: Time) -> None:
    async with DeepgramPeer([Refuse(503), Trouble()]) as peer:
        engine = engine_for(peer, deepgram_breaker_failures=1, deepgram_breaker_seconds=30)
        await recognise(engine)
        time.now = 30.0
        async with engine.open(SessionConfig(), 0.0) as recognizer:
            await recognizer.send_audio(SPEECH[: SECOND // 10])
            await peer.until(lambda peer: bool(peer.streams))
            assert not engine.status()["ready"]
        assert engine.status()["ready"]  # given up without having shown anything


@pytest.mark.parametrize(
    ("refusal", "circuit"),
    [(Refuse(401), "open"), (Refuse(402), "open"), (Refuse(403), "closed"), (Refuse(400), "closed")],
)
async def test_a_bad_account_opens_the_circuit_at_once(refusal: Refuse, circuit: str) -> None:
    async with DeepgramPeer([refusal]) as peer:
        engine = engine_for(peer)
        await recognise(engine)
        assert engine.status()["circuit"] == circuit


async def test_a_config_that_deepgram_refuses_says_nothing_about_the_others() -> None:
    async with DeepgramPeer([Refuse(400)] * 3) as peer:
        engine = engine_for(peer, deepgram_breaker_failures=1)
        for _ in range(3):
            await recognise(engine)
        assert engine.status() == {"ready": True, "circuit": "closed", "streams": 0}


async def test_connections_that_worked_and_break_all_at_once_do_not_open_the_circuit() -> None:
    async with DeepgramPeer([Trouble(close_after=3.1)] * 3) as peer:
        engine = engine_for(peer, deepgram_breaker_failures=2)
        for _ in range(3):
            assert (await recognise(engine)).error is not None
        assert engine.status()["circuit"] == "closed"


async def test_connections_that_never_gave_a_result_open_the_circuit() -> None:
    async with DeepgramPeer([Trouble(close_after=0.5)] * 2) as peer:
        engine = engine_for(peer, deepgram_breaker_failures=2)
        for _ in range(2):
            await recognise(engine)
        assert engine.status()["circuit"] == "open"


# --- the key --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "", "  "])
async def test_without_a_key_it_is_said_in_one_sentence(key: str | None, caplog: pytest.LogCaptureFixture) -> None:
    engine = engine_for(NOWHERE, deepgram_api_key=key)
    await engine.prewarm()
    assert engine.status() == {"ready": False, "circuit": "closed", "streams": 0, "detail": NO_KEY}
    assert caplog.messages == [NO_KEY]
    with pytest.raises(EngineError, match="DEEPGRAM_API_KEY"):
        async with engine.open(SessionConfig(), 0.0):
            pass


async def test_a_bad_key_is_found_out_when_the_server_starts(caplog: pytest.LogCaptureFixture) -> None:
    async with DeepgramPeer() as peer:
        engine = engine_for(peer, deepgram_api_key="wrong", deepgram_probe=True)
        await engine.prewarm()
    assert engine.status()["ready"] is False
    assert engine.status()["detail"] == "Deepgram refuses the API key (401)."
    assert "Deepgram can't be used now: Deepgram refuses the API key (401)." in caplog.messages
    assert "wrong" not in caplog.text


async def test_a_good_key_is_found_out_too() -> None:
    async with DeepgramPeer() as peer:
        engine = engine_for(peer, deepgram_probe=True)
        await engine.prewarm()
        assert len(peer.handshakes) == 1
    assert engine.status() == {"ready": True, "circuit": "closed", "streams": 0}


async def test_the_server_starts_though_deepgram_is_not_there() -> None:
    engine = engine_for(NOWHERE, deepgram_probe=True)
    await engine.prewarm()
    assert engine.status()["detail"] == "Deepgram can't be reached (ConnectionRefusedError)."
    assert engine.status()["ready"]  # one failure is none


def test_a_wrong_base_url_stops_the_server() -> None:
    with pytest.raises(EngineError, match="DEEPGRAM_BASE_URL"):
        engine_for("api.deepgram.com")


@pytest.mark.parametrize(
    ("values", "chain"),
    [
        ({}, ["local"]),
        ({"deepgram_api_key": " "}, ["local"]),
        ({"deepgram_api_key": KEY}, ["deepgram", "local"]),
        ({"deepgram_api_key": KEY, "engines": "local"}, ["local"]),
        ({"engines": "deepgram, local"}, ["deepgram", "local"]),
    ],
)
def test_deepgram_is_the_first_engine_where_there_is_a_key(values: dict[str, Any], chain: list[str]) -> None:
    settings = settings_of(**values)
    assert settings.engine_chain() == chain
    assert bool(settings.notes()) == ("deepgram" not in chain and not settings.deepgram_key())
