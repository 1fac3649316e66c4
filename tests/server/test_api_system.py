"""The API as a client sees it: health, info, metrics, docs, the page, and who may call from where."""

import asyncio
import json
import re
import subprocess

import httpx
import pytest

from server.models import EventType, StreamingTokenResponse
from tests.support.api_uploads import PCM
from tests.support.fake_engine import FakeEngine
from tests.support.servers import ROOT, run_server
from tests.support.wire import connect, finish, open_session, upload


async def test_health_names_the_engines(http: httpx.AsyncClient) -> None:
    answer = await http.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["ready"], body["engines"]) == ("ok", True, {"fake": {"ready": True}})


async def test_health_is_503_as_long_as_no_engine_is_ready() -> None:
    with run_server({"fake": FakeEngine(ready=False)}) as url:
        async with connect(url) as http:
            answer = await http.get("/health")
            assert (answer.status_code, answer.json()["ready"]) == (503, False)


async def test_info_says_what_the_server_can_do(http: httpx.AsyncClient) -> None:
    body = (await http.get("/info")).json()
    assert body["engines"]["fake"]["languages"] == ["en", "ko"]
    assert body["default_engine"] == "fake"
    assert body["events"] == [each.value for each in EventType]
    assert body["limits"]["max_chunk_bytes"] == 1_048_576


async def test_the_commands_of_the_usage_guide_work_when_pasted(korean_http: httpx.AsyncClient) -> None:
    guide = (await korean_http.get("/usage")).json()
    assert set(guide["events"]) == {each.value for each in EventType}
    open_it, read_it, send_it, finish_it = (step["curl"] for step in guide["steps"])
    script = f"""
        SESSION_ID=$({open_it} | python3 -c 'import json, sys; print(json.load(sys.stdin)["session_id"])')
        {send_it} >&2
        {finish_it}
        echo
        {read_it}
    """
    done = await asyncio.to_thread(
        subprocess.run, ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    transcript, _, frames = done.stdout.partition("\n")
    assert "그는" in json.loads(transcript)["text"]
    assert '"session_end"' in frames.rstrip().splitlines()[-1]


async def test_the_docs_need_nothing_from_the_internet(http: httpx.AsyncClient) -> None:
    page = (await http.get("/docs")).text
    links = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert links
    assert not [link for link in links if link.startswith(("http:", "https:", "//"))]
    for link in links:
        assert (await http.get(link)).status_code == 200


async def test_the_docs_show_every_event_of_the_stream(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    content = paths["/sessions/{session_id}/stream"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    lines = [line.removeprefix("data: ") for line in content["example"].splitlines() if line.startswith("data: ")]
    assert {StreamingTokenResponse.model_validate_json(line).event_type for line in lines} == set(EventType)


async def test_the_docs_show_raw_and_json_uploads_and_their_refusals(http: httpx.AsyncClient) -> None:
    audio = (await http.get("/openapi.json")).json()["paths"]["/sessions/{session_id}/audio"]["post"]
    assert {"application/json", "application/octet-stream", "audio/*"} <= audio["requestBody"]["content"].keys()
    assert {"404", "409", "413", "415", "422", "429"} <= audio["responses"].keys()
    assert all("application/problem+json" in audio["responses"][status]["content"] for status in ("404", "409", "422"))


async def test_metrics_count_what_happens() -> None:
    with run_server({"fake": FakeEngine()}) as url:
        async with connect(url) as http:
            session_id = await open_session(http)
            await upload(http, session_id, PCM)
            await finish(http, session_id)
            await http.post("/sessions", json={"config": {"language": "xx"}})
            answer = await http.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    lines = set(answer.text.splitlines())
    assert {
        'stt_sessions_opened_total{engine="fake"} 1.0',
        'stt_sessions_refused_total{code="invalid_request"} 1.0',
        f"stt_received_bytes_total {float(len(PCM))}",
        "stt_recognised_seconds_total 3.0",
        'stt_events_total{type="final"} 3.0',
        'stt_events_total{type="session_end"} 1.0',
    } <= lines


async def test_the_page_is_html(http: httpx.AsyncClient) -> None:
    answer = await http.get("/")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3000", True),
        ("http://127.0.0.1:5500", True),
        ("https://localhost", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://evil.example/?http://localhost:3000", False),
    ],
)
async def test_browsers_may_call_from_localhost_only(http: httpx.AsyncClient, origin: str, allowed: bool) -> None:
    preflight = await http.options(
        "/sessions/sess_x/audio",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type, upload-offset",
        },
    )
    assert (preflight.headers.get("Access-Control-Allow-Origin") == origin) == allowed
    assert (preflight.status_code == 200) == allowed
    answer = await http.post("/sessions", headers={"Origin": origin})
    assert (answer.headers.get("Access-Control-Allow-Origin") == origin) == allowed
