"""Deepgram with a key, with a bad one and without: what the server says when it starts, and which engine it takes."""

from typing import Any

import pytest

from server.engines.deepgram.settings import NO_KEY
from server.engines.registry import engine_chain, load_engines, notes
from server.errors import EngineError
from server.models import SessionConfig
from tests.support.deepgram_peer import KEY, DeepgramPeer
from tests.support.deepgram_recognition import NOWHERE, engine_for
from tests.support.servers import settings_of


@pytest.mark.parametrize("key", [None, "", "  "])
async def test_without_a_key_it_is_said_in_one_sentence(key: str | None, caplog: pytest.LogCaptureFixture) -> None:
    engine = engine_for(NOWHERE, deepgram_api_key=key)
    await engine.prewarm()
    assert engine.status() == {"ready": False, "circuit": "closed", "streams": 0, "detail": NO_KEY}
    assert caplog.messages == [NO_KEY]
    with pytest.raises(EngineError, match="DEEPGRAM_API_KEY"):
        async with engine.open(SessionConfig(), 0.0):
            pass


async def test_a_bad_key_is_found_out_when_the_server_starts(caplog: pytest.LogCaptureFixture) -> None:
    async with DeepgramPeer() as peer:
        engine = engine_for(peer, deepgram_api_key="wrong", deepgram_probe=True)
        await engine.prewarm()
    assert engine.status()["ready"] is False
    assert engine.status()["detail"] == "Deepgram refuses the API key (401)."
    assert "Deepgram can't be used now: Deepgram refuses the API key (401)." in caplog.messages
    assert "wrong" not in caplog.text


async def test_a_good_key_is_found_out_too() -> None:
    async with DeepgramPeer() as peer:
        engine = engine_for(peer, deepgram_probe=True)
        await engine.prewarm()
        assert len(peer.handshakes) == 1
    assert engine.status() == {"ready": True, "circuit": "closed", "streams": 0}


async def test_the_server_starts_though_deepgram_is_not_there() -> None:
    engine = engine_for(NOWHERE, deepgram_probe=True)
    await engine.prewarm()
    assert engine.status()["detail"] == "Deepgram can't be reached (ConnectionRefusedError)."
    assert engine.status()["ready"]  # one failure is none


def test_a_wrong_base_url_stops_the_server() -> None:
    with pytest.raises(EngineError, match="DEEPGRAM_BASE_URL"):
        engine_for("api.deepgram.com")


@pytest.mark.parametrize(
    ("values", "chain"),
    [
        ({}, ["local"]),
        ({"deepgram_api_key": " "}, ["local"]),
        ({"deepgram_api_key": KEY}, ["deepgram", "local"]),
        ({"deepgram_api_key": KEY, "engines": "local"}, ["local"]),
        ({"engines": "deepgram, local"}, ["deepgram", "local"]),
    ],
)
def test_deepgram_is_the_first_engine_where_there_is_a_key(
    values: dict[str, Any], chain: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = values.pop("deepgram_api_key", None)
    if key is not None:
        monkeypatch.setenv("DEEPGRAM_API_KEY", key)
    assert engine_chain(settings_of(**values)) == chain
    assert bool(notes(chain)) == ("deepgram" not in chain and not (key or "").strip())


def test_a_setting_of_an_engine_that_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STT_DEEPGRAM_MAX_SPEED", "fast")
    with pytest.raises(EngineError, match="'deepgram' are wrong: deepgram_max_speed: .* valid number"):
        load_engines(settings_of(engines="deepgram"))
