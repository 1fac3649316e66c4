"""The API as a client sees it: ``POST /sessions/{id}/audio``."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.api_uploads import PCM, SENTENCES, as_json
from tests.support.fake_engine import FakeEngine, said, speech
from tests.support.servers import run_server, wav_of
from tests.support.wire import connect, finish, open_session, stream, upload


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
        "audio/pcm",
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
