"""The recognition threads: who goes first, who never waits, and what becomes of jobs that nobody wants any more."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future

import pytest

from server.engines.local.workers import LONG_NICENESS, MOST_HUNG, NICENESS, TRIM_JOBS, Priority, Workers
from tests.support.servers import ROOT

STUCK_SECONDS = 10.0
"""Seconds after which what should have happened never will."""


@pytest.fixture
def make_workers() -> Iterator[Callable[[int], Workers]]:
    made: list[Workers] = []

    def make(threads: int) -> Workers:
        made.append(Workers(threads))
        return made[-1]

    yield make
    for workers in made:
        workers.close()


class Held:
    """A job that has begun and goes on until it is let go."""

    def __init__(self, workers: Workers, priority: Priority = Priority.AUDIO) -> None:
        self.began, self.let_go = threading.Event(), threading.Event()
        self.future: Future[bool] = workers.submit(priority, self._work)

    def _work(self) -> bool:
        self.began.set()
        return self.let_go.wait(STUCK_SECONDS)

    def has_begun(self) -> "Held":
        assert self.began.wait(STUCK_SECONDS)
        return self


def test_a_job_gives_its_result(make_workers: Callable[[int], Workers]) -> None:
    assert make_workers(1).submit(Priority.FINAL, lambda: 42).result(STUCK_SECONDS) == 42


def test_long_jobs_are_done_by_priority_then_by_arrival(make_workers: Callable[[int], Workers]) -> None:
    workers = make_workers(1)
    first = Held(workers, Priority.FINAL).has_begun()
    done: list[str] = []
    arrivals = [
        (Priority.UPKEEP, "upkeep"),
        (Priority.INTERIM, "interim"),
        (Priority.FINAL, "final 1"),
        (Priority.FINAL, "final 2"),
    ]
    futures = [workers.submit(priority, lambda name=name: done.append(name)) for priority, name in arrivals]  # type: ignore[misc]
    assert workers.waiting() == len(arrivals)
    first.let_go.set()
    for future in futures:
        future.result(STUCK_SECONDS)
    assert done == ["final 1", "final 2", "interim", "upkeep"]
    assert workers.waiting() == 0


def test_audio_is_decoded_in_the_order_of_arrival(make_workers: Callable[[int], Workers]) -> None:
    workers = make_workers(1)
    first = Held(workers).has_begun()
    done: list[int] = []
    futures = [workers.submit(Priority.AUDIO, lambda n=n: done.append(n)) for n in range(5)]  # type: ignore[misc]
    first.let_go.set()
    for future in futures:
        future.result(STUCK_SECONDS)
    assert done == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("priority", [Priority.FINAL, Priority.INTERIM, Priority.UPKEEP])
@pytest.mark.parametrize("threads", [1, 2])
def test_long_jobs_on_every_thread_do_not_keep_audio_from_being_decoded(
    make_workers: Callable[[int], Workers], priority: Priority, threads: int
) -> None:
    workers = make_workers(threads)
    running = [Held(workers, priority).has_begun() for _ in range(threads)]
    one_too_many = Held(workers, priority)
    assert workers.submit(Priority.AUDIO, lambda: "decoded").result(STUCK_SECONDS) == "decoded"
    assert not one_too_many.began.is_set()
    running[0].let_go.set()
    one_too_many.has_begun()
    for each in (*running, one_too_many):
        each.let_go.set()
        assert each.future.result(STUCK_SECONDS)


def test_long_jobs_run_side_by_side_on_all_threads(make_workers: Callable[[int], Workers]) -> None:
    workers = make_workers(3)
    together = threading.Barrier(3)
    futures = [workers.submit(Priority.FINAL, lambda: together.wait(STUCK_SECONDS)) for _ in range(3)]
    assert {future.result(STUCK_SECONDS) for future in futures} == {0, 1, 2}


def test_audio_may_have_all_threads(make_workers: Callable[[int], Workers]) -> None:
    workers = make_workers(2)
    together = threading.Barrier(2)
    futures = [workers.submit(Priority.AUDIO, lambda: together.wait(STUCK_SECONDS)) for _ in range(2)]
    assert {future.result(STUCK_SECONDS) for future in futures} == {0, 1}


def test_a_job_cancelled_in_line_is_never_run(make_workers: Callable[[int], Workers]) -> None:
    workers = make_workers(1)
    first = Held(workers).has_begun()
    done: list[str] = []
    unwanted = workers.submit(Priority.AUDIO, lambda: done.append("unwanted"))
    wanted = workers.submit(Priority.AUDIO, lambda: done.append("wanted"))
    assert unwanted.cancel()
    first.let_go.set()
    wanted.result(STUCK_SECONDS)
    assert done == ["wanted"]


def test_a_long_job_cancelled_in_line_leaves_room_for_the_next(make_workers: Callable[[int], Workers]) -> None:
    workers = make_workers(1)
    first = Held(workers, Priority.FINAL).has_begun()
    for unwanted in [workers.submit(Priority.FINAL, lambda: None) for _ in range(3)]:
        assert unwanted.cancel()
    first.let_go.set()
    assert workers.submit(Priority.FINAL, lambda: "done").result(STUCK_SECONDS) == "done"


def test_a_job_that_runs_can_not_be_cancelled(make_workers: Callable[[int], Workers]) -> None:
    running = Held(make_workers(1)).has_begun()
    assert not running.future.cancel()
    running.let_go.set()
    assert running.future.result(STUCK_SECONDS)


async def test_a_waiter_that_gives_up_takes_its_job_out_of_the_line(make_workers: Callable[[int], Workers]) -> None:
    workers = make_workers(1)
    first = Held(workers).has_begun()
    done: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(workers.run(Priority.AUDIO, lambda: done.append("unwanted")))
        await asyncio.sleep(0)
        assert workers.waiting() == 1
        waiting.cancel()
    assert workers.waiting() == 0
    first.let_go.set()
    await workers.run(Priority.AUDIO, lambda: done.append("wanted"))
    assert done == ["wanted"]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)], ids=["error", "exit"])
async def test_a_job_s_exception_reaches_its_waiter_alone(
    make_workers: Callable[[int], Workers], error: BaseException
) -> None:
    workers = make_workers(1)

    def fail() -> None:
        raise error

    first = Held(workers, Priority.FINAL).has_begun()
    failing, other = workers.submit(Priority.FINAL, fail), workers.submit(Priority.FINAL, lambda: "fine")
    first.let_go.set()
    assert failing.exception(STUCK_SECONDS) is error
    assert other.result(STUCK_SECONDS) == "fine"
    assert await workers.run(Priority.FINAL, lambda: "still there") == "still there"


async def test_the_event_loop_runs_on_while_a_job_runs(make_workers: Callable[[int], Workers]) -> None:
    workers = make_workers(1)
    seen_by_the_loop = threading.Event()
    async with asyncio.TaskGroup() as tasks:
        job = tasks.create_task(workers.run(Priority.FINAL, lambda: seen_by_the_loop.wait(STUCK_SECONDS)))
        await asyncio.sleep(0)
        seen_by_the_loop.set()
    assert job.result() is True


def test_closing_drops_the_line_and_waits_for_what_runs(
    make_workers: Callable[[int], Workers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.engines.local.workers.CLOSE_SECONDS", STUCK_SECONDS)
    workers = make_workers(1)
    running = Held(workers).has_begun()
    done: list[str] = []
    waiting = workers.submit(Priority.AUDIO, lambda: done.append("waiting"))
    closing = threading.Thread(target=workers.close)
    closing.start()
    with pytest.raises(CancelledError):
        waiting.result(STUCK_SECONDS)
    assert closing.is_alive()
    running.let_go.set()
    closing.join(STUCK_SECONDS)
    assert running.future.done() and running.future.result()
    assert done == []


def test_closing_does_not_wait_for_what_hangs(
    make_workers: Callable[[int], Workers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.engines.local.workers.CLOSE_SECONDS", 0.05)
    workers = make_workers(1)
    hanging = Held(workers).has_begun()
    workers.close()
    assert not hanging.future.done()
    hanging.let_go.set()


def test_a_closed_line_takes_no_more(make_workers: Callable[[int], Workers]) -> None:
    workers = make_workers(1)
    workers.close()
    with pytest.raises(CancelledError):
        workers.submit(Priority.AUDIO, lambda: "late").result(STUCK_SECONDS)


def test_freed_memory_is_handed_back_every_so_many_long_jobs(
    make_workers: Callable[[int], Workers], monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_back = threading.Event()
    monkeypatch.setattr("server.engines.local.workers.return_freed_memory", handed_back.set)
    workers = make_workers(2)
    for _ in range(TRIM_JOBS):
        assert not handed_back.is_set()
        workers.submit(Priority.AUDIO, lambda: None).result(STUCK_SECONDS)
        workers.submit(Priority.FINAL, lambda: None).result(STUCK_SECONDS)
    assert handed_back.wait(STUCK_SECONDS)


# --- threads that hang ----------------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that takes a moment is held to hang."""
    monkeypatch.setattr("server.engines.local.workers.AUDIO_JOB_SECONDS", 0.02)
    monkeypatch.setattr("server.engines.local.workers.LONG_JOB_SECONDS", 0.02)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("priority", Priority)
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_that_hang_are_replaced_when_others_wait(
    make_workers: Callable[[int], Workers], priority: Priority, threads: int
) -> None:
    workers = make_workers(threads)
    hanging = [Held(workers, priority).has_begun() for _ in range(threads)]
    assert workers.submit(priority, lambda: "done").result(STUCK_SECONDS) == "done"
    assert workers.hung() >= 1
    assert workers.able()
    for each in hanging:
        each.let_go.set()


def test_a_job_that_takes_long_is_let_run_while_nobody_waits(
    make_workers: Callable[[int], Workers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.engines.local.workers.AUDIO_JOB_SECONDS", 0.0)
    workers = make_workers(2)
    slow = Held(workers).has_begun()
    assert workers.submit(Priority.AUDIO, lambda: "done").result(STUCK_SECONDS) == "done"
    slow.let_go.set()
    assert slow.future.result(STUCK_SECONDS)
    assert workers.hung() == 0


@pytest.mark.usefixtures("hasty")
def test_a_thread_that_comes_back_ends_and_its_result_counts(make_workers: Callable[[int], Workers]) -> None:
    workers = make_workers(1)
    late = threading.current_thread()

    def take_long() -> str:
        nonlocal late
        late = threading.current_thread()
        began.set()
        assert let_go.wait(STUCK_SECONDS)
        return "late"

    began, let_go = threading.Event(), threading.Event()
    hanging = workers.submit(Priority.AUDIO, take_long)
    assert began.wait(STUCK_SECONDS)
    assert workers.submit(Priority.AUDIO, lambda: "done").result(STUCK_SECONDS) == "done"
    assert workers.hung() == 1
    let_go.set()
    assert hanging.result(STUCK_SECONDS) == "late"
    late.join(STUCK_SECONDS)
    assert not late.is_alive()
    assert workers.hung() == 0
    assert workers.submit(Priority.AUDIO, threading.current_thread).result(STUCK_SECONDS) is not late


@pytest.mark.usefixtures("hasty")
def test_so_many_threads_may_hang_and_no_more(make_workers: Callable[[int], Workers]) -> None:
    workers = make_workers(1)
    hanging = [Held(workers).has_begun() for _ in range(MOST_HUNG + 1)]
    waiting = workers.submit(Priority.AUDIO, lambda: "done")
    with pytest.raises(TimeoutError):
        waiting.result(0.2)
    assert workers.hung() == MOST_HUNG
    assert not workers.able()
    hanging[0].let_go.set()
    assert waiting.result(STUCK_SECONDS) == "done"
    for each in hanging:
        each.let_go.set()
        assert each.future.result(STUCK_SECONDS)
    workers.close()
    assert workers.able()


@pytest.mark.usefixtures("hasty")
def test_jobs_that_hang_do_not_hold_up_the_other_kind(make_workers: Callable[[int], Workers]) -> None:
    workers = make_workers(1)
    hanging = [Held(workers, Priority.FINAL).has_begun() for _ in range(MOST_HUNG + 1)]
    assert workers.submit(Priority.AUDIO, lambda: "done").result(STUCK_SECONDS) == "done"
    for each in hanging:
        each.let_go.set()


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_numpy_has_no_threads_beside_ours() -> None:
    """Those of its OpenBLAS wait for work by spinning."""
    program = "import server, numpy, os; print(len(os.listdir('/proc/self/task')))"
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == b"1"


def test_without_a_number_there_is_a_thread_for_each_processor() -> None:
    assert Workers().threads == os.cpu_count()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness belongs to the whole process")
@pytest.mark.parametrize("own", [0, 5])
def test_audio_comes_after_the_event_loop_in_line_for_the_cpu_and_long_jobs_after_audio(own: int) -> None:
    """Also where the whole server was started with ``nice``: there raising a priority is forbidden."""
    found: list[int] = []

    def as_the_server() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), own)
        workers = Workers(1)
        for priority in Priority:
            found.append(workers.submit(priority, lambda: os.getpriority(os.PRIO_PROCESS, 0)).result(STUCK_SECONDS))
        workers.close()

    server = threading.Thread(target=as_the_server)
    server.start()
    server.join(STUCK_SECONDS)
    assert found == [own + NICENESS, *[own + LONG_NICENESS] * 3]
    assert 0 < NICENESS < LONG_NICENESS
