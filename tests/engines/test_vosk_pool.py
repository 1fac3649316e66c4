"""The pool of Kaldi recognizers: how many there are, who gets which, and when one is replaced."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from server.engines.local.recognizer_pool import YOUNGEST_RECYCLED, Lent, RecognizerPool


class Kaldi:
    """Stands for a Kaldi recognizer where only its whereabouts matter."""

    def FinalResult(self) -> str:
        return "{}"

    def Reset(self) -> None: ...


@dataclass
class Jobs:
    """What was to be done later."""

    waiting: list[Callable[[], None]] = field(default_factory=list)

    def do_all(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


def pool_of(memory_mb: float = 1e6) -> tuple[RecognizerPool, list[Lent], Jobs]:
    """A pool with one recognizer, all that were ever made, and its jobs."""
    made: list[Lent] = []
    jobs = Jobs()

    def make() -> Lent:
        made.append(Lent(Kaldi()))
        return made[-1]

    pool = RecognizerPool(make, memory_mb=memory_mb, later=jobs.waiting.append)
    pool.add()
    return pool, made, jobs


def test_nobody_waits_for_a_recognizer_and_the_last_that_came_back_is_lent_first() -> None:
    pool, made, _ = pool_of()
    taken = [pool.take() for _ in range(3)]
    assert len({id(lent) for lent in taken}) == len(made) == 3
    for lent in taken:
        pool.give_back(lent)
    assert pool.take() is taken[-1]


def test_those_that_are_kept_are_made_one_by_one_with_room_for_other_jobs_between() -> None:
    pool, made, jobs = pool_of()
    pool.keep(4)
    for count in (2, 3, 4):
        (job,) = jobs.waiting
        jobs.waiting.clear()
        job()
        assert len(made) == count
    assert jobs.waiting == []


def test_a_recognizer_in_use_counts_among_those_that_are_kept() -> None:
    pool, made, jobs = pool_of()
    pool.keep(3)
    pool.take()
    jobs.do_all()
    assert len(made) == 3


def test_no_more_are_made_than_memory_allows() -> None:
    pool, made, jobs = pool_of(memory_mb=0.0)
    pool.keep(4)
    pool.take()
    assert (len(made), jobs.waiting) == (1, [])


def test_who_takes_the_last_has_one_more_made_and_nobody_else() -> None:
    pool, made, jobs = pool_of()
    pool.keep(2)
    jobs.do_all()
    pool.take()
    assert (len(made), jobs.waiting) == (2, [])
    pool.take()
    assert (len(made), len(jobs.waiting)) == (2, 1)
    jobs.do_all()
    pool.take()
    assert len(made) == 3, "nobody has to wait for the third if it has been made"


@pytest.mark.parametrize(
    ("memory_mb", "utterances", "replaced"),
    [(0.0, YOUNGEST_RECYCLED, True), (0.0, YOUNGEST_RECYCLED - 1, False), (1e6, 10 * YOUNGEST_RECYCLED, False)],
)
def test_only_a_used_recognizer_is_replaced_and_only_above_the_limit(
    memory_mb: float, utterances: int, replaced: bool
) -> None:
    pool, made, jobs = pool_of(memory_mb)
    first = pool.take()
    jobs.waiting.clear()  # to make another for when the first is in use
    for _ in range(utterances - 1):
        pool.give_back(first)
        assert pool.take() is first
    pool.give_back(first)
    jobs.do_all()
    assert len(made) == 1 + replaced
    assert (pool.take() is not first) is replaced


# --- broken ones ----------------------------------------------------------------------------------------------------


class BrokenKaldi(Kaldi):
    """Raises what vosk raises: nothing more telling than ``Exception``."""

    def AcceptWaveform(self, pcm: bytes) -> int:
        raise Exception("Failed to process waveform")

    def PartialResult(self) -> str:
        raise Exception("Failed to decode")

    def FinalResult(self) -> str:
        raise Exception("Failed to decode")


CALLS: dict[str, Callable[[Lent], object]] = {
    "feed": lambda lent: lent.feed(b"00"),
    "partial": lambda lent: lent.partial(),
    "words": lambda lent: lent.words(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_recognizer_that_raised_is_never_lent_again(call: Callable[[Lent], object]) -> None:
    pool, made, jobs = pool_of()
    broken = pool.take()
    broken.kaldi = BrokenKaldi()
    with pytest.raises(Exception, match="Failed to"):
        call(broken)
    pool.give_back(broken)
    jobs.do_all()
    assert all(pool.take() is not broken for _ in range(len(made) + 1))


def test_one_that_raises_when_an_utterance_is_dropped_is_never_lent_again() -> None:
    pool, made, jobs = pool_of()
    broken = pool.take()
    broken.kaldi = BrokenKaldi()
    broken.utterance_bytes = 3200
    pool.give_back(broken)
    jobs.do_all()
    assert all(pool.take() is not broken for _ in range(len(made) + 1))


def test_in_the_place_of_a_broken_one_another_is_made() -> None:
    pool, made, jobs = pool_of()
    pool.keep(2)
    jobs.do_all()
    broken = pool.take()
    broken.sound = False
    pool.give_back(broken)
    jobs.do_all()
    assert len(made) == 3
