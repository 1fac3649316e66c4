"""What every recognizer promises of the order and the times of what it says."""

from itertools import pairwise

import pytest

from server.engines.base import BYTES_PER_SECOND
from server.models import Final, Interim, SpeechEnded, SpeechStarted
from tests.support.recognizers import Heard, Kind, hear

ROUNDING = 0.011
"""Seconds by which an engine may round a time."""


@pytest.fixture(params=[0.0, 100.0])
async def heard(kind: Kind, request: pytest.FixtureRequest) -> Heard:
    return await hear(kind, *kind.sentences, start=request.param)


async def test_finals_account_for_the_audio_in_order_up_to_its_end(kind: Kind) -> None:
    heard = await hear(kind, *kind.sentences, start=100.0)
    assert heard.ended and not heard.errors
    assert len(heard.texts) == len(kind.sentences)
    through = [100.0, *(each.through for each in heard.finals)]
    assert all(before <= after for before, after in pairwise(through))
    length = sum(map(len, kind.sentences)) / BYTES_PER_SECOND
    assert through[-1] == pytest.approx(100.0 + length, abs=ROUNDING)
    assert not heard.answers, "nobody has asked for a flush"


async def test_words_lie_in_their_final_and_finals_do_not_overlap(heard: Heard) -> None:
    before = 0.0
    for final in heard.finals:
        assert before - ROUNDING <= final.start <= final.end <= final.through + ROUNDING
        before = final.through if not final.text else final.end
        times = [each for word in final.words for each in (word.start, word.end)]
        assert bool(final.words) == bool(final.text)
        for word in final.words:
            assert final.start - ROUNDING <= word.start <= word.end <= final.end + ROUNDING
        assert all(one <= other + ROUNDING for one, other in pairwise(times[::2]))


async def test_nothing_of_an_utterance_comes_after_its_final(heard: Heard) -> None:
    accounted = 0.0
    for each in heard.recognitions:
        match each:
            case Final():
                accounted = each.through
            case Interim() | SpeechStarted():
                assert each.start >= accounted - ROUNDING
            case _:
                pass


async def test_speech_starts_and_ends_once_around_each_utterance(heard: Heard) -> None:
    marks = [type(each) for each in heard.recognitions if isinstance(each, SpeechStarted | SpeechEnded)]
    assert marks == [SpeechStarted, SpeechEnded] * len(heard.texts)


@pytest.mark.parametrize("step", [322, 12_346, 10**9], ids=["small", "odd", "whole"])
async def test_the_finals_do_not_depend_on_how_the_audio_is_cut(kind: Kind, step: int) -> None:
    usual = await hear(kind, *kind.sentences)
    cut = await hear(kind, b"".join(kind.sentences), step=step)
    assert cut.texts == usual.texts
    assert words_of(cut) == words_of(usual)


def words_of(heard: Heard) -> list[tuple[str, float, float]]:
    return [(word.word, word.start, word.end) for final in heard.finals for word in final.words]


async def test_silence_is_accounted_for_without_text(kind: Kind) -> None:
    heard = await hear(kind, bytes(3 * BYTES_PER_SECOND), start=7.0)
    assert heard.texts == [] and heard.ended
    assert heard.finals[-1].through == pytest.approx(10.0, abs=ROUNDING)


async def test_without_audio_a_recognizer_comes_to_an_end(kind: Kind) -> None:
    heard = await hear(kind)
    assert heard.texts == [] and heard.ended
