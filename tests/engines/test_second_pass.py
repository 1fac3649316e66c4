"""What becomes of speech that Whisper leaves out, with a Whisper that says what it is told."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from server.engines.base import BYTES_PER_SECOND
from server.engines.local.alignment import Alignment
from server.engines.local.choice import Weights
from server.engines.local.coverage import Spoken
from server.engines.local.second_pass import MOST_DECODINGS, SecondPass, Speech
from server.engines.local.transcription import Heard, Hypothesis, Transcription
from server.engines.local.whisper import Whisper
from server.models import Word

START = 10.0
SPOKEN = ((10.3, 12.5), (12.9, 15.1))
"""Two sentences with a short pause."""
ONE = (Word("그는", 10.0, 10.8, 0.9), Word("걸어갔다.", 10.8, 12.4, 0.9))
OTHER = (Word("나도", 12.9, 13.6, 0.9), Word("갔다.", 13.6, 15.0, 0.9))


class Scripted:
    """Says the next of its texts, each the words that it is made of; then nothing any more."""

    def __init__(self, *texts: Sequence[Word], log_probability: float = -0.2, looped: bool = False) -> None:
        self._texts = list(texts)
        self._log_probability = log_probability
        self._looped = looped
        self.seconds: list[float] = []
        self._words: dict[int, tuple[Word, ...]] = {}

    def hear(self, pcm: bytes, language: str | None, **options: Any) -> Heard:
        self.seconds.append(len(pcm) / BYTES_PER_SECOND)
        words = tuple(self._texts.pop(0)) if self._texts else ()
        number = len(self._words) + 1
        self._words[number] = words
        text = " ".join(word.word for word in words)
        looped = self._looped and number == 1
        return Heard((Hypothesis(text, self._log_probability, (number,), looped),), language or "en", 0.0)

    def align(self, heard: Heard, tokens: tuple[int, ...], start: float) -> Alignment:
        return Alignment(self._words[tokens[0]], -1.0)


def read(
    whisper: Scripted, first: Sequence[Word] | None = None, spoken: Sequence[tuple[float, float]] = SPOKEN
) -> Transcription:
    """Of 5.5 s of audio."""
    passes = SecondPass(cast(Whisper, whisper), "en", (), lambda text: 0.0, Weights())
    pcm = bytes(BYTES_PER_SECOND * 11 // 2)
    speech = Speech(pcm, START, Spoken(list(spoken)))
    return passes.read(passes.hear(pcm, START), speech, first)


def test_words_for_all_speech_are_left_alone() -> None:
    whisper = Scripted(ONE + OTHER)
    found = read(whisper)
    assert (found.words, found.uncovered) == (ONE + OTHER, 0.0)
    assert len(whisper.seconds) == 1


def test_what_whisper_left_out_at_the_end_is_heard_once_more() -> None:
    whisper = Scripted(ONE, OTHER)
    found = read(whisper)
    assert found.text == "그는 걸어갔다. 나도 갔다."
    assert (found.words, found.uncovered) == (ONE + OTHER, 0.0)
    assert whisper.seconds == pytest.approx([5.5, 2.2 + 0.3 + 0.3], abs=0.01)  # the second sentence and silence around


def test_so_is_what_it_left_out_at_the_beginning() -> None:
    late = (Word("나도", 10.0, 13.6, 0.9), *OTHER[1:])
    again = (*ONE, Word("나도", 12.9, 13.6, 0.9))
    assert read(Scripted(late, again)).words == ONE + OTHER


@pytest.mark.parametrize("second", [(), OTHER], ids=["nothing", "doubtful"])
def test_where_it_hears_nothing_again_the_first_pass_stands_in(second: tuple[Word, ...]) -> None:
    class Doubtful(Scripted):
        def hear(self, pcm: bytes, language: str | None, **options: Any) -> Heard:
            self._log_probability = -0.2 if not self.seconds else -1.5
            return super().hear(pcm, language, **options)

    first = (Word("그는", 10.3, 10.8, 0.7), Word("걸어갔다", 10.8, 12.4, 0.7), Word("나두", 13.0, 15.0, 0.4))
    found = read(Doubtful(ONE, second), first)
    assert (found.words, found.uncovered) == ((*ONE, first[-1]), 0.0)


@pytest.mark.parametrize("first", [None, (), ONE])
def test_what_nobody_can_read_is_told(first: Sequence[Word] | None) -> None:
    found = read(Scripted(ONE), first)
    assert (found.text, found.words) == ("그는 걸어갔다.", ONE)
    assert found.uncovered == pytest.approx(2.2, abs=0.15)


def test_where_nothing_at_all_is_heard_all_speech_is_uncovered() -> None:
    found = read(Scripted())
    assert not found.text
    assert found.uncovered == pytest.approx(4.4)


def test_a_circle_is_cut_at_the_pause_and_each_part_heard_by_itself() -> None:
    circle = tuple(Word("가", START, START + 0.1) for _ in range(9))
    found = read(Scripted(circle, ONE, OTHER, looped=True))
    assert (found.words, found.looped) == (ONE + OTHER, False)


def test_a_word_that_the_cut_went_through_does_not_come_twice() -> None:
    speech = ((10.3, 15.1),)
    rest = (Word("걸어갔다.", 12.4, 13.0, 0.9), *OTHER)
    found = read(Scripted(ONE, rest), spoken=speech)
    assert [word.word for word in found.words] == ["그는", "걸어갔다.", "나도", "갔다."]


def test_an_utterance_is_heard_again_only_so_often() -> None:
    stubborn = [(Word("네", START + n, START + n + 0.2, 0.9),) for n in range(30)]
    whisper = Scripted(*stubborn)
    read(whisper, spoken=[(10.0 + n, 10.9 + n) for n in range(5)])
    assert len(whisper.seconds) <= 1 + MOST_DECODINGS
