"""The circuit breaker, of the Deepgram engine and by itself."""

from functools import partial

import pytest

from server.engines.deepgram import engine as deepgram
from server.engines.deepgram.breaker import CircuitBreaker
from server.models import SessionConfig
from tests.deepgram_engine import Time
from tests.deepgram_peer import DeepgramPeer
from tests.deepgram_recognition import SECOND, SPEECH, engine_for, recognise
from tests.deepgram_stream import Refuse, Trouble


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
