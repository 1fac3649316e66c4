"""Which text of the beam is taken, and which words of other texts take the place of its own."""

import pytest

from server.engines.local.choice import Weights, Witnesses, alike, best, is_broken, likelihood, sounds
from server.engines.local.transcription import Hypothesis
from server.engines.local.voting import shares, variants

KOREAN = {"불국사와 석굴암": -20.0, "불국사와 속고라면": -45.0, "Bulguksa": -80.0}


def hypothesis(text: str, log_probability: float, tokens: int = 9, looped: bool = False) -> Hypothesis:
    return Hypothesis(text, log_probability, tuple(range(tokens)), looped)


def language_model(text: str) -> float:
    return KOREAN.get(text, -30.0)


def test_the_end_of_a_text_is_a_token_too() -> None:
    assert likelihood(hypothesis("가", -0.5, tokens=3)) == pytest.approx(-2.0)


WRONG, RIGHT = hypothesis("불국사와 속고라면", -0.3), hypothesis("불국사와 석굴암", -0.45)


@pytest.mark.parametrize(
    ("hypotheses", "witnesses", "expected"),
    [
        ([WRONG, RIGHT], Witnesses(), WRONG),
        ([WRONG, RIGHT], Witnesses(language_model=language_model), RIGHT),
        ([WRONG, RIGHT], Witnesses("불국사와 석굴암"), RIGHT),
        ([WRONG, RIGHT], Witnesses("불국사와 속고라면"), WRONG),
        ([WRONG, RIGHT], Witnesses(""), WRONG),  # a first pass that heard nothing does not count
        ([WRONG, RIGHT], Witnesses("불국사와 석굴암", language_model, Weights(0.0, 0.0)), WRONG),
        # the sum counts: who says it twice has more to answer for
        ([hypothesis("네, 네", -0.3, 19), hypothesis("네", -0.4, 12)], Witnesses(), hypothesis("네", -0.4, 12)),
        # but who says hardly anything has little to answer for, which is no merit
        (
            [hypothesis("Hello there", -0.3, 19), hypothesis("Hm", -0.4, 2)],
            Witnesses(),
            hypothesis("Hello there", -0.3, 19),
        ),
        # what goes round in a circle is taken only where all do
        ([hypothesis("가가가", -0.1, looped=True), RIGHT], Witnesses(), RIGHT),
        ([hypothesis("가가가", -0.1, looped=True)], Witnesses(), hypothesis("가가가", -0.1, looped=True)),
        # nobody speaks half a word in Latin letters, or half a character
        ([hypothesis("섞oram은", -0.1), RIGHT], Witnesses(), RIGHT),
        ([hypothesis("석굴\ufffd", -0.1), RIGHT], Witnesses(), RIGHT),
    ],
)
def test_the_best_of_the_beam(hypotheses: list[Hypothesis], witnesses: Witnesses, expected: Hypothesis) -> None:
    assert best(hypotheses, witnesses) == expected


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("섞oram은", True),
        ("석\ufffd", True),
        ("TV를 켰다", False),
        ("삼성TV", False),
        ("A4용지", False),
        ("그는 UNESCO에서", False),
        ("", False),
    ],
)
def test_a_text_that_cannot_be_spoken_is_told(text: str, broken: bool) -> None:
    assert is_broken(text) is broken


def test_sounds_are_letters_without_spaces_and_marks() -> None:
    assert sounds("각 각!") == sounds("각각")
    assert len(sounds("각")) == 3
    assert alike("석구람", "석굴암") > 0.7 > alike("안녕히 계세요", "지내죠")


@pytest.mark.parametrize(
    ("words", "first", "expected"),
    [
        (["감염받을", "수"], "감면 받을 수", ["감면받을", "수"]),
        (["그는", "간다"], "그는", ["그는", ""]),
        (["그는"], "", [""]),
        ([], "그는", []),
        (["1위하여"], "이리하여", ["이리하여"]),
    ],
)
def test_each_word_has_its_share_of_the_first_pass(words: list[str], first: str, expected: list[str]) -> None:
    assert shares(words, first) == expected


@pytest.mark.parametrize(
    ("text", "others", "first", "among"),
    [
        ("30%를 감염받을 수 있어요.", [], "삼십 감면 받을 수 있어요", "30%를 감면받을 수 있어요."),
        ("삼경하여 왔다.", [], "상경하여 왔다", "상경하여 왔다."),
        ("골드반은 금계를", ["골드반은 금괴를"], None, "골드반은 금괴를"),
        ("반가워요. 반가워요.", [], "반가워요", "반가워요."),
        ("그는 갔다", [], "그는 완전히 다르게", None),  # what sounds different is no variant
    ],
)
def test_variants_have_a_word_of_somebody_else(
    text: str, others: list[str], first: str | None, among: str | None
) -> None:
    found = variants(text, others, first)
    assert text not in found and len(found) == len(set(found))
    if among is None:
        assert not any("다르게" in each for each in found)
    else:
        assert among in found
