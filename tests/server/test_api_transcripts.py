"""The API as a client sees it: ``DELETE /sessions/{id}``, the transcript, and the words of the real engine."""

import httpx
import pytest

from tests.support.api_uploads import PCM, as_json
from tests.support.fake_engine import CONFIDENCE, FakeEngine, Fault, silence, speech
from tests.support.servers import run_server, wav_of
from tests.support.wire import connect, finals, finish, open_session, read_to_end, stream, upload

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
