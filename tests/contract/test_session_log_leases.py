"""What every session log keeps to: leases."""

import asyncio
from dataclasses import replace

import pytest

from server.errors import LeaseLost
from server.session_log.base import Checkpoint, Lease, SessionLog
from tests.support.session_log_stores import (  # noqa: F401
    ENGINES,
    LEASE_SECONDS,
    LONG,
    STORES,
    Store,
    audio,
    calls_with,
    claimed,
    create,
    final,
    ids,
    log_fixture,
    store_fixture,
)

pytestmark = pytest.mark.timeout(20)  # a missed wake-up shows as a call that waits LONG


async def test_the_session_that_waits_longest_is_claimed_first(store: Store) -> None:
    for session_id in ("1", "2", "3"):
        await create(store.log, session_id)
        store.advance(0.1)
    first = await claimed(store.log)
    assert first.session_id == "1"
    store.advance(0.1)
    await store.log.release(first)
    assert [(await claimed(store.log)).session_id for _ in range(3)] == ["2", "3", "1"]
    assert await store.other.claim("b", ENGINES, wait=0) is None


async def test_one_session_goes_to_one_of_two_owners(store: Store, log: SessionLog) -> None:
    leases = await asyncio.gather(log.claim("a", ENGINES, wait=0), store.other.claim("b", ENGINES, wait=0))
    assert sorted(lease is None for lease in leases) == [False, True]


@pytest.mark.parametrize("cause", ["created", "released"])
async def test_a_waiting_owner_gets_a_session_as_it_is(store: Store, log: SessionLog, cause: str) -> None:
    lease = await claimed(log)
    async with asyncio.TaskGroup() as tasks:
        claim = tasks.create_task(store.other.claim("b", ENGINES, LONG))
        await store.settle()
        assert not claim.done()
        if cause == "created":
            await create(log, "t")
        else:
            await log.release(lease)
    expected = Lease("t", "b", 1) if cause == "created" else Lease("s", "b", 2)
    assert claim.result() == expected


@pytest.mark.parametrize("name", STORES)
async def test_a_waiting_owner_gets_a_session_whose_lease_expires(name: str) -> None:
    async with STORES[name](lease_seconds=0.02) as store:
        await create(store.log, "s")
        await claimed(store.log)
        assert await store.other.claim("b", ENGINES, LONG) == Lease("s", "b", 2)


async def test_a_lease_lasts_for_a_term_after_it_was_renewed(store: Store, log: SessionLog) -> None:
    lease = await claimed(log)
    for _ in range(3):
        store.advance(0.7 * LEASE_SECONDS)
        assert await store.other.claim("b", ENGINES, wait=0) is None
        await log.renew(lease)
    store.advance(LEASE_SECONDS)
    assert await store.other.claim("b", ENGINES, wait=0) == Lease("s", "b", 2)


async def test_an_expired_lease_that_nobody_claimed_is_still_good(store: Store, log: SessionLog) -> None:
    lease = await claimed(log)
    store.advance(LEASE_SECONDS + 1)
    await log.append_events(lease, [final("1")])
    await log.renew(lease)
    assert await store.other.claim("b", ENGINES, wait=0) is None


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
    for call in calls_with(log, lease):
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
    await log.append_events(lease, [final("ab")], checkpoint=Checkpoint(2, 1.0, engine="fake"))
    await log.read_audio(lease, 6, 2.0, 10, wait=0)
    await log.release(lease)
    successor = await claimed(store.other, "b")
    assert (await log.state("s")).taken == 2
    assert await audio(store.other, successor, offset=2) == b"cdef"
    assert await store.other.append_events(successor, [final("cdef")]) == 2
