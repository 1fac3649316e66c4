"""The circuit breaker, by itself and of the Deepgram engine."""

from functools import partial

import pytest

from server.engines.deepgram import engine as deepgram
from server.engines.deepgram.breaker import Attempt, CircuitBreaker
from server.models import SessionConfig
from tests.support.deepgram_engine import Time
from tests.support.deepgram_peer import DeepgramPeer
from tests.support.deepgram_recognition import SECOND, SPEECH, engine_for, recognise
from tests.support.deepgram_stream import Refuse, Trouble

# --- by itself ------------------------------------------------------------------------------------------------------


def circuit_of(breaker: CircuitBreaker) -> str:
    return breaker.circuit


def fail(breaker: CircuitBreaker, reason: str = "x", *, for_good: bool = False) -> None:
    Attempt(breaker).fail(reason, for_good=for_good)


def test_the_circuit_opens_after_failures_in_a_row() -> None:
    breaker = CircuitBreaker(3, 30.0, Time())
    for expected in ("closed", "closed", "open"):
        fail(breaker, "no answer")
        assert circuit_of(breaker) == expected
    assert breaker.reason == "no answer"


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = CircuitBreaker(2, 30.0, Time())
    fail(breaker)
    Attempt(breaker).prove()
    fail(breaker)
    assert circuit_of(breaker) == "closed"


def test_a_try_is_counted_once() -> None:
    breaker = CircuitBreaker(1, 30.0, Time())
    attempt = Attempt(breaker)
    attempt.prove()
    attempt.fail("later")
    assert circuit_of(breaker) == "closed"


def test_after_the_cool_down_one_try_decides() -> None:
    time = Time()
    breaker = CircuitBreaker(1, 30.0, time)
    fail(breaker)
    time.now = 30.0
    assert circuit_of(breaker) == "half_open"
    attempt = Attempt(breaker)
    assert circuit_of(breaker) == "open"  # to everybody else
    attempt.fail("still")
    assert circuit_of(breaker) == "open"
    time.now = 60.0
    Attempt(breaker).prove()
    assert (circuit_of(breaker), breaker.reason) == ("closed", None)


def test_only_the_try_that_decides_can_prolong_it() -> None:
    time = Time()
    breaker = CircuitBreaker(1, 30.0, time)
    before = Attempt(breaker)
    fail(breaker)
    time.now = 30.0
    decides = Attempt(breaker)
    before.fail("late")
    before.end()
    assert circuit_of(breaker) == "open"
    decides.end()
    assert circuit_of(breaker) == "half_open"


def test_a_try_in_spite_of_it_closes_the_circuit_when_it_succeeds_and_does_nothing_when_it_fails() -> None:
    time = Time()
    breaker = CircuitBreaker(1, 30.0, time)
    fail(breaker)
    time.now = 29.0
    fail(breaker, "late")
    assert breaker.reason == "x"
    in_spite = Attempt(breaker)
    in_spite.prove()
    assert circuit_of(breaker) == "closed"


def test_a_try_that_was_given_up_leaves_the_decision_to_the_next() -> None:
    time = Time()
    breaker = CircuitBreaker(1, 30.0, time)
    fail(breaker)
    time.now = 30.0
    Attempt(breaker).end()
    assert circuit_of(breaker) == "half_open"


def test_what_waiting_hardly_mends_is_left_alone_at_once_and_for_longer() -> None:
    time = Time()
    breaker = CircuitBreaker(5, 30.0, time)
    fail(breaker, "bad key", for_good=True)
    time.now = 299.0
    assert circuit_of(breaker) == "open"
    time.now = 300.0
    assert circuit_of(breaker) == "half_open"


# --- of the engine --------------------------------------------------------------------------------------------------


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
