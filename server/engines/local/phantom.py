"""Telling speech from what Whisper makes up out of noise. Pure."""

from difflib import SequenceMatcher

from server.engines.local.transcription import Transcription

NO_SPEECH = 0.6
UNLIKELY = -1.0
"""Mean log probability below which a text that is probably no speech is dropped (Whisper's own rule)."""
DOUBTFUL = -0.8
"""Mean log probability below which a text is dropped if the first pass has heard nothing."""
AGREEMENT = 0.3
STOCK_PHRASES = (
    "시청해주셔서감사합니다",
    "시청해주셔서고맙습니다",
    "구독과좋아요",
    "다음영상에서만나요",
    "한글자막by",
    "자막제공",
    "자막by",
    "mbc뉴스",
    "kbs뉴스",
    "이시각세계였습니다",
    "thanksforwatching",
    "thankyouforwatching",
    "subtitlesby",
    "amara.org",
    "ご視聴ありがとうございました",
    "请不吝点赞",
    "字幕by",
    "sous-titres",
    "untertitel",
)
"""Phrases at the end of video subtitles. Whisper has learnt to hear them in silence."""


def is_phantom(found: Transcription, first_pass: str | None) -> bool:
    """Whether nobody said this. ``first_pass``: what another recognizer heard (``None``: there is none)."""
    if not found.text or found.looped:
        return True
    if found.no_speech > NO_SPEECH and found.log_probability < UNLIKELY:
        return True
    if first_pass == "" and found.log_probability < DOUBTFUL:
        return True
    if _is_stock_phrase(found.text):
        return first_pass is None or agreement(found.text, first_pass) < AGREEMENT
    return False


def agreement(text: str, other: str) -> float:
    """How alike two texts are, from 0 to 1, spaces and punctuation apart."""
    return SequenceMatcher(None, _letters(text), _letters(other), autojunk=False).ratio()


def _is_stock_phrase(text: str) -> bool:
    """Whether the text is little more than a stock phrase: somebody who really says one says more than that."""
    letters = _letters(text)
    return any(len(each) * 3 >= len(letters) for each in map(_letters, STOCK_PHRASES) if each in letters)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())
