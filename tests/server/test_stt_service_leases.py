"""The recognition half: whose session it is, and how all of them end when the server stops."""

import asyncio

import pytest

from server.engines.base import Capabilities
from server.events import session_end_event
from server.models import EventType
from server.session_log.memory import MemorySessionLog
from server.stt_service import STTService
from tests.support.fake_engine import FakeEngine, Fault, said, speech
from tests.support.recognition_half import LEASE_SECONDS, LONG, PCM, WORDS, no_backoff_fixture, reason, running, texts  # noqa: F401

pytestmark = pytest.mark.timeout(20)

# --- the lease ------------------------------------------------------------------------------------------------------


async def test_a_session_that_another_process_took_is_left_in_silence() -> None:
    async with running() as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, speech([1, 2]))
        before = await half.events(session_id, EventType.FINAL)
        half.ahead += LEASE_SECONDS + 1
        stolen = await half.log.claim("another process", {"fake"}, 0)
        assert stolen is not None
        await half.log.append_audio(session_id, speech([3]))
        assert texts(await half.recognise(PCM)) == WORDS  # the half goes on with others
        assert await half.log.read_events(session_id, before[-1].id, 0) == []
        await half.log.append_events(stolen, [session_end_event("finished")], end_reason="finished")


async def test_a_session_may_come_back_to_the_process_that_lost_it() -> None:
    async with running(Fault(at=0.5), engine_timeout_seconds=LONG, lease_seconds=3 * LONG) as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, PCM)
        await half.log.finish_audio(session_id, "finished")
        await half.engines["fake"].faults[0].struck.wait()
        half.ahead += LEASE_SECONDS + 1  # nobody renewed it: the process was busy
        assert texts(await half.recognise(PCM)) == WORDS  # a new session wakes the claims up
        assert texts(await half.events(session_id)) == WORDS
        assert texts(await half.recognise(PCM)) == WORDS


async def test_a_lease_is_kept_for_as_long_as_the_session_lasts() -> None:
    async with running(lease_seconds=0.03) as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, speech([1]))
        await half.events(session_id, EventType.FINAL)
        half.ahead += LEASE_SECONDS - 0.5
        for _ in range(3):
            await asyncio.sleep(0.02)  # a few renewals
        half.ahead += LEASE_SECONDS - 0.5
        assert await half.log.claim("another process", {"fake"}, 0) is None
        await half.log.append_audio(session_id, speech([2]))
        await half.log.finish_audio(session_id, "finished")
        assert texts(await half.events(session_id)) == said([1], [2])


async def test_a_session_erased_while_it_is_recognised_disturbs_nobody() -> None:
    async with running() as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, speech([1]))
        await half.events(session_id, EventType.FINAL)
        await half.log.purge(session_id)
        assert texts(await half.recognise(PCM)) == WORDS


# --- drain ----------------------------------------------------------------------------------------------------------


async def test_a_drain_publishes_the_last_words_and_ends_every_session() -> None:
    async with running() as half:
        sessions = [await half.open() for _ in range(3)]
        for session_id in sessions:
            await half.log.append_audio(session_id, speech([1]) + speech([2, 3])[:20_000])
        await half.service.drain()
        for session_id in sessions:
            events = await half.events(session_id)
            assert texts(events) == ["말1", "말2 말3"]
            assert reason(events) == "server_shutdown"
        assert await half.log.open_by_engine() == {}


async def test_a_drain_does_not_wait_for_a_recognizer_that_hangs() -> None:
    async with running(Fault(where="finish"), engine_timeout_seconds=LONG, drain_seconds=0.02) as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, speech([1]))
        await half.events(session_id, EventType.FINAL)
        await half.service.drain()
        events = await half.events(session_id)
        assert (texts(events), reason(events)) == (["말1"], "server_shutdown")


async def test_a_session_that_nobody_has_claimed_yet_is_ended_as_well() -> None:
    async with running() as half:
        session_id = await half.open()
        await half.service.drain()
        assert reason(await half.events(session_id)) == "server_shutdown"


async def test_a_drain_leaves_the_sessions_of_another_process_alone() -> None:
    async with running() as half:
        theirs = await half.open()
        assert await half.log.claim("another process", {"fake"}, 0)
        await half.log.append_audio(theirs, speech([1]))
        await half.service.drain()
        assert (await half.log.state(theirs)).status == "open"


class DurableLog(MemorySessionLog):
    """Survives a process: here, that one service ends and another begins."""

    durable = True
    shared = True


async def test_where_the_log_survives_the_process_a_drain_hands_its_sessions_over() -> None:
    async with running(log=DurableLog) as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, speech([1, 2]) + speech([3, 4])[:20_000])
        await half.events(session_id, EventType.FINAL)
        await half.service.drain()
        await half.log.append_audio(session_id, speech([3, 4])[20_000:])
        await half.log.finish_audio(session_id, "finished")
        successor = STTService(half.log, half.known, half.settings, half.metrics)
        async with asyncio.TaskGroup() as tasks:
            running_on = tasks.create_task(successor.run())
            events = await half.events(session_id)
            running_on.cancel()
    assert texts(events) == said([1, 2], [3, 4])
    assert reason(events) == "finished"


async def test_a_drain_finishes_even_where_the_log_survives_if_it_is_told_to() -> None:
    async with running(log=DurableLog, drain="finish") as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, speech([1]))
        await half.events(session_id, EventType.FINAL)
        await half.service.drain()
        assert reason(await half.events(session_id)) == "server_shutdown"


# --- room -----------------------------------------------------------------------------------------------------------


async def test_a_process_takes_no_more_sessions_than_its_engine_carries() -> None:
    engine = FakeEngine(capabilities=Capabilities(frozenset({"ko"}), max_sessions=2))
    async with running(engines={"fake": engine}) as half:
        first, second, third = [await half.open() for _ in range(3)]
        for session_id in (first, second, third):
            await half.log.append_audio(session_id, speech([1]))
        for session_id in (first, second):
            await half.events(session_id, EventType.FINAL)
        assert await half.log.read_events(third, 0, 0) == []
        await half.log.finish_audio(first, "finished")
        assert texts([each for each in await half.events(third, EventType.FINAL)]) == ["말1"]


async def test_a_process_that_has_handed_its_sessions_over_takes_none_again() -> None:
    async with running(log=DurableLog) as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, speech([1]))
        await half.events(session_id, EventType.FINAL)
        await half.service.drain()
        await half.log.append_audio(session_id, speech([2]))
        await half.log.finish_audio(session_id, "finished")
        after = (await half.log.state(session_id)).last_event_id
        assert await half.log.read_events(session_id, after, 0.1) == []
        assert await half.log.claim("another process", {"fake"}, 0)
