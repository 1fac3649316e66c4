"""What Deepgram's results become: utterances, with times of the session."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from server.engines.deepgram.messages import Message, Results, SpeechBegan, UtteranceEnd
from server.engines.deepgram.utterances import Clock, UtteranceAssembler
from server.models import Final, Interim, Recognition, SpeechEnded, SpeechStarted, Word

SECOND = 32_000

# --- utterances -----------------------------------------------------------------------------------------------------


def heard(text: str, start: float, end: float, **flags: Any) -> Results:
    """A result whose words share its time evenly."""
    written = text.split()
    step = (end - start) / max(1, len(written))
    words = tuple(
        Word(word, start + index * step, start + (index + 1) * step, 0.8) for index, word in enumerate(written)
    )
    return Results(start, end, text, words, 0.8 if written else None, **flags)


def final(text: str, start: float, end: float, **flags: Any) -> Results:
    return heard(text, start, end, is_final=True, **flags)


class Listener:
    """An assembler that was sent ``sent`` seconds; says in short what it publishes."""

    def __init__(self, start: float = 0.0, sent: float = 100.0, language: str = "ko", longest: float = 28.0) -> None:
        self.clock = Clock(start)
        self.assembler = UtteranceAssembler(self.clock, language, longest)
        self.clock.advance(round(sent * SECOND))

    def take(self, *messages: Message) -> list[Any]:
        return short([each for message in messages for each in self.assembler.take(message)])


def short(recognitions: Sequence[Recognition]) -> list[Any]:
    def one(recognition: Recognition) -> Any:
        match recognition:
            case Interim(text=text):
                return text
            case Final(text=text, through=through):
                return (text, round(through, 3))
            case SpeechStarted(start=start):
                return f"> {start:g}"
            case SpeechEnded(end=end):
                return f"{end:g} <"

    return [one(each) for each in recognitions]


def test_interims_replace_each_other_until_the_final_does() -> None:
    messages: list[Message] = [heard("가", 0, 1), heard("가 나", 0, 2), final("가 나", 0, 2.4, speech_final=True)]
    assert Listener().take(*messages) == ["> 0", "가", "가 나", "2.4 <", ("가 나", 2.4)]


def test_an_interim_that_says_nothing_new_is_not_repeated() -> None:
    assert Listener().take(heard("가", 0, 1), heard("가", 0, 2)) == ["> 0", "가"]


def test_an_utterance_is_all_finals_up_to_a_pause() -> None:
    messages: list[Message] = [
        final("하나 둘", 0, 3),
        heard("셋", 3, 4),
        final("셋 넷", 3, 5),
        final("다섯", 5, 6, speech_final=True),
    ]
    assert Listener().take(*messages) == [
        "> 0",
        "하나 둘",
        "하나 둘 셋",
        "하나 둘 셋 넷",
        "6 <",
        ("하나 둘 셋 넷 다섯", 6.0),
    ]


def test_a_final_that_is_shorter_than_the_last_interim_loses_nothing() -> None:
    messages: list[Message] = [
        heard("하나 둘 셋", 0, 4.3),
        final("하나 둘", 0, 3.26),
        heard("셋 넷", 3.26, 5),
        final("셋 넷", 3.26, 5, speech_final=True),
    ]
    assert Listener().take(*messages) == [
        "> 0",
        "하나 둘 셋",
        "하나 둘 셋 넷",
        "5 <",
        ("하나 둘 셋 넷", 5.0),
    ]


def test_an_empty_final_moves_the_checkpoint_and_publishes_nothing() -> None:
    assert Listener().take(final("", 0, 3), final("", 3, 6, speech_final=True)) == [("", 3.0), ("", 6.0)]


def test_an_empty_final_inside_an_utterance_ends_it_and_counts_as_heard() -> None:
    messages: list[Message] = [final("말", 0, 2), final("", 2, 4, speech_final=True)]
    assert Listener().take(*messages) == ["> 0", "말", "2 <", ("말", 4.0)]


def test_an_empty_final_withdraws_what_was_shown() -> None:
    assert Listener().take(heard("어", 0, 1), final("", 0, 1.5, speech_final=True)) == [
        "> 0",
        "어",
        "",
        "0 <",
        ("", 1.5),
    ]


def test_an_utterance_end_closes_what_no_pause_has_closed() -> None:
    messages: list[Message] = [final("소음 속", 0, 2), UtteranceEnd(2.0), final("다음", 2, 4, speech_final=True)]
    assert Listener().take(*messages) == ["> 0", "소음 속", "2 <", ("소음 속", 2.0), "> 2", "4 <", ("다음", 4.0)]


def test_an_utterance_end_after_a_pause_says_nothing_new() -> None:
    messages: list[Message] = [final("말", 0, 2, speech_final=True), UtteranceEnd(2.0)]
    assert Listener().take(*messages) == ["> 0", "2 <", ("말", 2.0)]


def test_an_utterance_end_that_is_ahead_of_the_final_waits_for_it() -> None:
    messages: list[Message] = [heard("말", 0, 2), UtteranceEnd(2.0), final("말", 0, 2), heard("또", 2, 3)]
    assert Listener().take(*messages) == ["> 0", "말", "2 <", ("말", 2.0), "> 2", "또"]


def test_the_answer_of_a_finalize_ends_the_utterance() -> None:
    assert Listener().take(final("말", 0, 2, from_finalize=True)) == ["> 0", "2 <", ("말", 2.0)]


def test_speech_starts_once_however_often_it_is_said_and_also_unsaid() -> None:
    messages: list[Message] = [SpeechBegan(0.5), SpeechBegan(0.9), final("말", 0.5, 2, speech_final=True)]
    assert Listener().take(*messages) == ["> 0.5", "2 <", ("말", 2.0)]
    assert Listener().take(final("말", 0.5, 2, speech_final=True)) == ["> 0.5", "2 <", ("말", 2.0)]


def test_words_that_come_twice_are_published_once() -> None:
    messages: list[Message] = [final("하나 둘", 0, 2, speech_final=True), final("둘 셋", 1, 3, speech_final=True)]
    assert Listener().take(*messages)[-1] == ("셋", 3.0)
    messages = [final("하나 둘", 0, 2, speech_final=True), final("하나 둘", 0, 2, speech_final=True)]
    assert Listener().take(*messages) == ["> 0", "2 <", ("하나 둘", 2.0)]


def test_what_is_left_of_a_repetition_is_spaced_as_deepgram_spaces_it() -> None:
    words = (Word("나는", 1.0, 1.5), Word("학교에", 2.0, 2.5), Word("간다", 2.5, 3.0))
    for text, left in (("나는 학교에간다.", "학교에간다."), ("다르게 적힌 것", "학교에 간다")):
        repeated = Results(1.0, 3.0, text, words, is_final=True, speech_final=True)
        assert Listener().take(final("오늘 나는", 0, 2, speech_final=True), repeated)[-1] == (left, 3.0)


def test_an_interim_of_settled_audio_is_late_and_ignored() -> None:
    assert Listener().take(final("말", 0, 2, speech_final=True), heard("말", 0, 1.5))[-1] == ("말", 2.0)


def test_a_speech_without_pauses_is_published_in_parts() -> None:
    listener = Listener(longest=5.0)
    messages: list[Message] = [final("가", 0, 3), final("나", 3, 6), final("다", 6, 9, speech_final=True)]
    assert listener.take(*messages) == ["> 0", "가", ("가 나", 6.0), "9 <", ("다", 9.0)]


def test_japanese_is_put_together_without_spaces() -> None:
    listener = Listener(language="ja")
    assert listener.take(final("今日は", 0, 1), final("晴れ", 1, 2, speech_final=True))[-1] == ("今日は晴れ", 2.0)


def test_a_final_has_words_times_confidence_and_language() -> None:
    listener = Listener(start=60.0)
    first = Results(0, 2, "가나", (Word("가나", 0.5, 1.5, 0.9),), 0.9, "ko", is_final=True)
    second = Results(2, 4, "다라마바", (Word("다라마바", 2.5, 3.5, 0.6),), 0.6, "en", is_final=True, speech_final=True)
    published = [each for message in (first, second) for each in listener.assembler.take(message)][-1]
    assert isinstance(published, Final)
    assert published.confidence == pytest.approx((0.9 * 2 + 0.6 * 4) / 6)
    assert replace(published, confidence=None) == Final(
        "가나 다라마바",
        60.5,
        63.5,
        64.0,
        None,
        (Word("가나", 60.5, 61.5, 0.9), Word("다라마바", 62.5, 63.5, 0.6)),
        "ko",
    )


def test_a_confidence_that_deepgram_does_not_give_is_absent() -> None:
    (published,) = [
        each
        for each in Listener().assembler.take(Results(0, 1, "말", (), None, is_final=True, speech_final=True))
        if isinstance(each, Final)
    ]
    assert published.confidence is None


def test_times_never_run_backwards_nor_past_what_was_sent() -> None:
    listener = Listener(start=10.0, sent=4.0)
    words = (Word("가", -0.2, 0.4), Word("나", 1.9, 2.3))
    results = Results(0, 2.0, "가 나", words, is_final=True, speech_final=True)
    late = Results(2.0, 4.7, "다", (Word("다", 1.8, 4.9),), is_final=True, speech_final=True)
    finals = [
        each for message in (results, late) for each in listener.assembler.take(message) if isinstance(each, Final)
    ]
    assert [(each.start, each.end, each.through) for each in finals] == [(10.0, 12.0, 12.0), (12.0, 14.0, 14.0)]
    listener.clock.advance(2 * SECOND)
    assert listener.take(final("라", 4.0, 4.6, speech_final=True))[-1] == ("라", 14.6)


def test_a_broken_connection_publishes_what_is_settled_and_no_more() -> None:
    listener = Listener()
    listener.take(final("하나", 0, 2), heard("둘", 2, 3))
    assert short(listener.assembler.close()) == ["2 <", ("하나", 2.0)]
    listener = Listener()
    listener.take(heard("둘", 0, 3))
    assert short(listener.assembler.close()) == ["0 <"]
    assert short(Listener().assembler.close()) == []


def test_without_an_answer_to_finalize_the_last_interim_counts() -> None:
    listener = Listener(sent=4.0)
    listener.take(final("하나", 0, 2), heard("둘", 2, 3))
    assert short(listener.assembler.settle()) == ["3 <", ("하나 둘", 3.0)]
    assert listener.assembler.waiting
    assert short(listener.assembler.settle()) == [("", 4.0)]
    assert listener.take(final("둘", 2, 3, from_finalize=True)) == []  # it comes after all


# --- the clock ------------------------------------------------------------------------------------------------------


def test_the_clock_goes_on_where_the_session_was() -> None:
    clock = Clock(42.0)
    clock.advance(2 * SECOND)
    assert (clock.sent, clock.now, clock.begin_of(1.5), clock.end_of(2.0)) == (2.0, 44.0, 43.5, 44.0)


def test_the_clock_knows_which_side_of_a_gap_a_time_is_on() -> None:
    clock = Clock(0.0)
    clock.advance(2 * SECOND)
    clock.skip_to(10.0)
    clock.advance(3 * SECOND)
    assert (clock.sent, clock.now) == (5.0, 13.0)
    assert (clock.end_of(2.0), clock.begin_of(2.0)) == (2.0, 10.0)
    assert [clock.end_of(2.0000001), clock.begin_of(1.9999999)] == pytest.approx([2.0, 10.0])
    assert (clock.end_of(3.0), clock.begin_of(3.0)) == (11.0, 11.0)
    clock.skip_to(5.0)
    assert clock.now == 13.0


def test_silence_that_was_not_sent_is_accounted_for_once_the_speech_before_it_is() -> None:
    listener = Listener(sent=3.0)
    listener.take(heard("말", 0, 2))
    assert short(listener.assembler.quiet(20.0)) == []
    assert listener.take(final("말", 0, 3, from_finalize=True)) == ["3 <", ("말", 20.0)]
    assert short(listener.assembler.quiet(30.0)) == [("", 30.0)]
