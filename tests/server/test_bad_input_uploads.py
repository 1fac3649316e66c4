"""Whatever is wrong with an upload, the answer says so, nothing is stored, and the session goes on."""

import asyncio
import gzip
import json
from collections.abc import Iterator

import httpx
import pytest

from tests.support.bad_requests import JSON, PCM, RAW, encoded, fields_of, problem_of, session_fixture  # noqa: F401
from tests.support.fake_engine import FakeEngine, Fault
from tests.support.servers import run_server, wav_of
from tests.support.wire import connect, finish, open_session, read_to_end, upload

HUNDRED_MEGABYTES = 100 * 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [b"{", b"nonsense", b'{"audio_data": "AAAA"', b'{"audio_data": "\xff\xfe"}', b"\x00", b"[" * 20_000],
    ids=["open", "text", "cut", "not UTF-8", "zero", "deep"],
)
async def test_broken_json(http: httpx.AsyncClient, session: str, body: bytes) -> None:
    answer = await http.post(f"/sessions/{session}/audio", content=body, headers=JSON)
    problem_of(answer, 400, "invalid_json")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({}, "audio_data"),
        ({"audio_data": None}, "audio_data"),
        ({"audio_data": 5}, "audio_data"),
        ({"audio_data": "===="}, "audio_data"),
        ({"audio_data": "A"}, "audio_data"),
        ({"audio_data": "AAAA!AAAA"}, "audio_data"),
        ({"audio_data": "data:audio/wav,AAAA"}, "audio_data"),
        ({"audio_data": "가나다라"}, "audio_data"),
        ({"audio_data": encoded(b"123")}, "audio_data"),
        ({"audio_data": "AAAA", "offset": -2}, "offset"),
        ({"audio_data": "AAAA", "offset": 1.5}, "offset"),
        ({"audio_data": "AAAA", "offset": "0"}, "offset"),
        ({"audio_data": "AAAA", "chunk_id": {}}, "chunk_id"),
        ({"audio_data": "AAAA", "timestamp": "now"}, "timestamp"),
        ({"audio_data": "AAAA", "volume": 11}, "volume"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value),
)
async def test_json_with_a_wrong_field(http: httpx.AsyncClient, session: str, body: object, field: str) -> None:
    answer = await http.post(f"/sessions/{session}/audio", json=body)
    assert {each.partition(".")[0] for each in fields_of(answer)} == {field}


async def test_a_refusal_does_not_repeat_the_audio(http: httpx.AsyncClient, session: str) -> None:
    answer = await http.post(f"/sessions/{session}/audio", json={"audio_data": "c2VjcmV0!", "secret": "whisper"})
    assert "c2VjcmV0" not in answer.text
    assert "whisper" not in answer.text


async def test_an_empty_json_body(http: httpx.AsyncClient, session: str) -> None:
    assert fields_of(await http.post(f"/sessions/{session}/audio", content=b"", headers=JSON))


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "image/png", "text/json", ""])
async def test_a_content_type_that_is_no_audio(http: httpx.AsyncClient, session: str, kind: str) -> None:
    answer = await http.post(f"/sessions/{session}/audio", content=PCM, headers={"Content-Type": kind})
    problem_of(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("headers", [RAW, JSON], ids=["raw", "json"])
async def test_a_compressed_body(http: httpx.AsyncClient, session: str, headers: dict[str, str]) -> None:
    body = gzip.compress(json.dumps({"audio_data": encoded(PCM)}).encode())
    answer = await http.post(f"/sessions/{session}/audio", content=body, headers=headers | {"Content-Encoding": "gzip"})
    problem_of(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("headers", [RAW, JSON], ids=["raw", "json"])
async def test_100_megabytes_are_refused_before_they_are_sent(
    fake_server: str, session: str, headers: dict[str, str]
) -> None:
    url = httpx.URL(fake_server)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST /sessions/{session}/audio HTTP/1.1\r\nHost: localhost\r\nContent-Length: {HUNDRED_MEGABYTES}\r\n"
    writer.write(f"{head}Content-Type: {headers['Content-Type']}\r\n\r\n".encode())
    status = await reader.readline()  # with not one byte of the body sent
    assert status.split()[1] == b"413"
    answer = await reader.readuntil(b"}")
    assert b"application/problem+json" in answer
    assert b'"code":"body_too_large"' in answer
    writer.close()
    await writer.wait_closed()


async def test_100_megabytes_of_json_without_a_length_are_not_read_to_their_end(fake_server: str, session: str) -> None:
    url = httpx.URL(fake_server)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST /sessions/{session}/audio HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode())
    writer.write(b'10\r\n{"audio_data": "\r\n')
    megabyte = b"100000\r\n" + b"A" * 1_048_576 + b"\r\n"
    for _ in range(2):  # of a hundred
        writer.write(megabyte)
        await writer.drain()
    assert (await reader.readline()).split()[1] == b"413"
    writer.close()
    await writer.wait_closed()


async def test_a_chunk_larger_than_a_chunk_may_be(http: httpx.AsyncClient, session: str) -> None:
    answer = await http.post(f"/sessions/{session}/audio", json={"audio_data": encoded(bytes(1_048_578))})
    problem_of(answer, 413, "body_too_large")


async def test_an_offset_behind_the_end(http: httpx.AsyncClient, session: str) -> None:
    for answer in (
        await upload(http, session, PCM, offset=len(PCM) + 2),
        await http.post(f"/sessions/{session}/audio", json={"audio_data": "AAAA", "offset": len(PCM) + 2}),
    ):
        assert problem_of(answer, 409, "offset_mismatch")["offset"] == len(PCM)
        assert answer.headers["Upload-Offset"] == str(len(PCM))


@pytest.mark.parametrize("offset", ["", "-1", "1e3", "0x10", "1.0", "9" * 16, "9" * 10_000, "+1", "1,1"])
async def test_an_offset_that_is_none(http: httpx.AsyncClient, session: str, offset: str) -> None:
    answer = await http.post(f"/sessions/{session}/audio", content=PCM, headers=RAW | {"Upload-Offset": offset})
    assert fields_of(answer) == ["Upload-Offset"]


async def test_an_upload_after_the_end(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, PCM)
    await finish(http, session_id)
    for answer in (
        await upload(http, session_id, PCM),
        await upload(http, session_id, PCM, offset=len(PCM)),
        await http.post(f"/sessions/{session_id}/audio", json={"audio_data": encoded(PCM)}),
    ):
        problem_of(answer, 409, "session_ended")
    repeated = await upload(http, session_id, PCM, offset=0)  # whose first answer was lost: these bytes are stored
    assert (repeated.status_code, repeated.json()["offset"]) == (200, len(PCM))
    assert (await http.get(f"/sessions/{session_id}")).json()["offset"] == len(PCM)


async def test_undecodable_audio_ends_the_session_with_an_error(http: httpx.AsyncClient) -> None:
    for damaged in (b"OggS" + bytes(100), wav_of(PCM)[:20] + b"\x55" + wav_of(PCM)[21:], wav_of(PCM)[:30]):
        session_id = await open_session(http)
        await upload(http, session_id, damaged)
        transcript = await finish(http, session_id)
        error, end = await read_to_end(http, session_id)
        assert (error.type, error.data["code"], error.data["recoverable"]) == ("error", "undecodable_audio", False)
        assert (end.type, end.data["reason"]) == ("session_end", "undecodable_audio")
        assert transcript["reason"] == end.data["reason"]


@pytest.fixture(scope="module")
def stuck_server() -> Iterator[str]:
    """Its recognizer takes no audio."""
    settings = {"max_backlog_seconds": 5.0, "upload_idle_seconds": 0.3, "drain_seconds": 0.0}
    with run_server({"fake": FakeEngine([Fault(times=None)])}, settings) as url:
        yield url


@pytest.mark.parametrize("kind", ["raw", "json"])
async def test_an_upload_too_far_ahead_of_the_recognizer(stuck_server: str, kind: str) -> None:
    async with connect(stuck_server) as http:
        session_id = await open_session(http)
        stored = 0
        while True:
            if kind == "raw":
                answer = await upload(http, session_id, PCM[:16_000], offset=stored)
            else:
                chunk = {"audio_data": encoded(PCM[:16_000]), "offset": stored}
                answer = await http.post(f"/sessions/{session_id}/audio", json=chunk)
            if answer.status_code != 200:
                break
            stored += 16_000
            assert stored <= 10 * len(PCM)
        assert problem_of(answer, 429, "backlog_full")["offset"] == stored
        assert int(answer.headers["Retry-After"]) > 0
        assert (await http.get(f"/sessions/{session_id}")).json()["offset"] == stored


@pytest.mark.parametrize("headers", [RAW, JSON], ids=["raw", "json"])
async def test_a_body_that_stops_arriving(stuck_server: str, headers: dict[str, str]) -> None:
    async with connect(stuck_server) as http:
        session_id = await open_session(http)
        url = httpx.URL(stuck_server)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = f"POST /sessions/{session_id}/audio HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        writer.write(f"{head}Content-Type: {headers['Content-Type']}\r\n\r\n{{ ".encode())
        assert (await reader.readline()).split()[1] == b"408"
        assert b'"code":"upload_timeout"' in await reader.readuntil(b"}")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("headers", [RAW, JSON], ids=["raw", "json"])
async def test_a_sender_that_breaks_off_leaves_no_trace_in_the_log(
    http: httpx.AsyncClient, fake_server: str, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    session_id = await open_session(http)
    url = httpx.URL(fake_server)
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST /sessions/{session_id}/audio HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
    writer.write(f"{head}Content-Type: {headers['Content-Type']}\r\n\r\n{{ ".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await finish(http, session_id)
    assert [each for each in caplog.records if each.name != "uvicorn.access"] == []
