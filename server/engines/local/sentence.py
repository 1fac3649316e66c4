"""Whether somebody who pauses has said what they wanted to say, by the text so far. Pure."""

from enum import Enum

from server.engines.local.transcription import Hypothesis

SURE = -0.5
"""Mean log probability below which a text tells nothing about its end."""
FULL_STOPS = (".", "?", "!", "。", "？", "！")
OPEN_ENDS = ("...", "…", "..", "。。。")
"""Whisper's way to write that somebody has not finished."""
FINAL_ENDING = "EF"
"""Kiwi's tag of the ending of a Korean sentence's last verb."""
GOING_ON = ("EC", "ETM", "JKS", "JKO", "JKB", "JKG", "JC", "MM", "MAJ")
"""Kiwi's tags of connective and adnominal endings, of particles, and of words that stand before others."""


class Verdict(Enum):
    """What the text says about the pause after it."""

    OVER = "over"
    GOES_ON = "goes on"
    UNKNOWN = "unknown"


def verdict(text: Hypothesis, ending: str | None) -> Verdict:
    """``ending``: Kiwi's tag of the last morpheme of a Korean text; ``None``: it is another language."""
    if not text.text or text.looped or text.log_probability < SURE:
        return Verdict.UNKNOWN
    if ending in GOING_ON:
        return Verdict.GOES_ON
    is_written_so = text.text.endswith(FULL_STOPS) and not text.text.endswith(OPEN_ENDS)
    return Verdict.OVER if is_written_so and ending in (None, FINAL_ENDING) else Verdict.UNKNOWN
