"""What every session log keeps to: how many sessions may be open, and which of them a process takes."""

import asyncio

import pytest

from server.errors import TooManySessions
from server.session_log.base import Checkpoint, Room, SessionLog
from tests.support.session_log_stores import (  # noqa: F401
    CONFIG,
    ENGINES,
    LONG,
    Store,
    claimed,
    end,
    final,
    log_fixture,
    store_fixture,
)

pytestmark = pytest.mark.timeout(20)  # a missed wake-up shows as a call that waits LONG


def room(total: int = 100, **engines: int | None) -> Room:
    return Room(total, engines or {"fake": None})


async def test_a_session_goes_to_the_first_engine_that_has_room(store: Store) -> None:
    two_engines = room(cloud=1, local=2)
    engines = [await store.log.create(name, CONFIG, two_engines, 100) for name in ("1", "2", "3")]
    assert engines == ["cloud", "local", "local"]
    assert await store.other.open_by_engine() == {"cloud": 1, "local": 2}
    assert (await store.log.state("1")).checkpoint.engine == "cloud"
    with pytest.raises(TooManySessions, match="The engine cloud carries 1 sessions and no more."):
        await store.other.create("4", CONFIG, two_engines, 100)
    assert await store.log.open_by_engine() == {"cloud": 1, "local": 2}


async def test_there_is_a_bound_for_all_engines_together(log: SessionLog) -> None:
    with pytest.raises(TooManySessions, match="All 1 sessions of this server are taken.") as refusal:
        await log.create("t", CONFIG, room(1), 100)
    assert refusal.value.retry_after


async def test_of_many_who_ask_at_once_no_more_are_admitted_than_there_is_room_for(store: Store) -> None:
    async def admitted(number: int) -> bool:
        try:
            await (store.other if number % 2 else store.log).create(f"{number}", CONFIG, room(100, fake=7), 100)
        except TooManySessions:
            return False
        return True

    assert sum(await asyncio.gather(*(admitted(number) for number in range(40)))) == 7
    assert await store.log.open_by_engine() == {"fake": 7}


async def test_a_session_that_has_ended_makes_room(log: SessionLog) -> None:
    await log.append_events(await claimed(log), [final("x"), end()], end_reason="closed")
    assert await log.create("t", CONFIG, room(1), 100) == "fake"


async def test_a_session_that_is_finishing_makes_none_yet(log: SessionLog) -> None:
    await log.finish_audio("s", "closed")
    with pytest.raises(TooManySessions):
        await log.create("t", CONFIG, room(1), 100)


async def test_sessions_are_counted_for_the_engine_that_recognises_them_now(log: SessionLog) -> None:
    await log.append_events(await claimed(log), [], checkpoint=Checkpoint(engine="local"))
    assert await log.open_by_engine() == {"local": 1}


async def test_a_process_takes_only_sessions_of_engines_that_it_names(store: Store) -> None:
    await store.log.create("1", CONFIG, room(cloud=None), 100)
    await store.log.create("2", CONFIG, room(local=None), 100)
    assert await store.other.claim("b", {"other"}, wait=0) is None
    lease = await store.other.claim("b", {"local", "other"}, wait=0)
    assert lease is not None and lease.session_id == "2"
    assert await store.other.claim("b", {"local", "other"}, wait=0) is None


async def test_who_waits_is_not_given_a_session_of_another_engine(store: Store) -> None:
    async with asyncio.TaskGroup() as tasks:
        claim = tasks.create_task(store.other.claim("b", {"local"}, LONG))
        await store.settle()
        await store.log.create("1", CONFIG, room(cloud=None), 100)
        await store.settle()
        assert not claim.done()
        await store.log.create("2", CONFIG, room(local=None), 100)
    lease = claim.result()
    assert lease is not None and lease.session_id == "2"


async def test_a_claim_that_is_given_up_has_taken_nothing(store: Store) -> None:
    async with asyncio.TaskGroup() as tasks:
        claim = tasks.create_task(store.other.claim("b", ENGINES, LONG))
        await store.settle()
        claim.cancel()
    await store.log.create("1", CONFIG, room(), 100)
    assert await claimed(store.log)
