"""Keywords in what the first pass hears."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engines.local.keywords import spot
from server.models import Word


def words(text: str) -> list[Word]:
    return [Word(word, float(at), at + 0.9, 0.5) for at, word in enumerate(text.split())]


@pytest.mark.parametrize(
    ("heard", "keyword", "shown"),
    [
        ("오늘 삼송 전자 주가", "삼성전자", "오늘 삼성전자 주가"),
        ("내일 개보동에서 만나", "개포동", "내일 개포동에서 만나"),
        ("세 종 대왕 과 세종대왕", "세종대왕", "세종대왕 과 세종대왕"),
        ("he lives in cintra", "Sintra", "he lives in Sintra"),
        ("내일 만나요", "만두", "내일 만나요"),
        ("", "만두", ""),
    ],
)
def test_what_sounds_like_a_keyword_is_shown_as_it(heard: str, keyword: str, shown: str) -> None:
    assert " ".join(word.word for word in spot(words(heard), [keyword])) == shown


def test_a_keyword_has_the_times_of_what_it_replaces() -> None:
    found = spot(words("오늘 삼송 전자 주가"), ["삼성전자"])
    assert [(word.start, word.end) for word in found] == [(0.0, 0.9), (1.0, 2.9), (3.0, 3.9)]
    assert found[1].confidence == 0.5


@given(st.lists(st.text("가나다라마바사", min_size=1, max_size=4)), st.text("하파타카", min_size=3, max_size=5))
def test_a_keyword_that_nobody_said_changes_nothing(heard: list[str], keyword: str) -> None:
    spoken = words(" ".join(heard))
    assert [word for word in spot(spoken, [keyword]) if keyword not in word.word] == spoken
