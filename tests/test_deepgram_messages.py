"""The pure half of the Deepgram engine: what is asked, what is answered, what it means."""

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from server.engines.deepgram import models as deepgram_models
from server.engines.deepgram.breaker import Attempt, CircuitBreaker
from server.engines.deepgram.messages import (
    Complaint,
    Message,
    Results,
    SpeechBegan,
    Summary,
    Unknown,
    UtteranceEnd,
    closure,
    parse_message,
    refusal,
)
from server.engines.deepgram.models import DeepgramCapabilities, live_query, live_url
from server.engines.deepgram.outgoing import FRAME_BYTES, Item, Order, Pacer, SilenceGate, Skip, frames
from server.engines.deepgram.utterances import Clock, UtteranceAssembler
from server.engines.endpointing import Endpointer, Quiet
from server.engines.vad import FRAME_BYTES as VAD_FRAME_BYTES
from server.errors import EngineError
from server.models import Final, Interim, Recognition, SessionConfig, SpeechEnded, SpeechStarted, Word
from tests.conftest import ROOT
from tests.deepgram_engine import Time
from tests.deepgram_stream import NET_0000, NET_0001

SECOND = 32_000


# --- what is asked --------------------------------------------------------------------------------------------------


def asked(**config: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(live_url("wss://host", live_query(SessionConfig(**config), None))).query)


def test_a_session_without_wishes_asks_for_everything_by_name() -> None:
    assert asked() == {
        "model": ["nova-2"],
        "language": ["ko"],
        "encoding": ["linear16"],
        "sample_rate": ["16000"],
        "channels": ["1"],
        "interim_results": ["true"],
        "smart_format": ["true"],
        "punctuate": ["true"],
        "vad_events": ["true"],
        "endpointing": ["800"],
        "utterance_end_ms": ["1000"],
    }


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (
            {"language": "en-US", "model": "nova-3"},
            {"language": ["en-US"], "model": ["nova-3"], "endpointing": ["600"]},
        ),
        ({"language": "multi"}, {"language": ["multi"]}),
        ({"smart_format": False, "punctuate": False}, {"smart_format": ["false"], "punctuate": ["false"]}),
        ({"endpointing_ms": 300}, {"endpointing": ["300"], "utterance_end_ms": ["1000"]}),
        ({"endpointing_ms": 2500}, {"endpointing": ["2500"], "utterance_end_ms": ["2500"]}),
        ({"utterance_end_ms": 1500}, {"utterance_end_ms": ["1500"], "interim_results": ["true"]}),
        (
            {"utterance_end_ms": 1500, "interim_results": False},
            {"utterance_end_ms": ["1500"], "interim_results": ["true"]},
        ),
        ({"keywords": ["김 대리", "a&b:2"]}, {"keywords": ["김 대리", "a&b:2"]}),
        ({"keywords": ["김 대리", "a&b"], "model": "nova-3"}, {"keyterm": ["김 대리", "a&b"]}),
        ({"sample_rate": 8000, "channels": 2, "encoding": "mulaw"}, {"sample_rate": ["16000"], "channels": ["1"]}),
    ],
)
def test_wishes_become_parameters(config: dict[str, Any], parameters: dict[str, list[str]]) -> None:
    assert asked(**config).items() >= parameters.items()


def test_without_interims_there_is_no_utterance_end_to_ask_for() -> None:
    assert asked(interim_results=False)["interim_results"] == ["false"]
    assert "utterance_end_ms" not in asked(interim_results=False)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("wss://api.deepgram.com", "wss://api.deepgram.com/v1/listen?a=b"),
        ("https://api.eu.deepgram.com/", "wss://api.eu.deepgram.com/v1/listen?a=b"),
        ("http://own.host:8080/v1", "ws://own.host:8080/v1/listen?a=b"),
        ("ws://own.host:8080/prefix/v1/listen", "ws://own.host:8080/prefix/v1/listen?a=b"),
    ],
)
def test_the_base_url_may_be_a_host_or_more(base: str, url: str) -> None:
    assert live_url(base, [("a", "b")]) == url


@pytest.mark.parametrize("base", ["api.deepgram.com", "ftp://host", "wss://", ""])
def test_a_base_url_that_can_not_be_is_refused(base: str) -> None:
    with pytest.raises(EngineError, match="DEEPGRAM_BASE_URL"):
        live_url(base, [])


# --- what a model can't do ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "field", "reason"),
    [
        ({"model": "nova-9"}, "model", "there is no such model"),
        ({"model": "flux-general-en", "language": "en"}, "model", "there is no such model"),
        ({"model": "nova-2", "language": "ar"}, "language", "nova-2 knows"),
        ({"model": "nova-2-meeting"}, "language", "nova-2-meeting knows en, en-US"),
        ({"language": "ko-KP"}, "language", "nova-2 knows"),
        ({"model": "nova-3-medical"}, "language", "nova-3-medical knows"),
        ({"keywords": ["word:loud"]}, "keywords", "takes a word or word:weight"),
        ({"keywords": ["word:2"], "model": "nova-3"}, "keywords", "without a weight"),
        ({"keywords": ["낱말" * 50] * 60, "model": "nova-3"}, "keywords", "500 tokens"),
        ({"diarize": True}, "diarize", "can't"),
        ({"two_pass": True}, "two_pass", "can't"),
    ],
)
def test_what_a_model_can_not_do_is_refused_by_the_name_of_the_field(
    config: dict[str, Any], field: str, reason: str
) -> None:
    refused = DeepgramCapabilities().refusals(SessionConfig(**config))
    assert list(refused) == [field]
    assert reason in refused[field]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model": "nova-3", "language": "ko-KR"},
        {"model": "nova-3", "language": "multi", "keywords": ["시"] * 100},
        {"model": "nova-2", "keywords": ["word", "other:-2.5"]},
        {"model": "nova-2-phonecall", "language": "en-US"},
        {"utterance_end_ms": 1000, "endpointing_ms": 300},
        {"model": "01234567-89ab-cdef-0123-456789abcdef", "language": "xx"},
    ],
)
def test_what_a_model_can_do_is_taken(config: dict[str, Any]) -> None:
    assert DeepgramCapabilities().refusals(SessionConfig(**config)) == {}


def test_every_language_of_a_model_is_named_in_the_capabilities() -> None:
    for languages in deepgram_models.MODELS.values():
        assert languages <= DeepgramCapabilities().languages


# --- what is answered -----------------------------------------------------------------------------------------------

RESULTS = {
    "type": "Results",
    "channel_index": [0, 1],
    "start": 1.5,
    "duration": 2.0,
    "is_final": True,
    "speech_final": False,
    "from_finalize": True,
    "channel": {
        "alternatives": [
            {
                "transcript": " 안녕하세요 여러분. ",
                "confidence": 0.97,
                "languages": ["ko"],
                "words": [
                    {
                        "word": "안녕하세요",
                        "start": 1.6,
                        "end": 2.2,
                        "confidence": 0.9,
                        "punctuated_word": "안녕하세요,",
                    },
                    {"word": "여러분", "start": 2.3, "end": 2.9, "confidence": 0.0},
                ],
            }
        ]
    },
    "metadata": {"request_id": "x"},
    "something_new": 1,
}


def test_results_are_read_whole() -> None:
    assert parse_message(json.dumps(RESULTS)) == Results(
        start=1.5,
        end=3.5,
        text="안녕하세요 여러분.",
        words=(Word("안녕하세요,", 1.6, 2.2, 0.9), Word("여러분", 2.3, 2.9, None)),
        confidence=0.97,
        language="ko",
        is_final=True,
        from_finalize=True,
    )


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ({"type": "SpeechStarted", "channel": [0, 1], "timestamp": 2.5}, SpeechBegan(2.5)),
        ({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": -1}, UtteranceEnd(-1.0)),
        ({"type": "Metadata", "duration": 3.25, "request_id": "x"}, Summary(3.25)),
        ({"type": "Error", "variant": "SchemaError", "description": "secret words"}, Complaint("SchemaError")),
        ({"type": "Warning", "code": "W1"}, Complaint("W1")),
        ({"type": "ConfigureSuccess"}, Unknown("ConfigureSuccess")),
        ({"type": "Results"}, Unknown("malformed Results")),
        ({"type": "Results", "start": 0, "duration": 1, "channel": {"alternatives": []}}, Unknown("malformed Results")),
        ({"type": "Results", "start": 0, "duration": 1, "channel": [0, 1]}, Unknown("malformed Results")),
        ({"type": "SpeechStarted", "timestamp": "soon"}, Unknown("malformed SpeechStarted")),
        ({"type": ["odd"]}, Unknown("['odd']")),
        ({"no": "type"}, Unknown("no message")),
        ([1, 2], Unknown("no message")),
        ("text", Unknown("no message")),
        (None, Unknown("no message")),
    ],
)
def test_messages_are_read_leniently(message: Any, meaning: Message) -> None:
    assert parse_message(json.dumps(message)) == meaning


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", "{", "{}", b"\x00" * 100])
def test_what_is_no_message_raises_nothing(data: str | bytes) -> None:
    assert parse_message(data) == Unknown("no message")


# --- what failures mean ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "text", "retryable", "scope"),
    [
        (400, "Deepgram refuses the session's parameters (400): the reason", False, "session"),
        (401, "Deepgram refuses the API key (401).", False, "account"),
        (402, "Deepgram's account is out of credit (402).", False, "account"),
        (403, "The API key may not use this model of Deepgram (403).", False, "service"),
        (429, "Deepgram takes no more streams at the moment (429).", True, "service"),
        (500, "Deepgram is not available (500).", True, "service"),
        (503, "Deepgram is not available (503).", True, "service"),
        (404, "Deepgram is not available (404).", False, "service"),
    ],
)
def test_a_refusal_is_told_in_a_sentence(status: int, text: str, retryable: bool, scope: str) -> None:
    error = refusal(status, "the reason", b"")
    assert (str(error), error.retryable, error.scope) == (text, retryable, scope)


@pytest.mark.parametrize(
    ("said", "body", "reason"),
    [
        ("from the header", b'{"err_msg": "from the body"}', "from the header"),
        ("", b'{"err_code": "x", "err_msg": "from the body"}', "from the body"),
        ("", b'{"category": "x", "message": "the other shape"}', "the other shape"),
        ("", b"plain text", "no reason given"),
        ("", b"[]", "no reason given"),
        ("x" * 500, b"", "x" * 200),
    ],
)
def test_the_reason_of_a_refused_query_is_deepgrams_own(said: str, body: bytes, reason: str) -> None:
    assert str(refusal(400, said, body)).endswith(f"(400): {reason}")


@pytest.mark.parametrize(
    ("code", "reason", "text", "retryable"),
    [
        (1008, "DATA-0000", "Deepgram can't decode the audio (1008).", False),
        (1011, NET_0000, "Deepgram closed the stream (1011: it had nothing to say).", True),
        (1011, NET_0001, "Deepgram closed the stream (1011: it received no audio).", True),
        (1011, "", "Deepgram closed the stream (1011).", True),
        (1000, "", "Deepgram closed the stream (1000).", True),
        (1012, "restart", "Deepgram closed the stream (1012).", True),
        (None, "", "The connection to Deepgram broke off.", True),
    ],
)
def test_a_close_is_told_in_a_sentence(code: int | None, reason: str, text: str, retryable: bool) -> None:
    error = closure(code, reason)
    assert (str(error), error.retryable) == (text, retryable)


def texts_of_failures() -> set[str]:
    """A regular expression for the text of each failure in the engine's code."""
    found = set()
    for path in Path(deepgram_models.__file__).parent.glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        values = {
            ast.unparse(target): node.value for node in nodes if isinstance(node, ast.Assign) for target in node.targets
        }
        for node in nodes:
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "DeepgramError":
                text = values.get(ast.unparse(node.args[0]), node.args[0])
                parts = text.values if isinstance(text, ast.JoinedStr) else [text]
                found.add(
                    "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in parts)
                )
    return found


@pytest.mark.parametrize("guide", ["CLIENT_API_GUIDE.md", "CLIENT_API_GUIDE.ko.md"])
def test_the_text_of_every_failure_is_in_the_guide_and_no_other(guide: str) -> None:
    rows = re.findall(r"^\| `(Deepgram.+?|The .+?)` \|", (ROOT / guide).read_text("utf-8"), re.MULTILINE)
    texts = texts_of_failures()
    assert len(texts) >= 15
    assert {text for text in texts if not any(re.fullmatch(text, row) for row in rows)} == set()
    assert {row for row in rows if not any(re.fullmatch(text, row) for text in texts)} == set()


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
    assert short(listener.assembler.flush()) == ["2 <", ("하나", 2.0)]
    listener = Listener()
    listener.take(heard("둘", 0, 3))
    assert short(listener.assembler.flush()) == ["0 <"]
    assert short(Listener().assembler.flush()) == []


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


# --- what goes out --------------------------------------------------------------------------------------------------


def test_audio_goes_out_in_pieces_of_a_tenth_of_a_second_and_none_is_empty() -> None:
    pcm = bytes(range(250)) * 40
    assert b"".join(frames(pcm)) == pcm
    assert [len(piece) for piece in frames(pcm)] == [FRAME_BYTES, FRAME_BYTES, FRAME_BYTES, len(pcm) - 3 * FRAME_BYTES]
    assert list(frames(b"")) == []


def test_a_backlog_goes_out_no_faster_than_is_allowed() -> None:
    pacer, now = Pacer(1.25, 0.0), 0.0
    for _ in range(100):
        now += pacer.wait(0.1, now)
    assert 10.0 / now <= 1.25
    assert 10.0 / now == pytest.approx(1.25)


def test_audio_that_was_waited_for_goes_out_at_once() -> None:
    pacer = Pacer(1.25, 0.0)
    assert pacer.wait(1.0, 1.0) == 0.0
    assert pacer.wait(1.0, 100.0) == 0.0  # but no more than a second of it
    assert pacer.wait(0.5, 100.0) == pytest.approx(0.4)


def gate(start: float = 0.0) -> SilenceGate:
    """Holds a VAD frame for speech if its first byte is not 0; 0.256 s of silence end an utterance."""

    def probabilities(pcm: bytes) -> list[float]:
        return [float(pcm[at] > 0) for at in range(0, len(pcm), VAD_FRAME_BYTES)]

    return SilenceGate(Endpointer(probabilities, start=start, endpointing=0.256, longest=28), start)


def sound(vad_frames: int, speech: bool) -> bytes:
    return bytes([1 if speech else 0]) * (vad_frames * VAD_FRAME_BYTES)


def test_the_gate_lets_speech_through_with_its_time_and_asks_to_settle_it() -> None:
    items = gate(start=5.0).push(sound(50, False) + sound(20, True) + sound(20, False))
    passed = b"".join(item for item in items if isinstance(item, bytes))
    (skip,) = [item for item in items if isinstance(item, Skip)]
    lead_in = round((5.0 + 50 * 0.032 - skip.to) / 0.032)
    assert 0 < lead_in <= 12
    assert passed == sound(lead_in, False) + sound(20, True) + sound(8, False)
    assert [item for item in items if isinstance(item, Order)] == [Order.FINALIZE]
    assert [type(item) for item in items][0] is Quiet


def test_the_gate_sends_no_audio_twice() -> None:
    """The silence that ended an utterance is the lead-in of the next one."""
    pcm = sound(20, True) + sound(10, False) + sound(20, True) + sound(40, False)
    clock = Clock(0.0)
    sent = bytearray()
    for item in gate().push(pcm):
        if isinstance(item, bytes):
            assert pcm[round(clock.now * SECOND) :].startswith(item)
            sent += item
            clock.advance(len(item))
        elif isinstance(item, Skip):
            clock.skip_to(item.to)
    assert len(sent) == (20 + 10 + 20 + 8) * VAD_FRAME_BYTES


def test_the_gate_passes_the_end_of_an_utterance_that_is_cut_off() -> None:
    silent: list[Item] = gate().flush()
    assert [type(item) for item in silent] == [Quiet]
    speaking = gate()
    sent = [*speaking.push(sound(20, True)), *speaking.flush()]
    assert sent[-1] is Order.FINALIZE


# --- the circuit breaker --------------------------------------------------------------------------------------------


def circuit_of(breaker: CircuitBreaker) -> str:
    return breaker.circuit


def fail(breaker: CircuitBreaker, reason: str = "x", *, for_good: bool = False) -> None:
    Attempt(breaker).fail(reason, for_good=for_good)


def test_the_circuit_opens_after_failures_in_a_row() -> None:
    breaker = CircuitBreaker(3, 30.0, Time())
    for expected in ("closed", "closed", "open"):
        fail(breaker, "no answer")
        assert circuit_of(breaker) == expected
    assert breaker.reason == "no answer"


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = CircuitBreaker(2, 30.0, Time())
    fail(breaker)
    Attempt(breaker).prove()
    fail(breaker)
    assert circuit_of(breaker) == "closed"


def test_a_try_is_counted_once() -> None:
    breaker = CircuitBreaker(1, 30.0, Time())
    attempt = Attempt(breaker)
    attempt.prove()
    attempt.fail("later")
    assert circuit_of(breaker) == "closed"


def test_after_the_cool_down_one_try_decides() -> None:
    time = Time()
    breaker = CircuitBreaker(1, 30.0, time)
    fail(breaker)
    time.now = 30.0
    assert circuit_of(breaker) == "half_open"
    attempt = Attempt(breaker)
    assert circuit_of(breaker) == "open"  # to everybody else
    attempt.fail("still")
    assert circuit_of(breaker) == "open"
    time.now = 60.0
    Attempt(breaker).prove()
    assert (circuit_of(breaker), breaker.reason) == ("closed", None)


def test_only_the_try_that_decides_can_prolong_it() -> None:
    time = Time()
    breaker = CircuitBreaker(1, 30.0, time)
    before = Attempt(breaker)
    fail(breaker)
    time.now = 30.0
    decides = Attempt(breaker)
    before.fail("late")
    before.end()
    assert circuit_of(breaker) == "open"
    decides.end()
    assert circuit_of(breaker) == "half_open"


def test_a_try_in_spite_of_it_closes_the_circuit_when_it_succeeds_and_does_nothing_when_it_fails() -> None:
    time = Time()
    breaker = CircuitBreaker(1, 30.0, time)
    fail(breaker)
    time.now = 29.0
    fail(breaker, "late")
    assert breaker.reason == "x"
    in_spite = Attempt(breaker)
    in_spite.prove()
    assert circuit_of(breaker) == "closed"


def test_a_try_that_was_given_up_leaves_the_decision_to_the_next() -> None:
    time = Time()
    breaker = CircuitBreaker(1, 30.0, time)
    fail(breaker)
    time.now = 30.0
    Attempt(breaker).end()
    assert circuit_of(breaker) == "half_open"


def test_what_waiting_hardly_mends_is_left_alone_at_once_and_for_longer() -> None:
    time = Time()
    breaker = CircuitBreaker(5, 30.0, time)
    fail(breaker, "bad key", for_good=True)
    time.now = 299.0
    assert circuit_of(breaker) == "open"
    time.now = 300.0
    assert circuit_of(breaker) == "half_open"


@pytest.mark.parametrize("name", ["messages", "models", "utterances", "outgoing"])
def test_the_pure_half_knows_no_event_loop(name: str) -> None:
    path = Path(deepgram_models.__file__).with_name(f"{name}.py")
    imported = {
        alias.name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert not imported & {"asyncio", "websockets", "socket"}
