"""``/info`` and ``/usage`` say what is true, and their commands work when pasted."""

import json
import shlex
from pathlib import Path

import pytest

from server.engines.base import Capabilities
from server.models import CreateSessionRequest, EventType, SessionConfig
from server.routes.usage import info, usage
from server.settings import Settings

ROOT = Path(__file__).parents[2]
CAPABILITIES = {
    "deepgram": Capabilities(frozenset({"ko", "en", "de"}), keywords=True),
    "local": Capabilities(frozenset({"ko"})),
}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DEEPGRAM_API_KEY", "a-secret-key")
    return Settings(_env_file=None, max_sessions=7, heartbeat_seconds=2.5)


def test_info_lists_the_engines_with_what_they_can_do(settings: Settings) -> None:
    told = info(CAPABILITIES, settings)
    assert list(told["engines"]) == ["deepgram", "local"]
    assert told["default_engine"] == "deepgram"
    assert told["engines"]["deepgram"]["languages"] == ["de", "en", "ko"]
    assert told["engines"]["deepgram"]["keywords"] is True
    assert told["engines"]["local"]["keywords"] is False


def test_info_tells_the_limits_that_are_set(settings: Settings) -> None:
    limits = info(CAPABILITIES, settings)["limits"]
    assert limits["max_sessions"] == 7
    assert limits["heartbeat_seconds"] == 2.5


def test_info_names_the_rates_that_a_session_may_have(settings: Settings) -> None:
    rates = info(CAPABILITIES, settings)["audio"]["sample_rate"]
    assert rates["default"] == SessionConfig().sample_rate
    for accepted in (rates["min"], rates["max"]):
        assert SessionConfig(sample_rate=accepted).sample_rate == accepted
    for refused in (rates["min"] - 1, rates["max"] + 1):
        with pytest.raises(ValueError, match="sample_rate"):
            SessionConfig(sample_rate=refused)


def test_info_is_json_without_a_secret(settings: Settings) -> None:
    assert "a-secret-key" not in json.dumps(info(CAPABILITIES, settings))


def test_every_event_is_explained(settings: Settings) -> None:
    assert set(usage("http://localhost:8001")["events"]) == set(EventType)
    assert info(CAPABILITIES, settings)["events"] == list(EventType)


def test_every_format_of_a_transcript_is_linked() -> None:
    links = usage("http://localhost:8001")["transcript_formats"]
    assert [link.rpartition("=")[2] for link in links] == ["json", "text", "srt", "vtt"]


@pytest.mark.parametrize("base_url", ["http://localhost:8001", "https://stt.example.com"])
def test_the_commands_ask_this_host_for_what_their_step_says(base_url: str) -> None:
    for step in usage(base_url)["steps"]:
        method, path = step["request"].split()
        command = shlex.split(step["curl"])
        assert command[0] == "curl"
        assert base_url + path.replace("{session_id}", "$SESSION_ID") in command
        assert (method in command) is (method != "GET")


def test_the_body_that_opens_a_session_is_accepted() -> None:
    command = shlex.split(usage("http://localhost:8001")["steps"][0]["curl"])
    request = CreateSessionRequest.model_validate_json(command[command.index("-d") + 1])
    assert request.config == SessionConfig(language="ko")


def test_the_sample_that_is_uploaded_exists() -> None:
    command = shlex.split(usage("http://localhost:8001")["steps"][2]["curl"])
    assert (ROOT / command[command.index("--data-binary") + 1].removeprefix("@")).is_file()
