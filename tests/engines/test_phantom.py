"""Text that nobody said is told from text that somebody did."""

import pytest

from server.engines.local.phantom import STOCK_PHRASES, agreement, is_phantom
from server.engines.local.transcription import Transcription

SAID = "그는 이리저리 피하면서 길 한 옆으로 걸어갔다."


def heard(
    text: str = SAID, log_probability: float = -0.3, no_speech: float = 0.1, looped: bool = False
) -> Transcription:
    return Transcription(text, "ko", log_probability, no_speech, looped)


@pytest.mark.parametrize("first_pass", [None, "", "그는 디비전이 피하면서 기흥 옆으로 걸어갔다"])
def test_no_text_was_not_said(first_pass: str | None) -> None:
    assert is_phantom(heard(""), first_pass)


@pytest.mark.parametrize("first_pass", [None, "", SAID])
def test_a_loop_was_not_said_whatever_the_first_pass_heard(first_pass: str | None) -> None:
    assert is_phantom(heard(looped=True), first_pass)


@pytest.mark.parametrize(
    ("no_speech", "log_probability", "phantom"),
    [
        (0.9, -1.2, True),
        (0.9, -0.9, False),  # a sure text is speech, whatever the other figure says
        (0.5, -1.2, False),  # an unsure text is speech if there is any
        (0.1, -0.2, False),
    ],
)
def test_an_unlikely_text_in_likely_silence_was_not_said(
    no_speech: float, log_probability: float, phantom: bool
) -> None:
    assert is_phantom(heard(no_speech=no_speech, log_probability=log_probability), None) is phantom


@pytest.mark.parametrize(
    ("first_pass", "log_probability", "phantom"),
    [
        ("", -0.9, True),
        ("", -0.7, False),
        ("그는", -0.9, False),
        (None, -0.9, False),  # nobody else has listened
    ],
)
def test_a_doubtful_text_was_not_said_where_the_first_pass_heard_nothing(
    first_pass: str | None, log_probability: float, phantom: bool
) -> None:
    assert is_phantom(heard(log_probability=log_probability), first_pass) is phantom


@pytest.mark.parametrize("phrase", STOCK_PHRASES)
def test_what_subtitles_end_with_was_not_said_unless_the_first_pass_heard_it(phrase: str) -> None:
    assert is_phantom(heard(phrase), None)
    assert is_phantom(heard(phrase), "")
    assert is_phantom(heard(phrase), "길 한 옆 으로 걸어갔다")
    assert not is_phantom(heard(phrase), phrase)


@pytest.mark.parametrize(
    "text",
    [
        "시청해 주셔서 감사합니다.",
        "시청해주셔서 감사합니다!",
        "구독과 좋아요 부탁드립니다.",
        "Thanks for watching!",
        "Thank you for watching.",
        "Subtitles by the Amara.org community",
        "ご視聴ありがとうございました。",
    ],
)
def test_stock_phrases_are_known_however_they_are_written(text: str) -> None:
    assert is_phantom(heard(text), None)


@pytest.mark.parametrize("text", ["감사합니다.", "네.", "Thank you.", "I was watching the news.", "자막을 켜 주세요."])
@pytest.mark.parametrize("first_pass", [None, "네"])
def test_what_people_say_is_kept(text: str, first_pass: str | None) -> None:
    assert not is_phantom(heard(text), first_pass)


@pytest.mark.parametrize(
    "text",
    [
        "So that was the last of our three lessons on how glass is made, and thank you for watching.",
        "오늘 강연은 여기까지입니다. 긴 시간 함께해 주시고 끝까지 시청해 주셔서 감사합니다.",
    ],
)
@pytest.mark.parametrize("first_pass", [None, "길 한 옆 으로"])
def test_a_stock_phrase_at_the_end_of_more_was_said(text: str, first_pass: str | None) -> None:
    assert not is_phantom(heard(text), first_pass)


def test_a_stock_phrase_that_was_half_understood_by_the_first_pass_was_said() -> None:
    assert not is_phantom(heard("시청해 주셔서 감사합니다."), "시 청 해 주 서 감사 합니다")


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        ("걸어 갔다.", "걸어갔다", 1.0),
        ("Hello, World", "hello world", 1.0),
        ("가나", "가다", 0.5),
        ("가나", "다라", 0.0),
        ("가나", "", 0.0),
    ],
)
def test_agreement_is_about_letters(text: str, other: str, expected: float) -> None:
    assert agreement(text, other) == pytest.approx(expected)
