"""The wire, byte for byte: each event's JSON, and what a session may be asked."""

import json
import re

import pytest
from pydantic import ValidationError

from server.engines.base import Capabilities
from server.events import error_event, recognition_events, session_end_event
from server.models import (
    AudioUploadRequest,
    CreateSessionRequest,
    EventType,
    Final,
    Interim,
    Recognition,
    SessionConfig,
    SpeechEnded,
    SpeechStarted,
    StreamingTokenResponse,
    Word,
)
from server.routes.sse import frame
from server.session_log.base import LoggedEvent, NewEvent

WORDS = (Word("안녕", 0.51, 0.9000004, 0.987654321), Word("하세요", 0.9, 1.25))


def golden(event: NewEvent) -> str:
    """The event with its one part that changes, the time of publishing, taken out."""
    written = frame("sess_1", LoggedEvent(0, event.type, event.body, event.timestamp))
    return re.sub(rb'"timestamp":\d{10}\.\d{3},', b'"timestamp":0,', written[len(b"data: ") : -2]).decode()


def events_of(recognition: Recognition, config: SessionConfig | None = None, flushed: int | None = None) -> list[str]:
    return [golden(event) for event in recognition_events(recognition, config or SessionConfig(), "local", flushed)]


def test_an_interim_on_the_wire() -> None:
    assert events_of(Interim("안녕 하세요", 0.51, 1.25, 0.95, WORDS, "ko")) == [
        '{"event_type":"token","data":{"text":"안녕 하세요","confidence":0.95,"is_partial":true,'
        '"start":0.51,"end":1.25,"words":[{"word":"안녕","start":0.51,"end":0.9,"confidence":0.9877},'
        '{"word":"하세요","start":0.9,"end":1.25}],'
        '"language":"ko","engine":"local"},"timestamp":0,"session_id":"sess_1"}'
    ]


def test_a_final_on_the_wire() -> None:
    assert events_of(Final("네", 0.5, 1.25, 1.5, 0.5)) == [
        '{"event_type":"final","data":{"text":"네","confidence":0.5,"is_partial":false,"start":0.5,"end":1.25,'
        '"words":[],"language":"ko","engine":"local","through":1.5},"timestamp":0,"session_id":"sess_1"}'
    ]


def test_a_confidence_that_nobody_knows_is_left_out() -> None:
    assert events_of(Final("네", 0.5, 1.25, 1.5)) == [
        '{"event_type":"final","data":{"text":"네","is_partial":false,"start":0.5,"end":1.25,'
        '"words":[],"language":"ko","engine":"local","through":1.5},"timestamp":0,"session_id":"sess_1"}'
    ]


def test_a_confidence_is_never_rounded_to_none_at_all() -> None:
    (event,) = events_of(Final("네", 0.5, 1.25, 1.5, 0.00004))
    assert 0 < json.loads(event)["data"]["confidence"] < 0.001


def test_speech_that_could_not_be_read_is_told_only_where_there_is_some() -> None:
    (event,) = events_of(Final("네", 0.5, 1.25, 1.5, uncovered=2.34567))
    assert json.loads(event)["data"]["uncovered"] == 2.346
    (event,) = events_of(Final("네", 0.5, 1.25, 1.5, uncovered=0.0001))
    assert "uncovered" not in event
    (event,) = events_of(Final("", 1.5, 1.5, 1.5, uncovered=2.0), flushed=64)
    assert json.loads(event)["data"] == {"end": 1.5, "through": 1.5, "uncovered": 2.0, "flushed": 64}


def test_a_language_that_was_detected_goes_before_the_one_that_was_asked_for() -> None:
    (event,) = events_of(Final("ja", 0.5, 1.25, 1.5, language="de"), SessionConfig(language="multi"))
    assert '"language":"de"' in event


def test_the_beginning_and_the_end_of_speech_on_the_wire() -> None:
    assert events_of(SpeechStarted(1.2345678)) == [
        '{"event_type":"speech_start","data":{"start":1.235},"timestamp":0,"session_id":"sess_1"}'
    ]
    assert events_of(SpeechEnded(2.5)) == [
        '{"event_type":"speech_end","data":{"end":2.5},"timestamp":0,"session_id":"sess_1"}'
    ]


def test_the_end_of_a_session_on_the_wire() -> None:
    assert golden(session_end_event("finished")) == (
        '{"event_type":"session_end","data":{"reason":"finished"},"timestamp":0,"session_id":"sess_1"}'
    )


def test_an_error_on_the_wire() -> None:
    assert golden(error_event("engine_restarted", "It failed.", recoverable=True, engine="local")) == (
        '{"event_type":"error","data":{"code":"engine_restarted","message":"It failed.","recoverable":true,'
        '"engine":"local"},"timestamp":0,"session_id":"sess_1"}'
    )


def test_a_final_that_answers_a_flush_names_the_place_that_was_flushed() -> None:
    (event,) = events_of(Final("네", 0.5, 1.25, 1.5, flushed=True), flushed=48_000)
    assert json.loads(event)["data"]["flushed"] == 48_000


def test_a_flush_of_silence_is_answered_in_the_place_of_the_end_of_speech() -> None:
    assert events_of(Final("", 2.0, 2.0, 2.0, flushed=True), flushed=64_000) == [
        '{"event_type":"speech_end","data":{"end":2.0,"through":2.0,"flushed":64000},"timestamp":0,"session_id":"sess_1"}'
    ]


def test_interims_are_left_out_when_the_session_wants_none() -> None:
    assert events_of(Interim("안녕", 0.5, 0.9), SessionConfig(interim_results=False)) == []


def test_a_final_without_text_publishes_nothing() -> None:
    assert events_of(Final("", 2.0, 2.0, 2.0)) == []


def test_the_event_types_are_the_original_seven() -> None:
    assert [str(each) for each in EventType] == [
        "token",
        "final",
        "speech_start",
        "speech_end",
        "heartbeat",
        "error",
        "session_end",
    ]


@pytest.mark.parametrize("text", ["one\ntwo", "one\r\ntwo", 'quo"te\\', "nul\0", "가\u2028나", "🙂"])
def test_no_text_breaks_the_frame_it_is_sent_in(text: str) -> None:
    (event,) = events_of(Final(text, 0, 1, 1))
    assert not {"\n", "\r", "\0"} & set(event)
    assert StreamingTokenResponse.model_validate_json(event).data["text"] == text


# --- requests -------------------------------------------------------------------------------------------------------


def test_a_session_that_asks_for_nothing_gets_the_original_defaults() -> None:
    assert CreateSessionRequest.model_validate({}).config.model_dump() == {
        "model": None,
        "language": "ko",
        "interim_results": True,
        "smart_format": True,
        "punctuate": True,
        "sample_rate": 16000,
        "channels": 1,
        "encoding": "auto",
        "engine": "auto",
        "endpointing_ms": None,
        "utterance_end_ms": None,
        "keywords": [],
        "diarize": False,
        "two_pass": None,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"sample_rate": 7999},
        {"sample_rate": 48001},
        {"channels": 3},
        {"channels": 0},
        {"language": ""},
        {"language": "korean"},
        {"language": "ko\n"},
        {"language": "한국어"},
        {"encoding": "opus"},
        {"endpointing_ms": 99},
        {"endpointing_ms": 5001},
        {"utterance_end_ms": 999},
        {"keywords": [" "]},
        {"keywords": ["a"] * 101},
        {"model": "m" * 65},
        {"lang": "ko"},
    ],
    ids=json.dumps,
)
def test_what_a_session_may_not_ask_is_refused_by_the_name_of_the_field(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        CreateSessionRequest.model_validate({"config": wrong})
    assert [error["loc"][:2] for error in caught.value.errors()] == [("config", *wrong)]


@pytest.mark.parametrize("language", ["ko", "ko-KR", "multi", "zh-Hant-TW", "es-419"])
def test_language_tags(language: str) -> None:
    assert SessionConfig(language=language).language == language


NAMES = {"KO": "ko", "ko_KR": "ko-KR", "kor": "ko", "en-us": "en-US", "cmn": "zh", "yue": "yue", "iw": "he"}
NAMES |= {"nb": "no", "nb-NO": "no-NO", "fil": "tl", "auto": "multi", "MULTI": "multi", "cmn-Hant-TW": "zh-Hant-TW"}


@pytest.mark.parametrize(("name", "tag"), NAMES.items())
def test_a_language_may_be_named_as_browsers_and_vendors_do(name: str, tag: str) -> None:
    assert SessionConfig(language=name).language == tag


def test_a_name_that_is_no_language_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValidationError, match="names no language. Give a BCP-47 tag"):
        SessionConfig(language="korean please")


def test_a_configuration_can_be_stored_and_read_again() -> None:
    config = SessionConfig(language="ko-KR", keywords=["서울"], endpointing_ms=300, two_pass=False)
    assert SessionConfig.model_validate(json.loads(json.dumps(config.model_dump()))) == config


@pytest.mark.parametrize(
    "wrong", [{}, {"audio_data": 1}, {"audio_data": "AA==", "offset": -1}, {"audio_data": "AA==", "offset": "0"}]
)
def test_an_upload_of_the_wrong_shape_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AudioUploadRequest.model_validate(wrong)


def test_a_chunk_may_be_named_by_text_or_number() -> None:
    for chunk_id in ("a", 7):
        assert AudioUploadRequest.model_validate({"audio_data": "AA==", "chunk_id": chunk_id}).chunk_id == chunk_id


# --- capabilities ---------------------------------------------------------------------------------------------------

SIMPLE = Capabilities(languages=frozenset({"ko", "en-US"}))
ABLE = Capabilities(
    frozenset({"ko"}), keywords=True, diarize=True, utterance_end=True, two_pass_languages=frozenset({"ko"})
)


@pytest.mark.parametrize(
    ("language", "spoken"),
    [
        ("ko", True),
        ("ko-KR", True),
        ("KO-kr", True),
        ("en-US", True),
        ("en", False),
        ("en-GB", False),
        ("multi", False),
    ],
)
def test_a_bare_language_covers_its_regions_but_not_the_other_way_round(language: str, spoken: bool) -> None:
    assert SIMPLE.speaks(language) is spoken
    assert list(SIMPLE.refusals(SessionConfig(language=language))) == ([] if spoken else ["language"])


@pytest.mark.parametrize(
    "asked", [{"keywords": ["서울"]}, {"diarize": True}, {"two_pass": True}, {"utterance_end_ms": 1000}]
)
def test_what_an_engine_cannot_do_is_refused_by_name(asked: dict[str, object]) -> None:
    config = SessionConfig.model_validate(asked)
    assert list(SIMPLE.refusals(config)) == list(asked)
    assert ABLE.refusals(config) == {}


def test_what_is_not_asked_for_is_not_refused() -> None:
    assert SIMPLE.refusals(SessionConfig(two_pass=False, keywords=[])) == {}
