"""Whatever is wrong with a config, the answer names the field, and no session opens."""

import gzip
import json

import httpx
import pytest

from tests.support.bad_requests import JSON, fields_of, problem_of


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"sample_rate": 7999}, "config.sample_rate"),
        ({"sample_rate": 96000}, "config.sample_rate"),
        ({"sample_rate": "fast"}, "config.sample_rate"),
        ({"channels": 3}, "config.channels"),
        ({"encoding": "opus"}, "config.encoding"),
        ({"language": "korean please"}, "config.language"),
        ({"language": ""}, "config.language"),
        ({"language": 5}, "config.language"),
        ({"engine": "hal"}, "config.engine"),
        ({"model": "m" * 65}, "config.model"),
        ({"endpointing_ms": 50}, "config.endpointing_ms"),
        ({"utterance_end_ms": 2000}, "config.utterance_end_ms"),
        ({"utterance_end_ms": 2}, "config.utterance_end_ms"),
        ({"keywords": ["서울"]}, "config.keywords"),
        ({"keywords": [""]}, "config.keywords.0"),
        ({"keywords": "서울"}, "config.keywords"),
        ({"diarize": True}, "config.diarize"),
        ({"two_pass": True}, "config.two_pass"),
        ({"interim_results": "perhaps"}, "config.interim_results"),
        ({"punctuate": []}, "config.punctuate"),
        ({"sampel_rate": 16000}, "config.sampel_rate"),
        (5, "config"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value),
)
async def test_an_impossible_config_names_the_field(http: httpx.AsyncClient, config: object, field: str) -> None:
    assert fields_of(await http.post("/sessions", json={"config": config})) == [field]


async def test_an_unknown_field_beside_the_config(http: httpx.AsyncClient) -> None:
    assert fields_of(await http.post("/sessions", json={"confg": {}})) == ["confg"]


async def test_every_wrong_field_is_named(http: httpx.AsyncClient) -> None:
    answer = await http.post("/sessions", json={"config": {"channels": 9, "sample_rate": 1, "speed": 2}})
    assert sorted(fields_of(answer)) == ["config.channels", "config.sample_rate", "config.speed"]


async def test_an_unsupported_language_lists_the_supported_ones(http: httpx.AsyncClient) -> None:
    answer = await http.post("/sessions", json={"config": {"language": "xx"}})
    assert fields_of(answer) == ["config.language"]
    assert "supported: en, ko" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", JSON, 400, "invalid_json"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (gzip.compress(b"{}", mtime=0), JSON | {"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
        (b" " * 70_000, JSON, 413, "body_too_large"),
        (b"[]", JSON, 422, "invalid_request"),
    ],
)
async def test_no_session_opens_from_a_bad_body(
    http: httpx.AsyncClient, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    problem_of(await http.post("/sessions", content=body, headers=headers), status, code)
