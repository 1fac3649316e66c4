"""No speech is lost in silence: what was said has words, or the final tells how many seconds have none."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from server.engines.base import SAMPLE_RATE
from server.engines.local.choice import alike
from server.models import Final, Interim, Recognition, SpeechEnded
from tests.support.local_engine import (
    GAP,
    QUILTER,
    SharedEngine,
    at_level,
    finals,
    load_local_engine,
    read_pcm,
    recognise,
    silence,
)
from tests.support.servers import KOREAN_TEXT

MOST_LOST = 1.5
"""Seconds before the end of speech at which the words may end."""


@pytest.fixture(scope="session")
def engine() -> SharedEngine:
    return load_local_engine()


def lost(recognitions: Sequence[Recognition]) -> float:
    """The most seconds by which the words of an utterance end before its speech, but for those that are told."""
    worst, end = 0.0, 0.0
    for each in recognitions:
        if isinstance(each, SpeechEnded):
            end = each.end
        elif isinstance(each, Final) and end:
            reached = each.words[-1].end if each.words else 0.0
            worst = max(worst, end - reached - each.uncovered)
            end = 0.0
    return worst


def text_of(recognitions: Sequence[Recognition]) -> str:
    return " ".join(final.text for final in finals(list(recognitions)))


@pytest.mark.parametrize("name", ["same-sentence-twice.wav", "second-voice-at-once.wav"])
async def test_what_is_said_twice_is_heard_twice(engine: SharedEngine, field_dir: Path, name: str) -> None:
    recognitions = await recognise(engine, read_pcm(field_dir / name) + GAP)
    assert alike(text_of(recognitions), f"{KOREAN_TEXT} {KOREAN_TEXT}") > 0.75
    assert lost(recognitions) < MOST_LOST


@pytest.mark.speech
async def test_english_that_is_said_twice_is_heard_twice(engine: SharedEngine, english_pcm: bytes) -> None:
    once = english_pcm[SAMPLE_RATE : round(5.3 * SAMPLE_RATE) * 2]
    recognitions = await recognise(engine, once + silence(0.2) + once + GAP, "en")
    assert alike(text_of(recognitions), f"{QUILTER} {QUILTER}") > 0.95
    assert len(finals(recognitions)) == 1


async def test_a_fragment_is_a_few_syllables_and_no_count(engine: SharedEngine, field_dir: Path) -> None:
    recognitions = await recognise(engine, read_pcm(field_dir / "fragment-that-loops.wav") + GAP)
    assert len(text_of(recognitions)) < 12


@pytest.mark.parametrize(("begin", "seconds"), [*product((2.0, 2.2, 2.4), (0.3, 0.8, 1.5))])
async def test_no_fragment_goes_round_in_circles_or_comes_to_nothing(
    engine: SharedEngine, korean_pcm: bytes, begin: float, seconds: float
) -> None:
    cut = korean_pcm[round(begin * SAMPLE_RATE) * 2 : round((begin + seconds) * SAMPLE_RATE) * 2]
    recognitions = await recognise(engine, silence(0.9) + cut + GAP)
    assert len(text_of(recognitions)) <= 8 * (1 + seconds)
    if any(isinstance(each, Interim) for each in recognitions):
        assert text_of(recognitions)


GRID = [
    ("joined", 0.2),
    ("joined", 0.45),
    ("repeated", 0.1),
    ("repeated", 0.3),
    ("quieter", 0.3),
    ("interrupted", 0.0),
    ("interrupted", 0.2),
    ("three times", 0.3),
]


def talk(kind: str, gap: float, one: bytes, other: bytes) -> bytes:
    """Sentences that follow one another too soon for an end of the utterance. Silence around them is cut off."""
    between = silence(gap)
    match kind:
        case "joined":
            return one + between + other
        case "repeated":
            return one + between + one
        case "quieter":
            return one + between + at_level(one, -12)
        case "interrupted":
            return one[: len(one) // 4 * 2] + between + other
        case _:
            return between.join((one, other, one))


@pytest.mark.speech
@pytest.mark.parametrize(("kind", "gap"), GRID)
@pytest.mark.parametrize("language", ["ko", "en", "ja"])
async def test_no_sentence_of_a_grid_is_lost(
    engine: SharedEngine, speech_dir: Path, korean_pcm: bytes, language: str, kind: str, gap: float
) -> None:
    korean = korean_pcm[round(0.6 * SAMPLE_RATE) * 2 : round(3.4 * SAMPLE_RATE) * 2]
    english = read_pcm(speech_dir / "en" / "ljspeech" / "LJ001-0002.wav")
    japanese = read_pcm(speech_dir / "ja" / "leopard" / "test_ja.wav")[SAMPLE_RATE:-SAMPLE_RATE]
    pairs = {
        "ko": (korean, korean[len(korean) // 4 * 2 :]),
        "en": (english, read_pcm(speech_dir / "en" / "librispeech" / "7902-96591-0000.wav")),
        "ja": (japanese, japanese[: len(japanese) // 4 * 2]),
    }
    recognitions = await recognise(engine, talk(kind, gap, *pairs[language]) + GAP, language)
    assert finals(recognitions)
    assert lost(recognitions) < MOST_LOST
