"""The API as a client sees it: ``POST /sessions``, ``GET /sessions/{id}``."""

import re

import httpx
import pytest

from server import streaming_manager
from server.engines.base import Capabilities
from tests.support.api_uploads import PCM
from tests.support.fake_engine import FakeEngine
from tests.support.servers import run_server
from tests.support.wire import connect, finish, open_session, read_to_end, upload


async def test_a_session_opens_without_a_body(http: httpx.AsyncClient) -> None:
    answer = await http.post("/sessions")
    assert answer.status_code == 201
    body = answer.json()
    session_id = body["session_id"]
    assert (body["stream_url"], body["upload_url"]) == (
        f"/sessions/{session_id}/stream",
        f"/sessions/{session_id}/audio",
    )
    assert (body["status"], body["engine"]) == ("open", "fake")
    author_fields = {
        "model": None,
        "language": "ko",
        "interim_results": True,
        "smart_format": True,
        "punctuate": True,
        "sample_rate": 16000,
        "channels": 1,
    }
    assert author_fields.items() <= body["config"].items()


async def test_a_session_keeps_the_config_that_it_was_opened_with(http: httpx.AsyncClient) -> None:
    wishes = {"language": "en", "sample_rate": 8000, "channels": 2, "encoding": "mulaw", "endpointing_ms": 500}
    answer = await http.post("/sessions", json={"config": wishes})
    assert wishes.items() <= answer.json()["config"].items()
    described = (await http.get(f"/sessions/{answer.json()['session_id']}")).json()
    assert wishes.items() <= described["config"].items()


async def test_session_ids_cannot_be_guessed(http: httpx.AsyncClient) -> None:
    ids = [await open_session(http) for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(re.fullmatch(r"sess_[A-Za-z0-9_-]{22,}", each) for each in ids)  # 22 letters of base64: 132 bits
    for session_id in ids:
        await http.delete(f"/sessions/{session_id}", params={"purge": True})


async def test_a_session_tells_where_it_stands(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    fresh = (await http.get(f"/sessions/{session_id}")).json()
    assert (fresh["status"], fresh["offset"], fresh["received_bytes"], fresh["last_event_id"]) == ("open", 0, 0, 0)
    await upload(http, session_id, PCM)
    assert (await http.get(f"/sessions/{session_id}")).json()["offset"] == len(PCM)
    await finish(http, session_id)
    ended = (await http.get(f"/sessions/{session_id}")).json()
    assert (ended["status"], ended["reason"], ended["received_bytes"]) == ("ended", "finished", len(PCM))
    assert ended["recognized_seconds"] == 3.0
    assert ended["buffered_seconds"] == 0.0
    assert ended["last_event_id"] == (await read_to_end(http, session_id))[-1].id


async def test_the_server_takes_as_many_sessions_as_it_may_and_more_when_one_ends() -> None:
    with run_server({"fake": FakeEngine()}, {"max_sessions": 2}) as url:
        async with connect(url) as http:
            first = await open_session(http)
            await open_session(http)
            refused = await http.post("/sessions")
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_sessions")
            assert int(refused.headers["Retry-After"]) > 0
            await finish(http, first)
            await open_session(http)


async def test_auto_takes_the_first_engine_that_can_do_what_is_asked() -> None:
    korean = FakeEngine(capabilities=Capabilities(frozenset({"ko"})))
    german = FakeEngine(capabilities=Capabilities(frozenset({"de"}), keywords=True))
    with run_server({"korean": korean, "german": german}) as url:
        async with connect(url) as http:
            assert (await http.post("/sessions")).json()["engine"] == "korean"
            answer = await http.post("/sessions", json={"config": {"language": "de-AT", "keywords": ["Wien"]}})
            assert answer.json()["engine"] == "german"
            named = await http.post("/sessions", json={"config": {"engine": "korean", "language": "de"}})
            assert (named.status_code, named.json()["errors"][0]["field"]) == (422, "config.language")


async def test_a_session_that_nobody_uses_ends_and_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming_manager, "SWEEP_SECONDS", 0.02)
    with run_server({"fake": FakeEngine()}, {"idle_seconds": 0.05, "retention_seconds": 0.3}) as url:
        async with connect(url) as http:
            session_id = await open_session(http)
            reasons = set()
            while (answer := await http.get(f"/sessions/{session_id}")).status_code == 200:
                reasons.add(answer.json()["reason"])
            assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")
            assert "idle_timeout" in reasons
