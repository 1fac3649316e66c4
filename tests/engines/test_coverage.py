"""Speech that no word stands for is found."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engines.local.coverage import MISSING_SECONDS, Spoken, between, gaps, longest
from server.models import Word


def spoken(*stretches: tuple[float, float]) -> Spoken:
    found = Spoken()
    for start, end in stretches:
        found.add(start, end)
    return found


SENTENCE = (Word("그는", 1.0, 1.4), Word("길", 1.4, 1.8), Word("옆으로", 1.8, 2.4), Word("걸어갔다.", 2.4, 3.2))


@pytest.mark.parametrize(
    ("stretches", "words", "expected"),
    [
        ([(1.0, 3.2)], SENTENCE, []),
        ([(1.0, 3.2), (3.6, 5.8)], SENTENCE, [(3.2, 6.0, 2.2)]),  # it stopped early
        ([(1.0, 3.2), (3.6, 4.3)], SENTENCE, []),  # a breath
        ([(0.0, 3.2)], SENTENCE, [(0.0, 1.0, 1.0)]),
        ([(1.0, 5.0)], (Word("끊은", 1.0, 4.0), Word("길", 4.0, 5.0)), [(1.0, 4.0, 3.0 - longest("끊은"))]),
        ([(1.0, 1.5), (4.0, 5.0)], (Word("네", 1.0, 4.0), Word("가요", 4.0, 5.0)), []),  # the pause counts for nothing
        ([(1.0, 2.0)], (), [(0.0, 6.0, 1.0)]),
        ([], (), []),
    ],
)
def test_what_words_leave_out(
    stretches: list[tuple[float, float]], words: tuple[Word, ...], expected: list[tuple[float, float, float]]
) -> None:
    found = gaps(spoken(*stretches), words, 0.0, 6.0)
    assert [(gap.start, gap.end, round(gap.seconds, 6)) for gap in found] == expected


def test_a_word_that_lasts_too_long_lies_in_its_gap() -> None:
    (gap,) = gaps(spoken((0.0, 5.0)), (Word("네", 0.0, 3.0), Word("그렇습니다만", 3.0, 5.0)), 0.0, 5.0)
    assert (gap.first, gap.last) == (0, 1)


@pytest.mark.parametrize(("heard", "missing"), [("그렇습니다", True), ("네에", False), ("", False)])
def test_less_speech_is_a_gap_where_the_first_pass_heard_something(heard: str, missing: bool) -> None:
    first = (Word(heard, 3.7, 4.2),)
    assert bool(gaps(spoken((1.0, 3.2), (3.6, 4.2)), SENTENCE, 0.0, 5.0, first)) is missing


def test_of_a_long_word_the_share_of_what_else_the_first_pass_heard_is_missing() -> None:
    words = (Word("드라마", 0.0, 1.7), Word("관계자", 1.7, 2.4))
    first = (Word("컬러링", 0.0, 0.5), Word("북은", 0.5, 1.2), Word("드라마", 1.3, 1.7), Word("관계자", 1.7, 2.4))
    assert not gaps(spoken((0.1, 2.4)), words, 0.0, 2.5)
    (gap,) = gaps(spoken((0.1, 2.4)), words, 0.0, 2.5, first)
    assert (gap.start, gap.end, gap.first, gap.last) == (0.0, 1.7, 0, 1)
    assert round(gap.seconds, 2) == 1.0


def test_stretches_with_hardly_any_silence_between_are_one() -> None:
    assert spoken((0.0, 1.0), (1.05, 2.0), (2.5, 3.0)).stretches == [(0.0, 2.0), (2.5, 3.0)]


@pytest.mark.parametrize(
    ("start", "end", "trimmed"),
    [
        (3.0, 6.0, (3.6, 5.8)),  # the end of the last word was a little off
        (2.0, 6.0, (2.0, 5.8)),  # in mid-speech
        (0.0, 3.8, (1.0, 3.2)),
        (3.3, 3.5, (3.3, 3.5)),
    ],
)
def test_a_part_is_trimmed_to_its_speech(start: float, end: float, trimmed: tuple[float, float]) -> None:
    assert spoken((1.0, 3.2), (3.6, 5.8)).trimmed(start, end) == trimmed


def test_a_part_is_heard_with_the_silence_around_it_and_no_other_speech() -> None:
    talk = spoken((1.0, 3.2), (3.6, 5.8))
    assert talk.with_silence(3.6, 5.8, 0.3) == pytest.approx((3.3, 6.1))
    assert talk.with_silence(3.6, 5.8, 1.0) == pytest.approx((3.2, 6.8))
    assert talk.with_silence(2.0, 3.0, 0.3) == (2.0, 3.0)


def test_the_longest_pause_is_where_to_cut() -> None:
    talk = spoken((0.0, 1.0), (1.2, 2.0), (3.0, 4.0))
    assert talk.pause(0.0, 4.0) == 2.5
    assert talk.pause(0.0, 1.5) == pytest.approx(1.1)
    assert talk.pause(3.2, 4.0) is None


def test_words_belong_where_their_middle_is() -> None:
    assert between(SENTENCE, 1.3, 2.0) == (SENTENCE[1],)


TIMES = st.lists(st.floats(0.0, 20.0), min_size=2, max_size=16, unique=True).map(sorted)


@given(TIMES, TIMES)
def test_gaps_are_in_order_and_all_speech_outside_them_has_words(talk: list[float], times: list[float]) -> None:
    words = tuple(Word("말", start, end) for start, end in list(pairwise(times))[::2])
    speech = spoken(*list(pairwise(talk))[::2])
    found = gaps(speech, words, 0.0, 20.0)
    for one, other in pairwise(found):
        assert one.end <= other.start and one.last <= other.first
    accounted = sum(longest(word.word) for word in words)
    missing = sum(gap.seconds for gap in found)
    assert speech.total() <= missing + accounted + MISSING_SECONDS * (2 * len(words) + 1)
