"""Whatever is wrong with the request for a stream, a transcript or any other route, the answer says so."""

from typing import Any

import httpx
import pytest

from tests.support.bad_requests import PCM, fields_of, problem_of, session_fixture  # noqa: F401
from tests.support.wire import finish, open_session, read_to_end, upload


@pytest.mark.parametrize("event_id", ["abc", "-1", "1.5", "0x1", "1 2", "9" * 16, "9" * 10_000, "%00", "null", "NaN"])
async def test_a_last_event_id_that_is_none(http: httpx.AsyncClient, session: str, event_id: str) -> None:
    for answer in (
        await http.get(f"/sessions/{session}/stream", headers={"Last-Event-ID": event_id}),
        await http.get(f"/sessions/{session}/stream", params={"last_event_id": event_id}),
    ):
        assert problem_of(answer, 400, "invalid_event_id")["last_event_id"] >= 0


async def test_a_last_event_id_from_the_future(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, PCM)
    await finish(http, session_id)
    last = (await read_to_end(http, session_id))[-1].id
    assert last is not None
    answer = await http.get(f"/sessions/{session_id}/stream", headers={"Last-Event-ID": str(last + 1)})
    assert problem_of(answer, 400, "invalid_event_id")["last_event_id"] == last


@pytest.mark.parametrize("query", ["format=pdf", "format="])
async def test_a_transcript_format_that_is_none(http: httpx.AsyncClient, session: str, query: str) -> None:
    assert fields_of(await http.get(f"/sessions/{session}/transcript?{query}")) == ["format"]


async def test_a_purge_that_is_neither_yes_nor_no(http: httpx.AsyncClient, session: str) -> None:
    assert fields_of(await http.delete(f"/sessions/{session}?purge=perhaps")) == ["purge"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("DELETE", "?purge=true"),
        ("GET", "/stream"),
        ("GET", "/transcript"),
        ("GET", "/transcript?format=srt"),
        ("POST", "/audio"),
    ],
)
@pytest.mark.parametrize("session_id", ["sess_unknown", "x" * 5_000, "%00", "..%2f..", "세션"])
async def test_an_unknown_session(http: httpx.AsyncClient, method: str, path: str, session_id: str) -> None:
    body: dict[str, Any] = {"json": {"audio_data": "AAAA"}} if method == "POST" else {}
    answer = await http.request(method, f"/sessions/{session_id}{path}", **body)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_raw_audio_for_an_unknown_session(http: httpx.AsyncClient) -> None:
    problem_of(await upload(http, "sess_unknown", PCM), 404, "session_not_found")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("PUT", "/sessions", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
    ],
)
async def test_a_route_that_is_none(http: httpx.AsyncClient, method: str, path: str, status: int, code: str) -> None:
    problem_of(await http.request(method, path), status, code)
