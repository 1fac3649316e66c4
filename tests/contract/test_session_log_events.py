"""What every session log keeps to: the event log and the checkpoint."""

import asyncio

import pytest

from server.models import EventType
from server.session_log.base import Checkpoint, NewEvent, SessionLog
from tests.support.session_log_stores import (  # noqa: F401
    LONG,
    SPEECH_END,
    Store,
    audio,
    claimed,
    end,
    event,
    final,
    ids,
    log_fixture,
    store_fixture,
    token,
)

pytestmark = pytest.mark.timeout(20)  # a missed wake-up shows as a call that waits LONG


async def test_events_are_numbered_from_one_and_kept_as_they_are(log: SessionLog) -> None:
    lease = await claimed(log)
    events = [event(EventType.SPEECH_START, start=0.5), final("안녕"), SPEECH_END]
    assert await log.append_events(lease, events[:2]) == 2
    assert await log.append_events(lease, events[2:]) == 3
    logged = await log.read_events("s", 0, wait=0)
    assert [(one.id, one.type, one.body) for one in logged] == [
        (number, one.type, one.body) for number, one in enumerate(events, start=1)
    ]
    assert (await log.state("s")).last_event_id == 3


async def test_readers_have_cursors_of_their_own(store: Store, log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_events(lease, [final("1"), final("2")])
    assert await ids(log) == [1, 2]
    await log.append_events(lease, [final("3")])
    assert await ids(log, after=2) == [3]
    assert await ids(store.other) == [1, 2, 3]
    assert await ids(store.other, after=1) == [2, 3]
    assert await ids(log, after=3) == await ids(log, after=4) == []


async def test_every_waiting_reader_gets_an_event_as_it_comes(store: Store, log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_events(lease, [final("1")])
    async with asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(reader.read_events("s", 1, LONG)) for reader in (log, log, store.other)]
        await store.settle()
        await log.append_audio("s", b"not an event")
        await store.settle()
        await store.other.append_events(lease, [token("2")])
    assert [[logged.id for logged in reader.result()] for reader in readers] == [[2]] * 3


async def test_nothing_new_is_an_empty_answer_after_the_wait(log: SessionLog) -> None:
    assert await log.read_events("s", 0, wait=0.01) == []


@pytest.mark.parametrize(
    ("events", "after", "seen"),
    [
        ([token("1"), token("2")], 0, [2]),
        ([token("1"), token("2")], 1, [2]),
        ([token("1"), SPEECH_END, token("3")], 0, [2, 3]),
        ([token("1"), SPEECH_END], 0, [1, 2]),
        ([token("1"), SPEECH_END, final("3")], 0, [2, 3]),
        ([final("1"), token("2"), final("3"), token("4")], 0, [1, 3, 4]),
        ([final("1"), token("2")], 2, []),
    ],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
async def test_a_superseded_interim_is_left_out(
    log: SessionLog, events: list[NewEvent], after: int, seen: list[int], at_once: bool
) -> None:
    lease = await claimed(log)
    batches = [events] if at_once else [[one] for one in events]
    assert [await log.append_events(lease, batch) for batch in batches][-1] == len(events)
    assert await ids(log, after) == seen
    assert (await log.state("s")).last_event_id == len(events)


async def test_a_final_its_checkpoint_and_the_trim_are_one_step(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcdef")
    checkpoint = Checkpoint(4, 1.25, b"header", "vosk")
    await log.append_events(lease, [token("ab"), final("abcd")], checkpoint=checkpoint)
    state = await log.state("s")
    assert (state.checkpoint, state.recognized_seconds, state.last_event_id) == (checkpoint, 1.25, 2)
    assert await audio(log, lease, offset=4) == b"ef"


async def test_a_checkpoint_can_move_without_an_event(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcdef")
    assert await log.append_events(lease, [], checkpoint=Checkpoint(2, 0.5)) == 0
    assert await audio(log, lease, offset=2) == b"cdef"


async def test_events_without_a_checkpoint_leave_the_audio(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcdef")
    await log.append_events(lease, [final("x")])
    assert await audio(log, lease) == b"abcdef"


@pytest.mark.parametrize("offset", [1, 7])
async def test_a_checkpoint_outside_of_the_kept_audio_stores_nothing(log: SessionLog, offset: int) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcdef")
    await log.append_events(lease, [final("x")], checkpoint=Checkpoint(2, 1.0))
    before = await log.state("s")
    with pytest.raises(ValueError):
        await log.append_events(lease, [final("y"), end()], checkpoint=Checkpoint(offset, 2.0), end_reason="closed")
    assert await log.state("s") == before
    assert await ids(log) == [1]
