"""Whether a pause ends a sentence: by the text before it, and only where the text is likely."""

import pytest

from server.engines.local.korean import KoreanSpacing
from server.engines.local.sentence import SURE, Verdict, verdict
from server.engines.local.transcription import Hypothesis

OTHERS: dict[str, tuple[str, Verdict]] = {
    "a full stop": ("It is done.", Verdict.OVER),
    "a question": ("Is it done?", Verdict.OVER),
    "a Japanese full stop": ("終わりました。", Verdict.OVER),
    "no mark": ("It is", Verdict.UNKNOWN),
    "a comma": ("If it is done,", Verdict.UNKNOWN),
    "three dots": ("It is...", Verdict.UNKNOWN),
    "an ellipsis": ("It is…", Verdict.UNKNOWN),
    "nothing": ("", Verdict.UNKNOWN),
}


@pytest.mark.parametrize(("text", "expected"), OTHERS.values(), ids=OTHERS)
def test_other_languages_end_with_their_marks(text: str, expected: Verdict) -> None:
    assert verdict(Hypothesis(text, -0.1), None) is expected


KOREAN: dict[str, tuple[str, Verdict]] = {
    "a final ending": ("비를 피하면서 걸어갔다.", Verdict.OVER),
    "a polite question": ("이번 주말에 같이 가실래요?", Verdict.OVER),
    "a final ending without a mark": ("비를 피하면서 걸어갔다", Verdict.UNKNOWN),
    "a connective ending": ("그 말을 들으니까", Verdict.GOES_ON),
    "a connective ending with a comma": ("막대 모양의 금괴를 말하며,", Verdict.GOES_ON),
    "a particle": ("악마의 명령서가", Verdict.GOES_ON),
    "a particle with a full stop": ("오시형의 아버지가.", Verdict.GOES_ON),
    "a noun": ("종류, 무게", Verdict.UNKNOWN),
    "a noun with a full stop": ("종류, 무게.", Verdict.UNKNOWN),
}


@pytest.mark.parametrize(("text", "expected"), KOREAN.values(), ids=KOREAN)
def test_korean_ends_with_a_verb_s_ending(text: str, expected: Verdict) -> None:
    assert verdict(Hypothesis(text, -0.1), KoreanSpacing().last_tag(text)) is expected


@pytest.mark.parametrize("ending", [None, "EF", "EC"])
def test_a_text_that_is_unlikely_or_repeats_itself_tells_nothing(ending: str | None) -> None:
    assert verdict(Hypothesis("It is done.", SURE - 0.01), ending) is Verdict.UNKNOWN
    assert verdict(Hypothesis("It is done.", -0.1, looped=True), ending) is Verdict.UNKNOWN
