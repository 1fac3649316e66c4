"""One session's recognition, however it fails, ends and delays no other."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from server.models import EventType, SessionConfig
from server.recognition.session import SessionRecognition
from server.session_log.base import LoggedEvent
from tests.support.fake_engine import FakeEngine, FakeRecognizer, Fault, speech
from tests.support.recognition_half import (  # noqa: F401
    PCM,
    WORDS,
    Half,
    data_of,
    errors,
    no_backoff_fixture,
    reason,
    running,
    texts,
)

pytestmark = pytest.mark.timeout(30)
NEIGHBOURS = 10
LATE_SECONDS = 1.0


@dataclass
class MuteEngine(FakeEngine):
    """Cannot even say how it is, once it has been asked to recognise."""

    fault: Fault = field(default_factory=lambda: Fault(RuntimeError("a bug"), times=None))

    def __post_init__(self) -> None:
        self.faults.append(self.fault)

    def status(self) -> dict[str, Any]:
        raise KeyError("the status, too")


@dataclass
class BrokenEngine(FakeEngine):
    """Its context cannot be left."""

    @asynccontextmanager
    async def open(self, config: SessionConfig, start: float) -> AsyncIterator[FakeRecognizer]:
        yield FakeRecognizer(self, start)
        raise ZeroDivisionError("on the way out")


def always(where: Any, error: Exception | None) -> FakeEngine:
    return FakeEngine([Fault(error, where=where, times=None)])


WAYS = {
    f"{what} in {where}": (where, error)
    for where in ("open", "send", "read", "flush", "finish")
    for what, error in (("raises", RuntimeError("a bug")), ("hangs", None))
}


def bad_engine(kind: str) -> FakeEngine:
    if kind in WAYS:
        return always(*WAYS[kind])
    return MuteEngine() if kind == "cannot tell its status" else BrokenEngine()


async def speak(half: Half, engine: str, chunks: Sequence[bytes]) -> list[float]:
    """A session that speaks a sentence, waits for its final, and so on; how long it waited each time."""
    session_id, waits, after = await half.open(engine=engine), [], 0
    loop = asyncio.get_running_loop()
    for chunk in chunks:
        sent = loop.time()
        await half.log.append_audio(session_id, chunk)
        while True:
            events = await half.log.read_events(session_id, after, LATE_SECONDS)
            assert events, "nothing came in time"
            after = events[-1].id
            if any(event.type is EventType.FINAL for event in events):
                break
        waits.append(loop.time() - sent)
    await half.log.finish_audio(session_id, "finished")
    assert reason(await half.events(session_id)) == "finished"
    return waits


async def fail(half: Half) -> list[LoggedEvent]:
    session_id = await half.open(engine="bad")
    await half.log.append_audio(session_id, PCM)
    await half.log.mark_flush(session_id)
    await half.log.finish_audio(session_id, "finished")
    return await half.events(session_id)


@pytest.mark.parametrize("kind", [*WAYS, "cannot tell its status", "cannot be closed"])
async def test_ten_sessions_beside_one_that_fails_all_the_time_are_never_late(kind: str) -> None:
    engines = {"good": FakeEngine(), "bad": bad_engine(kind)}
    async with running(engines=engines) as half, asyncio.TaskGroup() as tasks:
        failing = tasks.create_task(fail(half))
        chunks = [speech([n]) for n in range(1, 6)]
        neighbours = [tasks.create_task(speak(half, "good", chunks)) for _ in range(NEIGHBOURS)]
    assert max(wait for each in neighbours for wait in each.result()) < LATE_SECONDS
    assert reason(failing.result()) in ("engine_failed", "finished")


async def test_a_session_whose_engine_has_vanished_goes_on_with_the_next_one() -> None:
    async with running(engines={"gone": FakeEngine(), "local": FakeEngine()}) as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, PCM[:32_000])
        await half.events(session_id, EventType.FINAL)
        del half.known["gone"]
        half.engines["gone"].faults.append(Fault(RuntimeError("a bug")))
        await half.log.append_audio(session_id, PCM[32_000:])
        await half.log.finish_audio(session_id, "finished")
        events = await half.events(session_id)
    assert texts(events) == WORDS
    assert errors(events) == ["engine_failover"]


async def test_a_session_whose_only_engine_has_vanished_is_told_so_and_disturbs_nobody() -> None:
    async with running(engines={"gone": FakeEngine(), "local": FakeEngine()}) as half:
        session_id = await half.open(engine="gone")
        await half.log.append_audio(session_id, PCM[:32_000])
        await half.events(session_id, EventType.FINAL)
        del half.known["gone"]
        half.engines["gone"].faults.append(Fault(RuntimeError("a bug")))
        await half.log.append_audio(session_id, PCM[32_000:])
        assert reason(await half.events(session_id)) == "engine_failed"
        assert texts(await half.recognise(PCM, engine="local")) == WORDS


async def test_a_bug_in_the_recovery_ends_that_session_with_an_internal_error_and_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: SessionRecognition, error: Exception, *, alone: bool) -> bool:
        raise KeyError("a bug in the recovery")

    monkeypatch.setattr(SessionRecognition, "_may_try_again", broken)
    caplog.set_level(logging.ERROR)
    async with running(engines={"good": FakeEngine(), "bad": always("send", RuntimeError("a bug"))}) as half:
        events = await fail(half)
        assert errors(events) == ["internal_error"]
        assert not data_of(events[0])["recoverable"]
        assert reason(events) == "internal_error"
        assert texts(await half.recognise(PCM, engine="good")) == WORDS
    assert "KeyError" in caplog.text


async def test_a_session_that_cannot_even_be_ended_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: asyncio.Queue[str] = asyncio.Queue()

    async def broken(self: SessionRecognition, *args: Any, **more: Any) -> None:
        tries.put_nowait("to report, then to end")
        raise KeyError("a bug in whatever it says")

    async with running(engines={"good": FakeEngine(), "bad": always("send", RuntimeError("a bug"))}) as half:
        with monkeypatch.context() as patched:
            patched.setattr(SessionRecognition, "publish", broken)
            session_id = await half.open(engine="bad")
            await half.log.append_audio(session_id, PCM)
            await tries.get()
            await tries.get()
        assert texts(await half.recognise(PCM, engine="good")) == WORDS
