"""LocalAgreement: what two hypotheses in a row begin with is shown for good."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engines.local.agreement import LocalAgreement
from server.engines.local.transcription import Transcription

WORDS = st.lists(st.sampled_from(["a", "b", "c", "B", "c."]), max_size=6)


def heard(text: str, language: str = "en") -> Transcription:
    return Transcription(text, language, log_probability=-0.3, no_speech=0.0)


@given(st.lists(WORDS, max_size=12))
def test_a_committed_word_is_never_withdrawn(hypotheses: list[list[str]]) -> None:
    agreement = LocalAgreement()
    committed: list[list[str]] = [[]]
    for words in hypotheses:
        shown = agreement.accept(heard(" ".join(words))).split()
        committed.append(list(agreement.committed))
        assert shown[: len(committed[-1])] == committed[-1]
    for before, after in pairwise(committed):
        assert after[: len(before)] == before


@given(st.lists(WORDS, min_size=1, max_size=12))
def test_the_newest_hypothesis_is_shown_whole_behind_what_is_committed(hypotheses: list[list[str]]) -> None:
    agreement = LocalAgreement()
    for words in hypotheses:
        shown = agreement.accept(heard(" ".join(words))).split()
        assert len(shown) == max(len(words), len(agreement.committed))
        assert shown[len(agreement.committed) :] == words[len(agreement.committed) :]


def test_what_was_heard_once_is_shown_and_not_committed() -> None:
    agreement = LocalAgreement()
    assert agreement.accept(heard("Ask not what")) == "Ask not what"
    assert agreement.committed == []


def test_what_two_hypotheses_begin_with_is_committed() -> None:
    agreement = LocalAgreement()
    agreement.accept(heard("Ask not what"))
    assert agreement.accept(heard("Ask not your country")) == "Ask not your country"
    assert agreement.committed == ["Ask", "not"]
    assert agreement.accept(heard("As knot your country can")) == "Ask not your country can"
    assert agreement.committed == ["Ask", "not"]
    assert agreement.accept(heard("As knot your country do")) == "Ask not your country do"
    assert agreement.committed == ["Ask", "not", "your", "country"]


def test_capitals_and_full_stops_do_not_make_a_difference() -> None:
    agreement = LocalAgreement()
    agreement.accept(heard("ask not."))
    agreement.accept(heard("Ask not what"))
    assert agreement.committed == ["Ask", "not"]


def test_a_shorter_hypothesis_takes_nothing_back() -> None:
    agreement = LocalAgreement()
    agreement.accept(heard("one two three"))
    agreement.accept(heard("one two three"))
    assert agreement.accept(heard("one")) == "one two three"
    assert agreement.accept(heard("")) == "one two three"


@pytest.mark.parametrize(
    ("language", "first", "second", "committed"),
    [
        ("zh", "今天天气", "今天天很好", "今天天"),
        ("ja", "今日は晴れ", "今日は雨です", "今日は"),
        ("ko", "오늘 날씨가", "오늘 날씨는 좋다", "오늘"),
        ("en", "to day", "to days", "to"),
    ],
)
def test_languages_without_spaces_agree_by_letters(language: str, first: str, second: str, committed: str) -> None:
    agreement = LocalAgreement()
    agreement.accept(heard(first, language))
    assert agreement.accept(heard(second, language)) == second
    assert "".join(agreement.committed) == committed
