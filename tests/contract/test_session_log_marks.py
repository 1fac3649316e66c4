"""What every session log keeps to: marks, where everything before is to become final."""

import asyncio

import pytest

from server.errors import BacklogFull, SessionEnded
from server.session_log.base import MAX_MARKS, AudioSlice, Checkpoint, SessionLog
from tests.support.session_log_stores import (  # noqa: F401
    LONG,
    Store,
    claimed,
    final,
    log_fixture,
    store_fixture,
)

pytestmark = pytest.mark.timeout(20)  # a missed wake-up shows as a call that waits LONG


async def test_audio_is_read_up_to_a_mark_and_then_on(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcd")
    assert await log.mark_flush("s") == 4
    await log.append_audio("s", b"ef")
    assert await log.read_audio(lease, 0, 0.0, 10, LONG) == AudioSlice(0, b"abcd", mark=4)
    assert await log.read_audio(lease, 4, 0.0, 10, LONG, flushed=4) == AudioSlice(4, b"ef")


async def test_a_slice_that_does_not_reach_the_mark_does_not_have_it(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcd")
    await log.mark_flush("s")
    assert await log.read_audio(lease, 0, 0.0, 3, LONG) == AudioSlice(0, b"abc")
    assert await log.read_audio(lease, 3, 0.0, 3, LONG) == AudioSlice(3, b"d", mark=4)


async def test_a_mark_behind_all_audio_is_reached_without_more_of_it(store: Store, log: SessionLog) -> None:
    lease = await claimed(log)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(log.read_audio(lease, 0, 0.0, 10, LONG))
        await store.settle()
        assert await store.other.mark_flush("s") == 0
    assert reading.result() == AudioSlice(0, b"", mark=0)


async def test_several_marks_are_reached_one_after_the_other(log: SessionLog) -> None:
    lease = await claimed(log)
    for chunk in (b"ab", b"cd"):
        await log.append_audio("s", chunk)
        await log.mark_flush("s")
    assert (await log.read_audio(lease, 0, 0.0, 10, LONG)).mark == 2
    assert await log.read_audio(lease, 2, 0.0, 10, LONG, flushed=2) == AudioSlice(2, b"cd", mark=4)


async def test_a_place_has_one_mark_and_one_answer(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"ab")
    assert [await log.mark_flush("s"), await log.mark_flush("s")] == [2, 2]
    await log.append_events(lease, [final("x")], flushed=2)
    assert await log.mark_flush("s") == 2
    assert await log.read_audio(lease, 2, 0.0, 10, wait=0) == AudioSlice(2, b"")


async def test_the_next_owner_meets_a_mark_that_nobody_has_answered_at_the_same_byte(
    store: Store, log: SessionLog
) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcdef")
    await log.mark_flush("s")
    await log.read_audio(lease, 0, 0.0, 10, LONG)
    await log.append_events(lease, [final("ab")], checkpoint=Checkpoint(2, 1.0, engine="fake"))
    await log.release(lease)
    successor = await claimed(store.other, "b")
    assert await store.other.read_audio(successor, 2, 0.0, 10, LONG) == AudioSlice(2, b"cdef", mark=6)


async def test_a_mark_that_recognition_has_passed_unanswered_is_reached_at_once(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcd")
    await log.mark_flush("s")
    await log.append_audio("s", b"ef")
    await log.append_events(lease, [final("x")], checkpoint=Checkpoint(5, 1.0))
    assert await log.read_audio(lease, 5, 0.0, 10, LONG) == AudioSlice(5, b"", mark=4)
    assert await log.read_audio(lease, 5, 0.0, 10, LONG, flushed=4) == AudioSlice(5, b"f")


async def test_an_answer_takes_its_mark_and_those_before_it_away(log: SessionLog) -> None:
    lease = await claimed(log)
    for chunk in (b"ab", b"cd", b"ef"):
        await log.append_audio("s", chunk)
        await log.mark_flush("s")
    await log.append_events(lease, [final("x")], flushed=4)
    assert await log.read_audio(lease, 0, 0.0, 10, LONG) == AudioSlice(0, b"abcdef", mark=6)


async def test_the_last_audio_is_the_last_only_behind_its_mark(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"ab")
    await log.mark_flush("s")
    await log.finish_audio("s", "closed")
    assert await log.read_audio(lease, 0, 0.0, 10, LONG) == AudioSlice(0, b"ab", mark=2)
    assert await log.read_audio(lease, 2, 0.0, 10, LONG, flushed=2) == AudioSlice(2, b"", finished=True)


async def test_marks_are_bounded(log: SessionLog) -> None:
    for _ in range(MAX_MARKS):
        await log.append_audio("s", b"1")
        await log.mark_flush("s")
    lease = await claimed(log)
    await log.read_audio(lease, MAX_MARKS, 0.0, 10, wait=0)
    await log.append_audio("s", b"1")
    with pytest.raises(BacklogFull):
        await log.mark_flush("s")
    await log.append_events(lease, [final("x")], flushed=1)
    assert await log.mark_flush("s") == MAX_MARKS + 1


async def test_a_session_that_takes_no_more_audio_takes_no_mark(log: SessionLog) -> None:
    await log.finish_audio("s", "closed")
    with pytest.raises(SessionEnded):
        await log.mark_flush("s")
