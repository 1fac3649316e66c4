"""What Deepgram answers, and what its failures mean."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from server.engines.deepgram import models as deepgram_models
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
from server.models import Word
from tests.support.deepgram_stream import NET_0000, NET_0001
from tests.support.servers import ROOT

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


# --- the pure half --------------------------------------------------------------------------------------------------


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
