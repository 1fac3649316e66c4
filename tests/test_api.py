"""Every route, as a client sees it."""

import asyncio
import base64
import json
import re
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from server import streaming_manager
from server.engines.base import Capabilities
from server.models import EventType, StreamingTokenResponse
from tests.conftest import (
    ROOT,
    connect,
    finals,
    finish,
    open_session,
    read_to_end,
    run_server,
    stream,
    upload,
    wav_of,
)
from tests.fake_engine import CONFIDENCE, FakeEngine, Fault, said, silence, speech

SENTENCES = ([1, 2], [3, 4, 5], [6])
PCM = speech(*SENTENCES)


def as_json(pcm: bytes, **fields: Any) -> dict[str, Any]:
    return {"audio_data": base64.b64encode(pcm).decode(), **fields}


# --- POST /sessions, GET /sessions/{id} -----------------------------------------------------------------------------


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
        "model": "nova-2",
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


# --- POST /sessions/{id}/audio --------------------------------------------------------------------------------------


async def test_json_audio_is_stored_and_answered(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    answer = await http.post(f"/sessions/{session_id}/audio", json=as_json(PCM, chunk_id="c-1", timestamp=1.5))
    assert answer.status_code == 200
    body = answer.json()
    assert (body["session_id"], body["chunk_id"]) == (session_id, "c-1")
    assert (body["received_bytes"], body["offset"]) == (len(PCM), len(PCM))
    assert answer.headers["Upload-Offset"] == str(len(PCM))
    assert 0 <= body["buffered_seconds"] <= 3
    assert body["timestamp"] > 1_700_000_000
    assert (await finish(http, session_id))["text"] == " ".join(said(*SENTENCES))


async def test_chunks_may_be_numbered(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    answer = await http.post(f"/sessions/{session_id}/audio", json=as_json(PCM, chunk_id=7))
    assert answer.json()["chunk_id"] == 7


@pytest.mark.parametrize(
    "content_type",
    [
        "application/octet-stream",
        "audio/wav",
        "audio/L16;rate=16000",
        "video/webm;codecs=vp8,opus",
        "video/mp4",
        "application/ogg",
    ],
)
async def test_raw_audio_is_stored(http: httpx.AsyncClient, content_type: str) -> None:
    session_id = await open_session(http)
    answer = await http.post(f"/sessions/{session_id}/audio", content=PCM, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["offset"]) == (200, len(PCM))
    assert (await finish(http, session_id))["text"] == " ".join(said(*SENTENCES))


async def test_a_wav_may_be_cut_anywhere_in_json_chunks(http: httpx.AsyncClient) -> None:
    wav = wav_of(PCM)
    session_id = await open_session(http)
    for start in range(0, len(wav), 10_001):
        chunk = wav[start : start + 10_001]
        answer = await http.post(f"/sessions/{session_id}/audio", json=as_json(chunk, offset=start))
        assert answer.status_code == 200
    assert (await finish(http, session_id))["text"] == " ".join(said(*SENTENCES))


async def test_a_chunk_sent_twice_is_stored_once(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    for _ in range(2):
        answer = await http.post(f"/sessions/{session_id}/audio", json=as_json(PCM[:50_000], offset=0))
        assert (answer.status_code, answer.json()["offset"]) == (200, 50_000)
    overlapping = await upload(http, session_id, PCM[30_000:], offset=30_000)
    assert (overlapping.status_code, overlapping.json()["offset"]) == (200, len(PCM))
    assert (await finish(http, session_id))["text"] == " ".join(said(*SENTENCES))


async def test_binary_uploads_may_cut_a_sample_in_two(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, PCM[:33_333])
    await upload(http, session_id, PCM[33_333:])
    assert (await finish(http, session_id))["text"] == " ".join(said(*SENTENCES))


async def test_a_chunked_upload_is_recognised_while_it_is_still_sent(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    first_final = asyncio.Event()
    order = []

    async def body() -> AsyncIterator[bytes]:
        yield speech([1, 2])
        await first_final.wait()
        order.append("second half sent")
        yield speech([3])

    async def send() -> None:
        answer = await http.post(
            f"/sessions/{session_id}/audio", content=body(), headers={"Content-Type": "application/octet-stream"}
        )
        assert answer.json()["offset"] == len(speech([1], [1]))
        await http.delete(f"/sessions/{session_id}")

    async with asyncio.TaskGroup() as tasks, stream(http, session_id) as events:
        tasks.create_task(send())
        async for event in events:
            if event.type == "final":
                order.append(event.data["text"])
                first_final.set()
    assert order == ["말1 말2", "second half sent", "말3"]


async def test_a_long_upload_is_slowed_down_rather_than_refused() -> None:
    with run_server({"fake": FakeEngine()}, {"max_backlog_seconds": 5.0}) as url:
        async with connect(url) as http:
            session_id = await open_session(http)
            sentences = [[number] for number in range(1, 31)]
            answer = await upload(http, session_id, speech(*sentences))
            assert (answer.status_code, answer.json()["offset"]) == (200, 30 * 32_000)
            assert [each["text"] for each in (await finish(http, session_id))["segments"]] == said(*sentences)


async def test_two_sessions_do_not_mix(http: httpx.AsyncClient) -> None:
    first, second = await open_session(http), await open_session(http)
    for start in range(0, 32_000, 8_000):
        await upload(http, first, speech([1, 2])[start : start + 8_000])
        await upload(http, second, speech([3, 4])[start : start + 8_000])
    assert (await finish(http, first))["text"] == "말1 말2"
    assert (await finish(http, second))["text"] == "말3 말4"


# --- DELETE /sessions/{id}, GET /sessions/{id}/transcript -----------------------------------------------------------


async def test_delete_answers_with_the_whole_transcript_and_may_be_repeated(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, speech([1, 2]) + speech([3])[:20_000])  # the second is still being said
    transcript = await finish(http, session_id)
    assert (transcript["status"], transcript["reason"], transcript["text"]) == ("ended", "finished", "말1 말2 말3")
    first = transcript["segments"][0]
    assert (first["text"], first["start"], first["end"]) == ("말1 말2", 0.25, 0.55)
    assert (first["language"], first["engine"], first["confidence"]) == ("ko", "fake", CONFIDENCE)
    assert first["words"][1] == {"word": "말2", "start": 0.5, "end": 0.55, "confidence": CONFIDENCE}
    assert transcript["duration"] == 1.625
    assert await finish(http, session_id) == transcript
    assert (await http.get(f"/sessions/{session_id}/transcript")).json() == transcript


async def test_a_session_without_audio_ends_with_an_empty_transcript(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    transcript = await finish(http, session_id)
    assert (transcript["text"], transcript["segments"]) == ("", [])
    assert [event.type for event in await read_to_end(http, session_id)] == ["session_end"]


async def test_delete_answers_202_while_the_recognizer_is_still_at_it() -> None:
    engine = FakeEngine([Fault(where="finish", times=None)])
    with run_server({"fake": engine}, {"finish_seconds": 0.05, "drain_seconds": 0.0}) as url:
        async with connect(url) as http:
            session_id = await open_session(http)
            await upload(http, session_id, speech([1]))
            answer = await http.delete(f"/sessions/{session_id}")
            assert (answer.status_code, answer.json()["status"]) == (202, "finishing")


async def test_the_transcript_of_an_open_session_has_what_is_final_so_far(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, speech([1, 2]) + speech([3])[:20_000])
    async with stream(http, session_id) as events:
        async for event in events:
            if event.type == "token" and event.data["text"] == "말3":
                break
    transcript = (await http.get(f"/sessions/{session_id}/transcript")).json()
    assert (transcript["status"], transcript["text"]) == ("open", "말1 말2")


@pytest.mark.parametrize(
    ("style", "content_type", "expected"),
    [
        ("text", "text/plain", "말1 말2\n말3\n"),
        (
            "srt",
            "application/x-subrip",
            "1\n00:00:00,250 --> 00:00:00,550\n말1 말2\n\n2\n00:00:01,333 --> 00:00:01,383\n말3\n\n",
        ),
        (
            "vtt",
            "text/vtt",
            "WEBVTT\n\n00:00:00.250 --> 00:00:00.550\n말1 말2\n\n00:00:01.333 --> 00:00:01.383\n말3\n\n",
        ),
    ],
)
async def test_transcripts_come_as_text_and_subtitles(
    http: httpx.AsyncClient, style: str, content_type: str, expected: str
) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, speech([1, 2], [3]))
    await finish(http, session_id)
    answer = await http.get(f"/sessions/{session_id}/transcript", params={"format": style})
    assert answer.headers["Content-Type"].partition(";")[0] == content_type
    assert answer.text == expected


async def test_purge_erases_all_of_a_session_at_once(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, PCM)
    async with stream(http, session_id) as events:
        assert (await anext(events)).data == {"status": "connected"}
        assert (await http.delete(f"/sessions/{session_id}", params={"purge": True})).status_code == 204
        last = [event async for event in events][-1]
        assert (last.type, last.data, last.id) == ("session_end", {"reason": "purged"}, None)
    for method, path in (("GET", ""), ("GET", "/transcript"), ("GET", "/stream"), ("DELETE", ""), ("POST", "/audio")):
        answer = await http.request(method, f"/sessions/{session_id}{path}", json=as_json(PCM))
        assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")


# --- system ---------------------------------------------------------------------------------------------------------


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


# --- the real engine ------------------------------------------------------------------------------------------------


async def test_korean_speech_becomes_text(korean_http: httpx.AsyncClient, korean_pcm: bytes) -> None:
    session_id = await open_session(korean_http)
    answer = await upload(korean_http, session_id, wav_of(korean_pcm))
    assert answer.status_code == 200
    transcript = await finish(korean_http, session_id)
    assert transcript["text"].startswith("그는")
    assert "걸어갔다" in transcript["text"]
    events = await read_to_end(korean_http, session_id)
    assert " ".join(finals(events)) == transcript["text"]
    assert all(0 < segment["confidence"] <= 1 for segment in transcript["segments"])


async def test_silence_has_no_words(korean_http: httpx.AsyncClient) -> None:
    session_id = await open_session(korean_http)
    await upload(korean_http, session_id, silence(3.0))
    transcript = await finish(korean_http, session_id)
    assert transcript["text"] == ""
    assert transcript["duration"] == pytest.approx(3.0, abs=0.032)
