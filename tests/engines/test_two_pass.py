"""What becomes the final of an utterance, from what its two passes heard."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engines.local.transcription import Transcription
from server.engines.local.two_pass import choose
from server.engines.speech.endpointing import PAUSE_SECONDS, Ended, Started
from server.models import Final, Interim, SessionConfig, Word

STARTED = Started(start=10.0, audio_start=9.7)
ENDED = Ended(end=12.0, through=12.4)
CONFIG = SessionConfig()
WORDS = (Word("그는,", 9.7, 10.5, 0.9), Word("걸어갔다.", 10.5, 12.3, 0.7))
NOTHING = Final("", 12.0, 12.0, 12.4)


def heard(
    text: str = "그는, 걸어갔다.", words: tuple[Word, ...] = WORDS, log_probability: float = -0.2
) -> Transcription:
    return Transcription(text, "ko", log_probability, no_speech=0.0, words=words)


def first_pass(text: str, confidence: float | None) -> Final:
    return Final(text, 10.1, 11.9, ENDED.through, confidence, (Word(text, 10.1, 11.9, confidence),), "ko")


@pytest.mark.parametrize("first", [None, first_pass("", None), first_pass("그는 거러갔다", 1.0)])
def test_the_second_pass_wins(first: Final | None) -> None:
    final = choose(heard(), first, STARTED, ENDED, CONFIG)
    assert final.text == "그는, 걸어갔다."
    assert (final.through, final.language) == (ENDED.through, "ko")
    assert [word.word for word in final.words] == ["그는,", "걸어갔다."]


@pytest.mark.parametrize("confidence", [0.9, 0.2, None])
def test_the_first_pass_stands_in_for_a_second_that_made_something_up(confidence: float | None) -> None:
    """However unsure it is: its tokens have been read."""
    first = first_pass("길 한 옆으로 걸어갔다", confidence)
    assert choose(heard("시청해 주셔서 감사합니다."), first, STARTED, ENDED, CONFIG) is first
    assert choose(heard(""), first, STARTED, ENDED, CONFIG) is first


@pytest.mark.parametrize("first", [None, first_pass("", None), first_pass("", 1.0)])
def test_else_there_is_a_final_without_text_that_accounts_for_the_audio(first: Final | None) -> None:
    assert choose(heard(""), first, STARTED, ENDED, CONFIG) == NOTHING
    assert choose(heard("시청해 주셔서 감사합니다."), first, STARTED, ENDED, CONFIG) == NOTHING


@pytest.mark.parametrize(
    ("text", "first", "sure", "unsure", "wins"),
    [
        ("안녕히 계세요.", "지내죠", 0.9, 0.34, "first"),  # a greeting nobody said
        ("안녕히 계세요.", "지내죠", 0.7, 0.34, "second"),
        ("안녕히 계세요.", "지내죠", 0.9, 0.6, "second"),
        ("지내지요.", "지내죠", 0.9, 0.34, "second"),  # both heard the same
    ],
)
def test_a_sure_first_pass_wins_over_a_second_that_guessed_something_else(
    text: str, first: str, sure: float, unsure: float, wins: str
) -> None:
    guessed = heard(text, (Word(text, 10.0, 11.0, unsure),), -0.5)
    final = choose(guessed, first_pass(first, sure), STARTED, ENDED, CONFIG)
    assert final.text == {"first": first, "second": text}[wins]


def test_what_was_shown_last_is_not_taken_back_in_silence() -> None:
    shown = Interim("Hello there", 10.0, 11.0, 0.4, (), "en")
    final = choose(replace(heard(""), uncovered=1.5), None, STARTED, ENDED, CONFIG, shown)
    assert (final.text, final.confidence, final.language) == ("Hello there", 0.4, "en")
    assert (final.start, final.end, final.through) == (STARTED.start, ENDED.end, ENDED.through)
    assert final.uncovered == 1.5


@pytest.mark.parametrize("text", ["", "그는, 걸어갔다."])
def test_what_could_not_be_read_is_told(text: str) -> None:
    assert choose(replace(heard(text), uncovered=1.5), None, STARTED, ENDED, CONFIG).uncovered == 1.5


def test_words_lie_where_somebody_spoke() -> None:
    """Whisper lets the first word begin with the pre-roll and the last end with the silence."""
    late = (Word("그는", 9.0, 10.5), Word("걸어갔다", 10.5, 15.0))
    final = choose(heard(words=late), None, STARTED, ENDED, CONFIG)
    assert (final.start, final.end) == (final.words[0].start, final.words[-1].end)
    assert (final.start, final.end) == pytest.approx((STARTED.start, ENDED.end + PAUSE_SECONDS))


def test_without_word_times_the_final_lasts_as_long_as_the_speech() -> None:
    final = choose(heard(words=()), None, STARTED, ENDED, CONFIG)
    assert (final.start, final.end, final.words) == (STARTED.start, ENDED.end, ())
    assert final.confidence == pytest.approx(math.exp(-0.2))


def test_the_confidence_is_the_mean_of_the_words_by_their_length() -> None:
    words = (Word("가", 10.0, 11.0, 0.9), Word("나", 11.0, 11.5, 0.3))
    assert choose(heard(words=words), None, STARTED, ENDED, CONFIG).confidence == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("그는, 걸어갔다.", "그는 걸어갔다"),
        ("정말?! 그래…", "정말 그래"),
        ("3.5퍼센트, 1,000원.", "3.5퍼센트 1,000원"),
        ("It's ten o'clock.", "It's ten o'clock"),
        ("今天很好，我们走。", "今天很好我们走"),
        ("¿Qué hora es?", "Qué hora es"),
    ],
)
def test_without_punctuate_there_are_no_marks_between_words(text: str, bare: str) -> None:
    words = tuple(Word(each, 10.0 + n / 10, 10.1 + n / 10, 0.9) for n, each in enumerate(text.split()))
    final = choose(heard(text, words), None, STARTED, ENDED, SessionConfig(punctuate=False))
    assert final.text == bare == " ".join(word.word for word in final.words)


def test_a_word_that_is_only_a_mark_is_no_word_without_punctuate() -> None:
    words = (Word("그는", 10.0, 10.5), Word("…", 10.5, 10.6), Word("갔다", 10.6, 11.0))
    final = choose(heard("그는 … 갔다", words), None, STARTED, ENDED, SessionConfig(punctuate=False))
    assert [word.word for word in final.words] == ["그는", "갔다"]
    assert choose(heard("그는 … 갔다", words), None, STARTED, ENDED, CONFIG).words == words


TIMES = st.lists(st.floats(5.0, 20.0), min_size=2, max_size=12).map(sorted)


@given(TIMES, st.lists(st.none() | st.floats(0.0, 1.0), min_size=6, max_size=6), st.floats(-0.7, 0.0))
def test_whatever_whisper_says_times_follow_one_another_and_the_confidence_is_one(
    times: list[float], confidences: list[float | None], log_probability: float
) -> None:
    pairs = zip(times[::2], times[1::2], confidences, strict=False)
    words = tuple(Word("말", start, end, confidence) for start, end, confidence in pairs)
    final = choose(heard("말", words, log_probability=log_probability), None, STARTED, ENDED, CONFIG)
    assert len(final.words) == len(words)
    for bounds in ([word.start for word in final.words], [word.end for word in final.words]):
        assert bounds == sorted(bounds)
    assert all(STARTED.start <= word.start < word.end <= ENDED.end + PAUSE_SECONDS for word in final.words)
    assert STARTED.start <= final.start < final.end <= ENDED.end + PAUSE_SECONDS
    assert final.confidence is not None
    assert 0 < final.confidence <= 1
