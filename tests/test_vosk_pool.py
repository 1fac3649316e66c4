"""The pool of Kaldi recognizers: how many there are, who gets which, and when one is replaced."""

from collections.abc import Callable

import pytest

from server.engines.vosk_pool import YOUNGEST_RECYCLED, Lent, RecognizerPool


class Kaldi:
    """Stands for a Kaldi recognizer where only its whereabouts matter."""

    def FinalResult(self) -> str:
        return "{}"

    def Reset(self) -> None: ...


def pool_of(size: int, memory_mb: float) -> tuple[RecognizerPool, list[Lent], list[Callable[[], None]]]:
    made: list[Lent] = []
    later: list[Callable[[], None]] = []

    def make() -> Lent:
        made.append(Lent(Kaldi()))
        return made[-1]

    return RecognizerPool(make, size=size, memory_mb=memory_mb, later=later.append), made, later


def test_a_pool_keeps_some_makes_more_when_they_are_needed_and_lends_the_last_that_came_back() -> None:
    pool, made, _ = pool_of(2, memory_mb=1e6)
    pool.fill()
    pool.fill()
    assert len(made) == 2
    taken = [pool.take() for _ in range(3)]
    assert len({id(lent) for lent in taken}) == len(made) == 3
    for lent in taken:
        pool.give_back(lent)
    assert pool.take() is taken[-1]


@pytest.mark.parametrize(
    ("memory_mb", "utterances", "replaced"),
    [(0.0, YOUNGEST_RECYCLED, True), (0.0, YOUNGEST_RECYCLED - 1, False), (1e6, 10 * YOUNGEST_RECYCLED, False)],
)
def test_only_a_used_recognizer_is_replaced_and_only_above_the_limit(
    memory_mb: float, utterances: int, replaced: bool
) -> None:
    pool, made, later = pool_of(1, memory_mb)
    pool.fill()
    first = pool.take()
    for _ in range(utterances - 1):
        pool.give_back(first)
        assert pool.take() is first
    pool.give_back(first)
    later[:] = [job for job in later if job != pool._grow]
    for job in later:
        job()
    assert len(made) == 1 + replaced
    assert (pool.take() is not first) is replaced


@pytest.mark.parametrize(("memory_mb", "more"), [(1e6, 1), (0.0, 0)])
def test_who_takes_the_last_has_one_more_made_if_memory_allows(memory_mb: float, more: int) -> None:
    pool, made, later = pool_of(2, memory_mb)
    pool.fill()
    pool.take()
    assert later == []
    pool.take()
    assert (len(made), len(later)) == (2, more)
    for job in later:
        job()
    assert len(made) == 2 + more
    pool.take()
    assert len(made) == 3, "nobody has to wait for the third if it has been made"
