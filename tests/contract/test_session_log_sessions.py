"""What every session log keeps to: sessions, from their beginning to when they are forgotten."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from server.errors import OffsetMismatch, SessionEnded, SessionNotFound
from server.session_log.base import AudioSlice, Checkpoint, Lease, SessionLog
from tests.support.session_log_stores import (  # noqa: F401
    CONFIG,
    ENGINES,
    FOREVER,
    LEASE_SECONDS,
    LONG,
    Store,
    calls_with,
    claimed,
    end,
    final,
    ids,
    log_fixture,
    store_fixture,
    token,
)

pytestmark = pytest.mark.timeout(20)  # a missed wake-up shows as a call that waits LONG

# --- sessions ---------------------------------------------------------------------------------------------------


async def test_a_new_session_is_open_and_empty(log: SessionLog) -> None:
    state = await log.state("s")
    assert (state.session_id, state.status, state.reason) == ("s", "open", None)
    assert (state.offset, state.taken, state.recognized_seconds, state.last_event_id, state.head) == (0, 0, 0, 0, b"")
    assert state.config == CONFIG
    assert state.checkpoint == Checkpoint(0, 0.0, b"", "fake")
    assert abs(state.created - time.time()) < 60
    assert await log.open_by_engine() == {"fake": 1}


async def test_a_state_is_a_snapshot(log: SessionLog) -> None:
    before = await log.state("s")
    await log.append_audio("s", b"12")
    assert before.offset == 0
    assert (await log.state("s")).offset == 2


async def test_an_unknown_session_is_not_found_by_any_call(log: SessionLog) -> None:
    await _refuses_every_call(log, Lease("unknown", "a", 1), SessionNotFound)


async def test_a_purged_session_is_not_found_by_any_call_and_is_not_claimed(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.release(lease)
    await log.purge("s")
    await _refuses_every_call(log, lease, SessionNotFound)
    assert await log.open_by_engine() == {}
    assert await log.claim("a", ENGINES, wait=0) is None


async def _refuses_every_call(log: SessionLog, lease: Lease, error: type[Exception]) -> None:
    calls: list[Awaitable[object]] = [
        log.state(lease.session_id),
        log.append_audio(lease.session_id, b"1"),
        log.wait_for_room(lease.session_id, wait=0),
        log.finish_audio(lease.session_id, "closed"),
        log.read_events(lease.session_id, 0, wait=0),
        log.mark_flush(lease.session_id),
        log.purge(lease.session_id),
        *calls_with(log, lease),
    ]
    for call in calls:
        with pytest.raises(error):
            await call


def waiting_call(name: str, log: SessionLog, lease: Lease) -> Awaitable[object]:
    """A call that waits when 100 bytes are stored, none is taken and no event is there."""
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "events": lambda: log.read_events("s", 0, LONG),
        "room": lambda: log.wait_for_room("s", LONG),
        "audio": lambda: log.read_audio(lease, 100, 0.0, 10, LONG),
        "claim": lambda: log.claim("b", ENGINES, LONG),
    }
    return calls[name]()


@pytest.mark.parametrize("name", ["events", "room", "audio"])
async def test_purging_turns_away_whoever_waits(store: Store, log: SessionLog, name: str) -> None:
    lease = await claimed(log)
    await log.append_audio("s", bytes(100))

    async def is_turned_away() -> None:
        with pytest.raises(SessionNotFound):
            await waiting_call(name, log, lease)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(is_turned_away())
        await store.settle()
        await store.other.purge("s")


@pytest.mark.parametrize(
    ("name", "nothing"), [("events", []), ("room", False), ("audio", AudioSlice(100, b"", False)), ("claim", None)]
)
async def test_closing_the_log_gives_nothing_to_whoever_waits(
    store: Store, log: SessionLog, name: str, nothing: object
) -> None:
    lease = await claimed(log)
    await log.append_audio("s", bytes(100))

    async def gets_nothing() -> None:
        assert await waiting_call(name, log, lease) == nothing

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(gets_nothing())
        await store.settle()
        await log.__aexit__(None, None, None)


# --- finishing --------------------------------------------------------------------------------------------------


async def test_the_first_reason_to_finish_stays(log: SessionLog) -> None:
    await log.finish_audio("s", "closed")
    await log.finish_audio("s", "idle_timeout")
    state = await log.state("s")
    assert (state.status, state.reason) == ("finishing", "closed")
    assert await log.open_by_engine() == {"fake": 1}


@pytest.mark.parametrize("ended", [False, True], ids=["finishing", "ended"])
async def test_after_the_finish_only_repeats_are_taken(log: SessionLog, ended: bool) -> None:
    await log.append_audio("s", b"abcd")
    await log.finish_audio("s", "closed")
    if ended:
        await log.append_events(await claimed(log), [end()], end_reason="closed")
    assert (await log.append_audio("s", b"abcd", 0)).offset == 4
    for chunk, offset in [(b"cdef", 2), (b"ef", 4), (b"ef", None)]:
        with pytest.raises(SessionEnded):
            await log.append_audio("s", chunk, offset)
    with pytest.raises(OffsetMismatch):
        await log.append_audio("s", b"gh", 6)
    assert (await log.state("s")).offset == 4


async def test_the_last_bytes_of_a_finished_upload_are_said_to_be_the_last(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcd")
    await log.finish_audio("s", "closed")
    assert await log.read_audio(lease, 0, 0.0, 3, LONG) == AudioSlice(0, b"abc", finished=False)
    assert await log.read_audio(lease, 3, 0.0, 3, LONG) == AudioSlice(3, b"d", finished=True)
    assert await log.read_audio(lease, 4, 0.0, 3, LONG) == AudioSlice(4, b"", finished=True)


async def test_a_waiting_recognizer_hears_of_the_finish(store: Store, log: SessionLog) -> None:
    lease = await claimed(log)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(log.read_audio(lease, 0, 0.0, 10, LONG))
        await store.settle()
        await store.other.finish_audio("s", "closed")
    assert reading.result() == AudioSlice(0, b"", finished=True)


# --- the end ----------------------------------------------------------------------------------------------------


async def test_session_end_ends_the_session_and_drops_its_audio(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcdef")
    events = [token("a"), final("abc"), end("failed")]
    assert await log.append_events(lease, events, checkpoint=Checkpoint(3, 1.0), end_reason="failed") == 3
    state = await log.state("s")
    assert (state.status, state.reason, state.offset) == ("ended", "failed", 6)
    assert await log.read_audio(lease, 3, 1.0, 10, LONG) == AudioSlice(3, b"", finished=True)
    assert await ids(log) == [2, 3]
    assert await log.open_by_engine() == {}


async def test_the_reason_of_the_end_is_the_one_that_its_event_tells(log: SessionLog) -> None:
    await log.finish_audio("s", "idle_timeout")
    assert (await log.state("s")).reason == "idle_timeout"
    await log.append_events(await claimed(log), [end("engine_failed")], end_reason="engine_failed")
    await log.finish_audio("s", "too late")
    state = await log.state("s")
    assert (state.status, state.reason) == ("ended", "engine_failed")


async def test_nothing_is_appended_after_the_end(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_events(lease, [end()], end_reason="closed")
    before = await log.state("s")
    with pytest.raises(SessionEnded):
        await log.append_events(lease, [final("late")])
    assert await log.state("s") == before


async def test_an_ended_session_is_not_claimed_again(store: Store, log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_events(lease, [end()], end_reason="closed")
    await log.release(lease)
    store.advance(LEASE_SECONDS + 1)
    assert await log.claim("b", ENGINES, wait=0) is None


async def test_a_finishing_session_is_still_claimed(log: SessionLog) -> None:
    await log.finish_audio("s", "closed")
    assert (await claimed(log)).session_id == "s"


# --- sweeping ---------------------------------------------------------------------------------------------------


async def _swept_reason(store: Store, idle: float = FOREVER, age: float = FOREVER) -> str | None:
    await store.other.sweep(idle, age, FOREVER)
    state = await store.log.state("s")
    assert (state.status, state.reason) in {("open", None), ("finishing", state.reason)}
    return state.reason


async def test_a_session_without_audio_or_reader_is_finished(store: Store, log: SessionLog) -> None:
    store.advance(20)
    assert await _swept_reason(store, idle=30) is None
    store.advance(20)
    assert await _swept_reason(store, idle=30) == "idle_timeout"


@pytest.mark.parametrize("sign", ["audio", "a reader"])
async def test_audio_or_a_reader_keeps_a_session_from_idling(store: Store, log: SessionLog, sign: str) -> None:
    store.advance(20)
    if sign == "audio":
        await log.append_audio("s", b"ab")
    else:
        await log.read_events("s", 0, wait=0)
    store.advance(20)
    assert await _swept_reason(store, idle=30) is None
    store.advance(20)
    assert await _swept_reason(store, idle=30) == "idle_timeout"


async def test_a_reader_that_waits_keeps_a_session_from_idling_until_it_leaves(store: Store, log: SessionLog) -> None:
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(log.read_events("s", 0, LONG))
        await store.settle()
        store.advance(40)
        assert await _swept_reason(store, idle=30) is None
        reading.cancel()
    assert await _swept_reason(store, idle=30) is None
    store.advance(40)
    assert await _swept_reason(store, idle=30) == "idle_timeout"


async def test_a_session_that_is_too_old_is_finished_however_busy(store: Store, log: SessionLog) -> None:
    store.advance(40)
    await log.append_audio("s", b"ab")
    assert await _swept_reason(store, idle=30, age=60) is None
    store.advance(25)
    assert await _swept_reason(store, idle=30, age=60) == "max_duration"


async def test_an_ended_session_is_forgotten_after_its_retention(store: Store, log: SessionLog) -> None:
    store.advance(100)
    await log.append_events(await claimed(log), [final("x"), end()], end_reason="closed")
    store.advance(40)
    await log.sweep(0, 0, 60)
    assert await ids(log) == [1, 2]
    store.advance(40)
    await log.sweep(FOREVER, FOREVER, 60)
    with pytest.raises(SessionNotFound):
        await log.state("s")


async def test_a_session_that_has_not_ended_is_never_forgotten(store: Store, log: SessionLog) -> None:
    store.advance(100)
    await log.finish_audio("s", "closed")
    await log.sweep(0, 0, 0)
    assert (await log.state("s")).reason == "closed"
