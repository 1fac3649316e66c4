"""Final events become text and subtitles."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.events import error_event, recognition_events
from server.models import Final, Interim, Recognition, SegmentResponse, SessionConfig, Word, WordResponse
from server.session_log.base import Checkpoint, LoggedEvent, SessionState
from server.transcript import CUE_COLUMNS, CUE_SECONDS, Transcript, segments_of, to_srt, to_text, to_vtt


def segment(text: str, start: float, end: float, *words: WordResponse) -> SegmentResponse:
    return SegmentResponse(text=text, start=start, end=end, language="ko", engine="local", words=list(words))


def spoken(text: str, start: float = 0.0, each: float = 0.5) -> SegmentResponse:
    """Words that follow one another without a pause."""
    words = [
        WordResponse(word=word, start=start + n * each, end=start + (n + 1) * each)
        for n, word in enumerate(text.split())
    ]
    return segment(text, start, words[-1].end, *words)


def texts_of_cues(srt: str) -> list[str]:
    return [cue.split("\n", 2)[2] for cue in srt.removesuffix("\n\n").split("\n\n")]


GREETING = segment("안녕하세요", 0.5, 1.25)
QUESTION = segment("몇 시 예요", 3661.042, 3662.9996)


def test_text_has_a_line_for_each_utterance() -> None:
    assert to_text([GREETING, QUESTION]) == "안녕하세요\n몇 시 예요\n"


def test_srt_numbers_its_cues_and_has_commas_in_its_times() -> None:
    assert to_srt([GREETING, QUESTION]) == (
        "1\n00:00:00,500 --> 00:00:01,250\n안녕하세요\n\n2\n01:01:01,042 --> 01:01:03,000\n몇 시 예요\n\n"
    )


def test_vtt_begins_with_its_name_and_has_points_in_its_times() -> None:
    assert to_vtt([GREETING, QUESTION]) == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.250\n안녕하세요\n\n01:01:01.042 --> 01:01:03.000\n몇 시 예요\n\n"
    )


def test_nothing_said_is_an_empty_transcript() -> None:
    assert (to_text([]), to_srt([]), to_vtt([])) == ("", "", "WEBVTT\n\n")


def test_hours_may_have_more_than_two_digits() -> None:
    assert "100:00:00.000 --> 100:00:01.000" in to_vtt([segment("아직도", 360_000.0, 360_001.0)])


def test_what_would_be_a_tag_or_an_arrow_in_vtt_is_escaped_there_alone() -> None:
    risky = segment("a <b> & --> c", 0, 1)
    assert "a &lt;b&gt; &amp; --&gt; c\n" in to_vtt([risky])
    assert "a <b> & --> c\n" in to_srt([risky])


def test_a_cue_is_cut_before_it_is_too_wide() -> None:
    narrow = spoken("a" * 20 + " " + "b" * 21, each=0.1)
    wide = spoken("a" * 20 + " " + "b" * 22, each=0.1)
    assert texts_of_cues(to_srt([narrow])) == ["a" * 20 + " " + "b" * 21]
    assert texts_of_cues(to_srt([wide])) == ["a" * 20, "b" * 22]


def test_a_korean_letter_takes_two_columns() -> None:
    assert texts_of_cues(to_srt([spoken("가" * 10 + " " + "나" * 10, each=0.1)])) == ["가" * 10 + " " + "나" * 10]
    assert texts_of_cues(to_srt([spoken("가" * 10 + " " + "나" * 11, each=0.1)])) == ["가" * 10, "나" * 11]


def test_a_cue_is_cut_before_it_lasts_too_long() -> None:
    assert to_srt([spoken("a b c d e f g h", each=1.0)]) == (
        "1\n00:00:00,000 --> 00:00:06,000\na b c d e f\n\n2\n00:00:06,000 --> 00:00:08,000\ng h\n\n"
    )


def test_a_word_that_is_too_wide_is_a_cue_of_its_own() -> None:
    assert texts_of_cues(to_srt([spoken("a " + "b" * 50 + " c")])) == ["a", "b" * 50, "c"]


def test_an_utterance_without_word_times_is_one_cue() -> None:
    assert texts_of_cues(to_srt([segment("가 " * 40 + "가", 0, 20)])) == ["가 " * 40 + "가"]


def test_a_cue_never_spans_two_utterances() -> None:
    assert texts_of_cues(to_srt([spoken("a b"), spoken("c d", start=1.0)])) == ["a b", "c d"]


words = st.text(st.sampled_from("가나다abc"), min_size=1, max_size=30)


@given(st.lists(words, min_size=1, max_size=30), st.floats(0.05, 8))
def test_cutting_into_cues_loses_no_word_and_keeps_the_limits(said: list[str], each: float) -> None:
    whole = spoken(" ".join(said), start=5.0, each=each)
    srt = to_srt([whole])
    assert " ".join(texts_of_cues(srt)).split() == said
    times = [seconds(time) for time in re.findall(r"\d+:\d\d:\d\d,\d{3}", srt)]
    assert times == sorted(times)
    assert times[0] == 5.0
    assert times[-1] == pytest.approx(whole.end, abs=0.001)
    for text, start, end in zip(texts_of_cues(srt), times[::2], times[1::2], strict=True):
        columns = sum(1 if letter in "abc " else 2 for letter in text)
        assert " " not in text or (columns <= CUE_COLUMNS and end - start <= CUE_SECONDS + 0.001)


def seconds(time: str) -> float:
    hours, minutes, rest = time.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def test_the_finals_among_the_events_are_the_segments() -> None:
    config = SessionConfig()
    said = (Word("안녕", 0.5, 0.9, 0.98), Word("하세요", 0.9, 1.25))
    recognitions: list[Recognition] = [
        Interim("안녕", 0.5, 0.9),
        Final("안녕 하세요", 0.5, 1.25, 1.5, confidence=0.98, words=said),
        Final("", 2.5, 2.5, 2.5),
        Final("네", 3.0, 3.1, 3.5, language="en"),
    ]
    new = [event for each in recognitions for event in recognition_events(each, config, "local")]
    new.append(error_event("engine_restarted", "It failed.", recoverable=True))
    events = [LoggedEvent(n, event.type, event.body, event.timestamp) for n, event in enumerate(new, start=1)]
    assert segments_of(events) == [
        SegmentResponse(
            text="안녕 하세요",
            start=0.5,
            end=1.25,
            through=1.5,
            confidence=0.98,
            language="ko",
            engine="local",
            words=[
                WordResponse(word="안녕", start=0.5, end=0.9, confidence=0.98),
                WordResponse(word="하세요", start=0.9, end=1.25),
            ],
        ),
        SegmentResponse(text="네", start=3.0, end=3.1, through=3.5, language="en", engine="local"),
    ]
    assert [str(event.type) for event in new] == ["token", "final", "final", "error"]


def segment_in(language: str, text: str, *words: str) -> SegmentResponse:
    said = [WordResponse(word=word, start=n, end=n + 1) for n, word in enumerate(words)]
    return SegmentResponse(text=text, start=0, end=len(words), language=language, engine="local", words=said)


@pytest.mark.parametrize(
    "segment",
    [
        segment_in("ja", "今日はいい天気です", "今日", "は", "いい", "天気", "です"),
        segment_in("zh", "今天天气很好", "今天", "天气", "很", "好"),
        segment_in("ja", "Hello worldと言った", "Hello", "world", "と", "言った"),
        segment_in("ko", "그는 걸어갔다", "그는", "걸어갔다"),
    ],
    ids=["Japanese", "Chinese", "Latin words in Japanese", "Korean"],
)
def test_subtitles_join_words_as_their_text_does(segment: SegmentResponse) -> None:
    assert texts_of_cues(to_srt([segment])) == [segment.text]


def test_words_that_the_text_does_not_show_are_joined_as_usual_in_their_language() -> None:
    assert texts_of_cues(to_srt([segment_in("zh", "(笑)", "今天", "天气")])) == ["今天天气"]


def test_the_whole_text_joins_sentences_as_their_language_joins_words() -> None:
    state = SessionState("s", "ended", None, SessionConfig(), 0, 0, 0, 0, Checkpoint(), 0, b"")
    segments = [
        segment_in("zh", "你好。"),
        segment_in("zh", "再见。"),
        segment_in("en", "Bye."),
        segment_in("en", "Now."),
    ]
    assert Transcript(state, segments).text == "你好。再见。Bye. Now."
