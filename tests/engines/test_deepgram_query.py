"""What the Deepgram engine asks for, and what it refuses because no model can do it."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from server.engines.deepgram import models as deepgram_models
from server.engines.deepgram.models import DeepgramCapabilities, live_query, live_url
from server.errors import EngineError
from server.models import SessionConfig

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
