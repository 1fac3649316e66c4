"""The Deepgram engine against the peer: each way in which a stream fails."""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Any, cast

import pytest
from websockets.asyncio.client import ClientConnection

from server.engines.deepgram import socket as deepgram_socket
from server.engines.deepgram.messages import DeepgramError
from server.engines.deepgram.pulse import Pulse
from server.models import SessionConfig
from tests.support.deepgram_peer import KEY, DeepgramPeer
from tests.support.deepgram_recognition import NOWHERE, SECOND, SENTENCES, SPEECH, engine_for, recognise
from tests.support.deepgram_speech import coded_speech, coded_text
from tests.support.deepgram_stream import NET_0001, Misfortune, NeverAnswer, Refuse, Trouble

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
