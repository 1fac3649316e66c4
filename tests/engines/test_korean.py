"""Vosk's morphemes become readable words, and no letter, time or confidence is lost on the way."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.engines.local.korean import LONGEST_JOIN, KoreanSpacing, plain
from server.models import Word


@pytest.fixture(scope="module")
def spacing() -> KoreanSpacing:
    return KoreanSpacing()


def spoken(text: str) -> list[Word]:
    """Each morpheme of ``text`` lasts 0.4 s and is followed by 0.1 s of silence."""
    return [Word(each, n / 2, n / 2 + 0.4) for n, each in enumerate(text.split())]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("[17]", "17"),
        ("{만}", "만"),
        ("(천)", "천"),
        ("나", "나"),
        ("나(천)", "나(천)"),
        ("(천)원", "(천)원"),
        ("[", "["),
        ("ABC", "ABC"),
    ],
)
def test_numerals_lose_their_brackets(word: str, expected: str) -> None:
    assert plain(word) == expected


@pytest.mark.parametrize(
    ("morphemes", "expected"),
    [
        ("그 는 이리저리 피 하 면서 길 한 옆 으로 걸어갔다", "그는 이리저리 피하면서 길 한 옆으로 걸어갔다"),
        ("나 는 학교 에 갔 다", "나는 학교에 갔다"),
        ("오늘 날씨 가 좋 습니다", "오늘 날씨가 좋습니다"),
        ("[17] 일", "17일"),
        ("{만} 원", "만 원"),
        ("걸어갔다", "걸어갔다"),
    ],
)
def test_morphemes_become_words(spacing: KoreanSpacing, morphemes: str, expected: str) -> None:
    assert " ".join(word.word for word in spacing.words(spoken(morphemes))) == expected


def test_nothing_said_is_no_word(spacing: KoreanSpacing) -> None:
    assert spacing.words([]) == []


def test_a_word_lasts_from_its_first_morpheme_to_its_last(spacing: KoreanSpacing) -> None:
    assert spacing.words(spoken("나 는 학교 에 갔 다")) == [
        Word("나는", 0.0, 0.9),
        Word("학교에", 1.0, 1.9),
        Word("갔다", 2.0, 2.9),
    ]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Word("나", 0.0, 0.3, 0.9), Word("는", 0.3, 0.4, 0.5), 0.8),
        (Word("나", 0.0, 0.3, 0.9), Word("는", 0.3, 0.4), 0.9),
        (Word("나", 0.0, 0.0, 0.9), Word("는", 0.0, 0.0, 0.5), 0.7),
        (Word("나", 0.0, 0.3), Word("는", 0.3, 0.4), None),
    ],
    ids=["by length", "one unknown", "no length", "unknown"],
)
def test_a_confidence_is_the_mean_of_what_is_known(
    spacing: KoreanSpacing, first: Word, second: Word, expected: float | None
) -> None:
    (word,) = spacing.words([first, second])
    assert word.confidence == pytest.approx(expected)


@pytest.mark.parametrize("text", ["그 러 하 였 었 더 라 면 은", "뷁 " * 20, "크리스마스 이 었 으면 서 도"])
def test_a_run_of_morphemes_that_is_too_long_for_a_word_stays_apart(spacing: KoreanSpacing, text: str) -> None:
    assert spacing.words(spoken(text)) == spoken(text)


def test_threads_may_share_it(spacing: KoreanSpacing) -> None:
    texts = ["나 는 학교 에 갔 다", "오늘 날씨 가 좋 습니다", "[17] 일"] * 20
    alone = [spacing.words(spoken(text)) for text in texts]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda text: spacing.words(spoken(text)), texts)) == alone


PARTICLES = [
    "그",
    "는",
    "이",
    "가",
    "을",
    "에",
    "에서",
    "으로",
    "하",
    "면서",
    "았",
    "었",
    "다",
    "습니다",
    "고",
    "것",
    "수",
]
STEMS = ["있", "없", "안", "학교", "사람", "때문", "길", "옆", "걸어갔다", "이리저리"]
NUMERALS = ["[17]", "[3]", "{만}", "{억}", "(백)", "(천)"]
OTHERS = ["ABC", "X", "%", "/", "국제전자제품박람회"]
hangul = st.text(st.characters(min_codepoint=ord("가"), max_codepoint=ord("힣")), min_size=1, max_size=4)
confidences = st.none() | st.floats(0.01, 1)
morphemes = st.tuples(st.sampled_from(PARTICLES + STEMS + NUMERALS + OTHERS) | hangul, st.floats(0, 0.5), confidences)


@st.composite
def sentences(draw: st.DrawFn) -> list[Word]:
    words, now = [], 0.0
    for text, length, confidence in draw(st.lists(morphemes, max_size=25)):
        words.append(Word(text, now, now + length, confidence))
        now += length + 0.05
    return words


@settings(max_examples=200, deadline=None)
@given(sentence=sentences())
@example(sentence=spoken("[17] 일 ABC 는 {만} 원 % 국제전자제품박람회 에서"))
def test_no_letter_time_or_confidence_is_lost_or_made_up(spacing: KoreanSpacing, sentence: list[Word]) -> None:
    rest = list(sentence)
    for word in spacing.words(sentence):
        group = [rest.pop(0)]
        while group[-1].end != word.end or "".join(plain(each.word) for each in group) != word.word:
            group.append(rest.pop(0))
        assert_joined(word, group)
    assert rest == []


def assert_joined(word: Word, group: Sequence[Word]) -> None:
    assert (word.start, word.end) == (group[0].start, group[-1].end)
    assert len(group) == 1 or len(word.word) <= LONGEST_JOIN
    known = [each.confidence for each in group if each.confidence is not None]
    if word.confidence is None:
        assert not known
    else:
        assert min(known) - 1e-9 <= word.confidence <= max(known) + 1e-9
