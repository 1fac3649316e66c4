"""Korean interims of two passes: Whisper's agreed words stay, Vosk's follow, nothing is doubled or left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engines.local.refinement import Refinement, rest
from server.engines.local.refining import Refining

RESTS: dict[str, tuple[str, str, str]] = {
    "nothing is known": ("", "원래 가족 이", "원래 가족 이"),
    "the same words": ("원래 가족이", "원래 가족이 더 힘든", "더 힘든"),
    "other spaces": ("원래 가족이", "원래가족 이 더 힘든", "더 힘든"),
    "other sounds": ("세계 문화유산으로", "새개 문화 유사으로 등재 되어", "등재 되어"),
    "a mark between": ("힘든 법이에요.", "힘든 법이에요. 힘내세요.", "힘내세요."),
    "the first pass is behind": ("비를 피하면서 이리저리", "비를 피하면서", ""),
    "the first pass joins words": ("다섯 개의", "다섯개의불상 중", "불상 중"),
    "all of it": ("힘내세요", "힘내세요", ""),
    "words that come twice": ("네 네", "네 네 네 알겠습니다", "네 알겠습니다"),
    "the first pass has heard nothing": ("힘내세요", "", ""),
}


@pytest.mark.parametrize(("known", "text", "expected"), RESTS.values(), ids=RESTS)
def test_what_follows_the_known_words_is_found_by_their_sound(known: str, text: str, expected: str) -> None:
    assert rest(known, text) == expected


def test_what_two_texts_begin_with_is_shown_before_the_first_pass() -> None:
    refinement = Refinement()
    refinement.refine("원래 가족이 더")
    assert refinement.complete("월래 가족 이 더 힘든") == "월래 가족 이 더 힘든"
    refinement.refine("원래 가족이 더 힘든 법")
    assert refinement.agreed == "원래 가족이"
    assert refinement.complete("월래 가족 이 더 힘든 법이") == "원래 가족이 더 힘든 법이"


def test_the_last_word_is_not_agreed_on_before_it_has_been_finished() -> None:
    refinement = Refinement()
    for _ in range(2):
        refinement.refine("불국사와 석굴")
    assert refinement.agreed == "불국사와"


def test_at_a_pause_every_word_has_been_finished() -> None:
    refinement = Refinement()
    refinement.settle("원래 가족이 더 힘든 법이에요.")
    assert refinement.complete("원래 가족 이 더 힘든 법이 헤어 힘내") == "원래 가족이 더 힘든 법이에요. 힘내"


TEXTS = st.lists(st.sampled_from(["네", "가족이", "더", "힘든", "가요."]), max_size=6).map(" ".join)


@given(st.lists(st.tuples(st.booleans(), TEXTS, TEXTS), max_size=8))
def test_no_interim_takes_back_what_was_agreed(steps: list[tuple[bool, str, str]]) -> None:
    refinement = Refinement()
    agreed = ""
    for at_a_pause, text, first in steps:
        (refinement.settle if at_a_pause else refinement.refine)(text)
        assert refinement.agreed.startswith(agreed)
        agreed = refinement.agreed
        assert refinement.complete(first).startswith(agreed)


def test_there_is_time_while_few_speak() -> None:
    refining = Refining(most=2)
    people = [object() for _ in range(3)]
    for person in people:
        refining.begin(person)
    assert not refining.has_time()
    refining.end(people[0])
    refining.end(people[0])
    assert refining.has_time()
