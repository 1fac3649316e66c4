"""What no order of events may break: every byte of an upload is stored once, and lies in exactly one final."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.errors import BacklogFull, LeaseLost, OffsetMismatch
from server.models import EventType
from server.session_log.base import Checkpoint, Lease, LoggedEvent, NewEvent, SessionLog
from tests.support.session_log_stores import ENGINES, LEASE_SECONDS, LONG, STORES, Store, claimed, create

UPLOAD = hashlib.shake_128(b"no part of this looks like another").digest(300)
BOUND = 64  # bytes of backlog; a chunk of up to half of it always fits once there is room

Opener = Callable[[], AbstractAsyncContextManager[Store]]
over_every_store = pytest.mark.parametrize("open_store", STORES.values(), ids=STORES)
economical = settings(max_examples=60, deadline=None)


def run(open_store: Opener, scenario: Callable[[Store], Coroutine[Any, Any, None]]) -> None:
    async def with_session() -> None:
        async with asyncio.timeout(5), open_store() as store:
            await create(store.log, "s", BOUND)
            await scenario(store)

    asyncio.run(with_session())


def final(pcm: bytes) -> NewEvent:
    return NewEvent(EventType.FINAL, json.dumps({"text": pcm.hex()}).encode(), 0.0)


def spoken(events: Sequence[LoggedEvent]) -> bytes:
    """The audio that the finals among ``events`` account for, in their order."""
    texts = [event.data["text"] for event in events if event.type is EventType.FINAL]
    return bytes.fromhex("".join(texts))


# --- one upload, several writers ----------------------------------------------------------------------------------

Cut = tuple[int, int]  # start, length
cuts = st.lists(st.tuples(st.integers(0, len(UPLOAD)), st.integers(1, BOUND // 2)), max_size=25)


def whole(size: int) -> list[Cut]:
    return [(start, size) for start in range(0, len(UPLOAD), size)]


async def write(log: SessionLog, chunks: Sequence[Cut]) -> None:
    """Send the chunks as a client would: leave out what is too early, wait for room, send again what was refused."""
    for start, length in chunks:
        chunk = UPLOAD[start : start + length]
        before = (await log.state("s")).offset
        while True:
            try:
                stored = await log.append_audio("s", chunk, start)
            except OffsetMismatch as refusal:
                assert before <= refusal.expected < start
            except BacklogFull:
                assert await log.wait_for_room("s", LONG)
                continue
            else:
                assert stored.offset >= max(before, start + len(chunk))
            break
        await asyncio.sleep(0)


async def recognize(log: SessionLog, lease: Lease, limits: Sequence[int]) -> None:
    """Read to the end of the upload in slices of these sizes, with a final for every second one."""
    pcm, through, count = b"", 0, 0
    while True:
        after = through + len(pcm)
        audio = await log.read_audio(lease, after, 0.0, limits[count % len(limits)], LONG)
        assert audio.offset == after
        pcm, count = pcm + audio.data, count + 1
        if count % 2 == 0 or audio.finished:
            through += len(pcm)
            await log.append_events(lease, [final(pcm)], checkpoint=Checkpoint(through, engine="fake"))
            pcm = b""
        if audio.finished:
            return
        await asyncio.sleep(0)  # an engine gives way to the writers, too


@over_every_store
@economical
@given(
    writers=st.lists(cuts, min_size=1, max_size=3),
    size=st.integers(1, BOUND // 2),
    limits=st.lists(st.integers(1, 2 * BOUND), min_size=1, max_size=5),
)
@example(writers=[whole(7), whole(32), list(reversed(whole(20)))], size=32, limits=[1])
def test_cut_repeated_overlapping_and_reordered_chunks_give_the_upload_once(
    open_store: Opener, writers: list[list[Cut]], size: int, limits: list[int]
) -> None:
    async def scenario(store: Store) -> None:
        lease = await claimed(store.other)
        async with asyncio.TaskGroup() as recognizing:
            recognizing.create_task(recognize(store.other, lease, limits))
            async with asyncio.TaskGroup() as writing:
                for number, chunks in enumerate(writers):
                    writing.create_task(write(store.other if number % 2 else store.log, chunks + whole(size)))
            await store.log.finish_audio("s", "closed")
        assert (await store.log.state("s")).offset == len(UPLOAD)
        assert spoken(await store.log.read_events("s", 0, wait=0)) == UPLOAD

    run(open_store, scenario)


# --- one session, several owners ----------------------------------------------------------------------------------


@dataclass
class Worker:
    """A recognizing process that goes on from the checkpoint it found, whether or not it still owns the session."""

    log: SessionLog
    lease: Lease
    through: int  # up to where its finals account for the audio
    pcm: bytes = b""  # what it has read since
    ids: list[int] = field(default_factory=list)

    async def read(self, limit: int) -> None:
        self.pcm += (await self.log.read_audio(self.lease, self.through + len(self.pcm), 0.0, limit, wait=0)).data

    async def publish(self, length: int) -> None:
        """A final for the first ``length`` bytes that are read, after an interim for all of them."""
        said, rest = self.pcm[:length], self.pcm[length:]
        interim = NewEvent(EventType.TOKEN, b"{}", 0.0)
        checkpoint = Checkpoint(self.through + len(said), engine="fake")
        self.ids.append(await self.log.append_events(self.lease, [interim]))
        self.ids.append(await self.log.append_events(self.lease, [final(said)], checkpoint=checkpoint))
        self.through, self.pcm = checkpoint.offset, rest


class Schedule:
    """Runs steps against the log, and knows for each whether the log must take it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.workers: list[Worker] = []
        self.held = False  # the newest lease has not been released
        self.live = False  # … and has not expired

    async def step(self, name: str, who: int, size: int) -> None:
        if name == "upload":
            start = (await self.store.log.state("s")).offset
            with contextlib.suppress(BacklogFull):
                await self.store.log.append_audio("s", UPLOAD[start : start + size], start)
        elif name == "expire":
            self.store.advance(LEASE_SECONDS + 1)
            self.live = False
        elif name == "claim":
            await self.claim(self.store.other if who % 2 else self.store.log, f"owner {who % 3}")
        elif self.workers:
            await self.act(name, self.workers[-1 - who % len(self.workers)], size)

    async def claim(self, log: SessionLog, owner: str) -> None:
        lease = await log.claim(owner, ENGINES, wait=0)
        assert (lease is None) == self.live
        if lease:
            through = (await log.state("s")).checkpoint.offset
            self.workers.append(Worker(log, lease, through))
            self.held = self.live = True

    async def act(self, name: str, worker: Worker, size: int) -> None:
        calls: dict[str, Callable[[], Awaitable[None]]] = {
            "read": lambda: worker.read(size),
            "publish": lambda: worker.publish(size),
            "renew": lambda: worker.log.renew(worker.lease),
            "release": lambda: worker.log.release(worker.lease),
        }
        if not (self.held and worker is self.workers[-1]):
            with pytest.raises(LeaseLost):
                await calls[name]()
            return
        await calls[name]()
        if name == "renew":
            self.live = True
        elif name == "release":
            self.held = self.live = False


steps = st.lists(
    st.tuples(
        st.sampled_from(["upload", "expire", "claim", "read", "publish", "renew", "release"]),
        st.sampled_from([0, 0, 0, 1, 2]),  # how many owners ago; mostly the newest one
        st.integers(1, 20),
    ),
    min_size=15,
    max_size=60,
)


@over_every_store
@economical
@given(steps=steps)
@example(
    steps=[
        *[("upload", 0, 20), ("claim", 0, 1), ("read", 0, 20), ("publish", 0, 5), ("expire", 0, 1), ("renew", 0, 1)],
        *[("read", 0, 9), ("expire", 0, 1), ("claim", 1, 1), ("read", 0, 9), ("publish", 1, 9), ("publish", 0, 9)],
        *[("release", 1, 1), ("release", 0, 1), ("publish", 0, 1), ("claim", 0, 1), ("publish", 2, 1)],
    ]
)
def test_changing_owners_account_for_every_byte_once_and_number_events_without_a_gap(
    open_store: Opener, steps: list[tuple[str, int, int]]
) -> None:
    async def scenario(store: Store) -> None:
        schedule = Schedule(store)
        for name, who, size in steps:
            await schedule.step(name, who, size)
        await store.log.finish_audio("s", "closed")
        store.advance(LEASE_SECONDS + 1)
        await recognize_rest(store.log)
        events = await store.log.read_events("s", 0, wait=0)
        assert spoken(events) == UPLOAD[: (await store.log.state("s")).offset]
        published = sorted(number for worker in schedule.workers for number in worker.ids)
        assert published == list(range(1, len(published) + 1))
        assert {event.id for event in events} >= set(published[1::2])

    async def recognize_rest(log: SessionLog) -> None:
        lease = await claimed(log)
        through = (await log.state("s")).checkpoint.offset
        rest = await log.read_audio(lease, through, 0.0, len(UPLOAD), wait=0)
        assert rest.finished
        await log.append_events(
            lease, [final(rest.data)], checkpoint=Checkpoint(through + len(rest.data), engine="fake")
        )

    run(open_store, scenario)
