"""What every session log keeps to: the audio log, and how far it may be ahead of the recognizer."""

import asyncio

import pytest

from server.errors import BacklogFull, OffsetMismatch
from server.session_log.base import HEAD_BYTES, AudioSlice, Checkpoint, SessionLog
from tests.support.session_log_stores import (  # noqa: F401
    LONG,
    Store,
    audio,
    claimed,
    final,
    log_fixture,
    store_fixture,
)

pytestmark = pytest.mark.timeout(20)  # a missed wake-up shows as a call that waits LONG

# --- the audio log ----------------------------------------------------------------------------------------------


async def test_chunks_without_an_offset_are_stored_in_the_order_of_arrival(log: SessionLog) -> None:
    assert (await log.append_audio("s", b"ab")).offset == 2
    assert (await log.append_audio("s", b"cd")).offset == 4
    assert await audio(log, await claimed(log)) == b"abcd"


@pytest.mark.parametrize(
    ("chunk", "offset", "stored"),
    [
        (b"ef", 4, b"abcdef"),
        (b"abcd", 0, b"abcd"),
        (b"bc", 1, b"abcd"),
        (b"cdef", 2, b"abcdef"),
        (b"abcdefgh", 0, b"abcdefgh"),
        (b"", 4, b"abcd"),
    ],
    ids=["at the end", "repeated", "inside", "overlapping", "around", "empty"],
)
async def test_bytes_that_are_there_already_are_skipped(
    log: SessionLog, chunk: bytes, offset: int, stored: bytes
) -> None:
    await log.append_audio("s", b"abcd")
    assert (await log.append_audio("s", chunk, offset)).offset == len(stored)
    assert await audio(log, await claimed(log)) == stored


async def test_a_chunk_past_the_end_is_refused_and_told_the_expected_byte(log: SessionLog) -> None:
    await log.append_audio("s", b"abcd")
    with pytest.raises(OffsetMismatch) as refusal:
        await log.append_audio("s", b"fg", 5)
    assert (refusal.value.expected, refusal.value.extra) == (4, {"offset": 4})
    assert (await log.state("s")).offset == 4


async def test_a_chunk_sent_again_after_its_audio_was_trimmed_is_stored_once(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcd", 0)
    await log.append_events(lease, [final("x")], checkpoint=Checkpoint(4, 1.0))
    assert (await log.append_audio("s", b"abcdef", 0)).offset == 6
    assert await audio(log, lease, offset=4) == b"ef"


async def test_the_first_bytes_stay_known_after_their_audio_is_trimmed(log: SessionLog) -> None:
    lease = await claimed(log)
    upload = bytes(range(HEAD_BYTES + 10))
    for byte in upload:
        stored = await log.append_audio("s", bytes([byte]))
        await log.append_events(lease, [], checkpoint=Checkpoint(stored.offset, 1.0))
    assert (await log.state("s")).head == upload[:HEAD_BYTES]


async def test_two_writers_of_one_upload_store_it_once(store: Store, log: SessionLog) -> None:
    upload = bytes(range(60))

    async def write(writer: SessionLog, size: int) -> None:
        for start in range(0, len(upload), size):
            await writer.append_audio("s", upload[start : start + size], start)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write(store.log, 7))
        tasks.create_task(write(store.other, 4))
    assert await audio(log, await claimed(log)) == upload


async def test_audio_is_read_by_offset_and_up_to_a_limit(store: Store, log: SessionLog) -> None:
    lease = await claimed(store.other)
    await log.append_audio("s", b"abcdef")
    assert await store.other.read_audio(lease, 1, 0.0, 3, LONG) == AudioSlice(1, b"bcd", finished=False)
    assert await store.other.read_audio(lease, 6, 0.0, 3, wait=0) == AudioSlice(6, b"", finished=False)


async def test_a_waiting_recognizer_gets_audio_as_it_comes(store: Store, log: SessionLog) -> None:
    lease = await claimed(log)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(audio(log, lease, wait=LONG))
        await store.settle()
        await store.other.append_audio("s", b"ab")
    assert reading.result() == b"ab"


async def test_reading_tells_how_far_recognition_has_come(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcdef")
    await log.read_audio(lease, 4, 1.5, 10, wait=0)
    state = await log.state("s")
    assert (state.taken, state.recognized_seconds) == (4, 1.5)
    await log.read_audio(lease, 2, 0.5, 10, wait=0)  # a second try, with a new recognizer
    state = await log.state("s")
    assert (state.taken, state.recognized_seconds) == (2, 0.5)


@pytest.mark.parametrize("after", [1, 7])
async def test_audio_that_is_trimmed_or_not_there_yet_cannot_be_asked_for(log: SessionLog, after: int) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcdef")
    await log.append_events(lease, [], checkpoint=Checkpoint(2, 1.0))
    before = await log.state("s")
    with pytest.raises(ValueError):
        await log.read_audio(lease, after, 0.0, 10, wait=0)
    assert await log.state("s") == before


# --- the backlog ------------------------------------------------------------------------------------------------


async def test_audio_too_far_ahead_of_the_recognizer_is_refused_whole(log: SessionLog) -> None:
    await log.append_audio("s", bytes(60))
    with pytest.raises(BacklogFull) as refusal:
        await log.append_audio("s", bytes(41))
    assert refusal.value.extra == {"offset": 60}
    assert (await log.state("s")).offset == 60
    assert (await log.append_audio("s", bytes(40))).offset == 100


async def test_only_new_bytes_count_against_the_bound(log: SessionLog) -> None:
    await log.append_audio("s", bytes(100))
    assert (await log.append_audio("s", bytes(100), 0)).offset == 100
    lease = await claimed(log)
    await log.read_audio(lease, 100, 0.0, 10, wait=0)
    await log.append_audio("s", bytes(60))
    assert (await log.append_audio("s", bytes(100), 100)).offset == 200


async def test_a_chunk_larger_than_the_bound_fits_when_nothing_is_waiting(log: SessionLog) -> None:
    assert (await log.append_audio("s", bytes(101))).offset == 101
    lease = await claimed(log)
    await log.read_audio(lease, 101, 0.0, 10, wait=0)
    assert (await log.append_audio("s", bytes(101))).offset == 202


async def test_what_the_recognizer_has_taken_makes_room(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", bytes(100))
    await log.read_audio(lease, 30, 0.0, 10, wait=0)
    assert (await log.append_audio("s", bytes(30))).offset == 130
    with pytest.raises(BacklogFull):
        await log.append_audio("s", b"1")


async def test_audio_before_the_checkpoint_is_not_waiting(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", bytes(100))
    await log.append_events(lease, [final("x")], checkpoint=Checkpoint(70, 1.0))
    assert (await log.state("s")).taken == 70
    assert (await log.append_audio("s", bytes(70))).offset == 170


async def test_there_is_room_when_the_backlog_is_at_most_half_full(log: SessionLog) -> None:
    await log.append_audio("s", bytes(50))
    assert await log.wait_for_room("s", wait=0)
    await log.append_audio("s", b"1")
    assert not await log.wait_for_room("s", wait=0.01)


@pytest.mark.parametrize("relief", ["reading", "a checkpoint", "finishing"])
async def test_a_writer_waits_for_room(store: Store, log: SessionLog, relief: str) -> None:
    lease = await claimed(store.other)
    await log.append_audio("s", bytes(100))
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(log.wait_for_room("s", LONG))
        await store.settle()
        assert not waiting.done()
        if relief == "reading":
            await store.other.read_audio(lease, 50, 0.0, 10, wait=0)
        elif relief == "a checkpoint":
            await store.other.append_events(lease, [], checkpoint=Checkpoint(50, 1.0))
        else:
            await store.other.finish_audio("s", "closed")
    assert waiting.result() is True
