"""What every session log keeps to. Each test runs once for each entry of ``STORES``."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from server.errors import BacklogFull, LeaseLost, OffsetMismatch, SessionEnded, SessionNotFound
from server.models import EventType
from server.session_log.base import HEAD_BYTES, AudioSlice, Checkpoint, Lease, NewEvent, SessionLog
from server.session_log.memory import MemorySessionLog

pytestmark = pytest.mark.timeout(20)  # a missed wake-up shows as a call that waits LONG

LEASE_SECONDS = 5.0
LONG = 60.0  # a wait that must be cut short by what it waits for
FOREVER = 1e9


@dataclass(frozen=True)
class Store:
    """One store as two processes see it: what is done through ``log`` is seen through ``other``.

    ``advance`` makes the store's clock run ahead by some seconds; ``settle`` returns once the calls begun before it
    are waiting.
    """

    log: SessionLog
    other: SessionLog
    advance: Callable[[float], None]
    settle: Callable[[], Awaitable[None]]


@asynccontextmanager
async def memory_store(lease_seconds: float = LEASE_SECONDS) -> AsyncIterator[Store]:
    """The same object stands for both processes: this log can only be shared inside one."""
    ahead = 0.0

    def advance(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    log = MemorySessionLog(clock=lambda: time.monotonic() + ahead, lease_seconds=lease_seconds)
    yield Store(log, log, advance, settle=lambda: asyncio.sleep(0))
    await log.aclose()


STORES: dict[str, Callable[..., AbstractAsyncContextManager[Store]]] = {"memory": memory_store}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with STORES[request.param]() as opened:
        yield opened


@pytest.fixture
async def log(store: Store) -> SessionLog:
    """A store's log in which session ``s`` is open and may be up to 100 bytes ahead."""
    await _create(store.log, "s")
    return store.log


async def _create(log: SessionLog, session_id: str, max_backlog_bytes: int = 100) -> None:
    await log.create(session_id, {"language": "ko", "keywords": ["한국어"]}, "fake", max_backlog_bytes)


async def claimed(log: SessionLog, owner: str = "a") -> Lease:
    lease = await log.claim(owner, wait=0)
    assert lease is not None
    return lease


def event(event_type: EventType, **data: object) -> NewEvent:
    return NewEvent(event_type, json.dumps({"event_type": event_type, "data": data}).encode())


def token(text: str) -> NewEvent:
    return event(EventType.TOKEN, text=text)


def final(text: str) -> NewEvent:
    return event(EventType.FINAL, text=text)


def end(reason: str = "closed") -> NewEvent:
    return event(EventType.SESSION_END, reason=reason)


SPEECH_END = event(EventType.SPEECH_END, end=1.0)


async def ids(log: SessionLog, after: int = 0) -> list[int]:
    return [logged.id for logged in await log.read_events("s", after, wait=0)]


async def audio(log: SessionLog, lease: Lease, after: int = 0, limit: int = 1000, wait: float = 0) -> bytes:
    return (await log.read_audio(lease, after, 0.0, limit, wait)).pcm


# --- sessions ---------------------------------------------------------------------------------------------------


async def test_a_new_session_is_open_and_empty(log: SessionLog) -> None:
    state = await log.state("s")
    assert (state.session_id, state.status, state.reason) == ("s", "open", None)
    assert (state.offset, state.taken, state.recognized_seconds, state.last_event_id, state.head) == (0, 0, 0, 0, b"")
    assert state.config == {"language": "ko", "keywords": ["한국어"]}
    assert state.checkpoint == Checkpoint(0, 0.0, b"", "fake")
    assert abs(state.created - time.time()) < 60
    assert await log.open_sessions() == ["s"]


async def test_a_state_is_a_snapshot(log: SessionLog) -> None:
    before = await log.state("s")
    before.config["keywords"].append("changed")
    await log.append_audio("s", b"12")
    assert before.offset == 0
    assert (await log.state("s")).config["keywords"] == ["한국어"]


async def test_a_session_keeps_the_configuration_it_was_created_with(log: SessionLog) -> None:
    config = {"keywords": ["가"]}
    await log.create("t", config, "fake", 100)
    config["keywords"].append("나")
    assert (await log.state("t")).config == {"keywords": ["가"]}


async def test_an_unknown_session_is_not_found_by_any_call(log: SessionLog) -> None:
    await _refuses_every_call(log, Lease("unknown", "a", 1), SessionNotFound)


async def test_a_purged_session_is_not_found_by_any_call_and_is_not_claimed(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.release(lease)
    await log.purge("s")
    await _refuses_every_call(log, lease, SessionNotFound)
    assert await log.open_sessions() == []
    assert await log.claim("a", wait=0) is None


async def _refuses_every_call(log: SessionLog, lease: Lease, error: type[Exception]) -> None:
    calls: list[Awaitable[object]] = [
        log.state(lease.session_id),
        log.append_audio(lease.session_id, b"1"),
        log.wait_for_room(lease.session_id, wait=0),
        log.finish_audio(lease.session_id, "closed"),
        log.read_events(lease.session_id, 0, wait=0),
        log.purge(lease.session_id),
        *_calls_with(log, lease),
    ]
    for call in calls:
        with pytest.raises(error):
            await call


def _calls_with(log: SessionLog, lease: Lease) -> list[Awaitable[object]]:
    return [
        log.renew(lease),
        log.read_audio(lease, 0, 9.0, 10, wait=0),
        log.append_events(lease, [final("zombie"), end()], Checkpoint(1, 1.0)),
        log.release(lease),
    ]


def waiting_call(name: str, log: SessionLog, lease: Lease) -> Awaitable[object]:
    """A call that waits when 100 bytes are stored, none is taken and no event is there."""
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "events": lambda: log.read_events("s", 0, LONG),
        "room": lambda: log.wait_for_room("s", LONG),
        "audio": lambda: log.read_audio(lease, 100, 0.0, 10, LONG),
        "claim": lambda: log.claim("b", LONG),
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
        await log.aclose()


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
    await log.append_events(lease, [final("x")], Checkpoint(4, 1.0))
    assert (await log.append_audio("s", b"abcdef", 0)).offset == 6
    assert await audio(log, lease, after=4) == b"ef"


async def test_the_first_bytes_stay_known_after_their_audio_is_trimmed(log: SessionLog) -> None:
    lease = await claimed(log)
    upload = bytes(range(HEAD_BYTES + 10))
    for byte in upload:
        stored = await log.append_audio("s", bytes([byte]))
        await log.append_events(lease, [], Checkpoint(stored.offset, 1.0))
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
    await log.append_events(lease, [], Checkpoint(2, 1.0))
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
    await log.append_events(lease, [final("x")], Checkpoint(70, 1.0))
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
            await store.other.append_events(lease, [], Checkpoint(50, 1.0))
        else:
            await store.other.finish_audio("s", "closed")
    assert waiting.result() is True


# --- finishing --------------------------------------------------------------------------------------------------


async def test_the_first_reason_to_finish_stays(log: SessionLog) -> None:
    await log.finish_audio("s", "closed")
    await log.finish_audio("s", "idle_timeout")
    state = await log.state("s")
    assert (state.status, state.reason) == ("finishing", "closed")
    assert await log.open_sessions() == ["s"]


@pytest.mark.parametrize("ended", [False, True], ids=["finishing", "ended"])
async def test_after_the_finish_only_repeats_are_taken(log: SessionLog, ended: bool) -> None:
    await log.append_audio("s", b"abcd")
    await log.finish_audio("s", "closed")
    if ended:
        await log.append_events(await claimed(log), [end()])
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


# --- the event log ----------------------------------------------------------------------------------------------


async def test_events_are_numbered_from_one_and_kept_as_they_are(log: SessionLog) -> None:
    lease = await claimed(log)
    events = [event(EventType.SPEECH_START, start=0.5), final("안녕"), SPEECH_END]
    assert await log.append_events(lease, events[:2]) == 2
    assert await log.append_events(lease, events[2:]) == 3
    logged = await log.read_events("s", 0, wait=0)
    assert [(one.id, one.type, one.payload) for one in logged] == [
        (number, one.type, one.payload) for number, one in enumerate(events, start=1)
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
    await log.append_events(lease, [token("ab"), final("abcd")], checkpoint)
    state = await log.state("s")
    assert (state.checkpoint, state.recognized_seconds, state.last_event_id) == (checkpoint, 1.25, 2)
    assert await audio(log, lease, after=4) == b"ef"


async def test_a_checkpoint_can_move_without_an_event(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcdef")
    assert await log.append_events(lease, [], Checkpoint(2, 0.5)) == 0
    assert await audio(log, lease, after=2) == b"cdef"


async def test_events_without_a_checkpoint_leave_the_audio(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcdef")
    await log.append_events(lease, [final("x")])
    assert await audio(log, lease) == b"abcdef"


@pytest.mark.parametrize("offset", [1, 7])
async def test_a_checkpoint_outside_of_the_kept_audio_stores_nothing(log: SessionLog, offset: int) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcdef")
    await log.append_events(lease, [final("x")], Checkpoint(2, 1.0))
    before = await log.state("s")
    with pytest.raises(ValueError):
        await log.append_events(lease, [final("y"), end()], Checkpoint(offset, 2.0))
    assert await log.state("s") == before
    assert await ids(log) == [1]


# --- the end ----------------------------------------------------------------------------------------------------


async def test_session_end_ends_the_session_and_drops_its_audio(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcdef")
    assert await log.append_events(lease, [token("a"), final("abc"), end("failed")], Checkpoint(3, 1.0)) == 3
    state = await log.state("s")
    assert (state.status, state.reason, state.offset) == ("ended", "failed", 6)
    assert await log.read_audio(lease, 3, 1.0, 10, LONG) == AudioSlice(3, b"", finished=True)
    assert await ids(log) == [2, 3]
    assert await log.open_sessions() == []


async def test_the_reason_of_the_end_is_the_one_that_its_event_tells(log: SessionLog) -> None:
    await log.finish_audio("s", "idle_timeout")
    assert (await log.state("s")).reason == "idle_timeout"
    await log.append_events(await claimed(log), [end("engine_failed")])
    await log.finish_audio("s", "too late")
    state = await log.state("s")
    assert (state.status, state.reason) == ("ended", "engine_failed")


async def test_nothing_is_appended_after_the_end(log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_events(lease, [end()])
    before = await log.state("s")
    with pytest.raises(SessionEnded):
        await log.append_events(lease, [final("late")])
    assert await log.state("s") == before


async def test_an_ended_session_is_not_claimed_again(store: Store, log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_events(lease, [end()])
    await log.release(lease)
    store.advance(LEASE_SECONDS + 1)
    assert await log.claim("b", wait=0) is None


async def test_a_finishing_session_is_still_claimed(log: SessionLog) -> None:
    await log.finish_audio("s", "closed")
    assert (await claimed(log)).session_id == "s"


# --- leases -----------------------------------------------------------------------------------------------------


async def test_the_session_that_waits_longest_is_claimed_first(store: Store) -> None:
    for session_id in ("1", "2", "3"):
        await store.log.create(session_id, {}, "fake", 100)
        store.advance(0.1)
    first = await claimed(store.log)
    assert first.session_id == "1"
    store.advance(0.1)
    await store.log.release(first)
    assert [(await claimed(store.log)).session_id for _ in range(3)] == ["2", "3", "1"]
    assert await store.other.claim("b", wait=0) is None


async def test_one_session_goes_to_one_of_two_owners(store: Store, log: SessionLog) -> None:
    leases = await asyncio.gather(log.claim("a", wait=0), store.other.claim("b", wait=0))
    assert sorted(lease is None for lease in leases) == [False, True]


@pytest.mark.parametrize("cause", ["created", "released"])
async def test_a_waiting_owner_gets_a_session_as_it_is(store: Store, log: SessionLog, cause: str) -> None:
    lease = await claimed(log)
    async with asyncio.TaskGroup() as tasks:
        claim = tasks.create_task(store.other.claim("b", LONG))
        await store.settle()
        assert not claim.done()
        if cause == "created":
            await _create(log, "t")
        else:
            await log.release(lease)
    expected = Lease("t", "b", 1) if cause == "created" else Lease("s", "b", 2)
    assert claim.result() == expected


@pytest.mark.parametrize("name", STORES)
async def test_a_waiting_owner_gets_a_session_whose_lease_expires(name: str) -> None:
    async with STORES[name](lease_seconds=0.02) as store:
        await _create(store.log, "s")
        await claimed(store.log)
        assert await store.other.claim("b", LONG) == Lease("s", "b", 2)


async def test_a_lease_lasts_for_a_term_after_it_was_renewed(store: Store, log: SessionLog) -> None:
    lease = await claimed(log)
    for _ in range(3):
        store.advance(0.7 * LEASE_SECONDS)
        assert await store.other.claim("b", wait=0) is None
        await log.renew(lease)
    store.advance(LEASE_SECONDS)
    assert await store.other.claim("b", wait=0) == Lease("s", "b", 2)


async def test_an_expired_lease_that_nobody_claimed_is_still_good(store: Store, log: SessionLog) -> None:
    lease = await claimed(log)
    store.advance(LEASE_SECONDS + 1)
    await log.append_events(lease, [final("1")])
    await log.renew(lease)
    assert await store.other.claim("b", wait=0) is None


@pytest.mark.parametrize("loss", ["taken over", "taken over by the same owner", "released", "forged", "never claimed"])
async def test_a_writer_without_the_newest_lease_is_refused_and_changes_nothing(
    store: Store, log: SessionLog, loss: str
) -> None:
    await log.append_audio("s", b"abcdef")
    lease = Lease("s", "a", 1) if loss == "never claimed" else await claimed(log, "a")
    if loss.startswith("taken over"):
        store.advance(LEASE_SECONDS + 1)
        await claimed(store.other, "a" if loss.endswith("same owner") else "b")
    elif loss == "released":
        await log.release(lease)
    elif loss == "forged":
        lease = replace(lease, owner="b")
    before = await log.state("s")
    for call in _calls_with(log, lease):
        with pytest.raises(LeaseLost):
            await call
    assert await log.state("s") == before
    assert await ids(log) == []


@pytest.mark.parametrize("loss", ["taken over", "released"])
async def test_a_waiting_recognizer_hears_that_its_lease_is_lost(store: Store, log: SessionLog, loss: str) -> None:
    lease = await claimed(log)

    async def is_refused() -> None:
        with pytest.raises(LeaseLost):
            await log.read_audio(lease, 0, 0.0, 10, LONG)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(is_refused())
        await store.settle()
        if loss == "released":
            await log.release(lease)
        else:
            store.advance(LEASE_SECONDS + 1)
            await claimed(store.other, "b")


async def test_the_next_owner_starts_at_the_checkpoint(store: Store, log: SessionLog) -> None:
    lease = await claimed(log)
    await log.append_audio("s", b"abcdef")
    await log.append_events(lease, [final("ab")], Checkpoint(2, 1.0))
    await log.read_audio(lease, 6, 2.0, 10, wait=0)
    await log.release(lease)
    successor = await claimed(store.other, "b")
    assert (await log.state("s")).taken == 2
    assert await audio(store.other, successor, after=2) == b"cdef"
    assert await store.other.append_events(successor, [final("cdef")]) == 2


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
    await log.append_events(await claimed(log), [final("x"), end()])
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
