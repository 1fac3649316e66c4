"""Requests as browsers, shells and phones make them."""

import base64

import httpx
import pytest

from tests.support.api_uploads import PCM, SENTENCES, as_json
from tests.support.bad_requests import fields_of, problem_of
from tests.support.fake_engine import said
from tests.support.servers import wav_of
from tests.support.wire import finish, open_session

TEXT = " ".join(said(*SENTENCES))


@pytest.mark.parametrize("path", ["/", "/health", "/info", "/metrics", "/usage", "/docs", "/openapi.json"])
async def test_head_answers_what_get_does_without_a_body(http: httpx.AsyncClient, path: str) -> None:
    asked, got = await http.head(path), await http.get(path)
    assert (asked.status_code, asked.content) == (got.status_code, b"")
    assert asked.headers["Content-Type"] == got.headers["Content-Type"]


async def test_head_of_a_session_and_of_its_stream_comes_at_once(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    for path in ("", "/transcript", "/stream"):
        answer = await http.head(f"/sessions/{session_id}{path}")
        assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert (await http.head("/sessions/sess_unknown/stream")).status_code == 404


async def test_a_slash_at_the_end_means_the_same_route(http: httpx.AsyncClient) -> None:
    answer = await http.post("/sessions/", json={"config": {"language": "ko"}})
    assert answer.status_code == 201
    session_id = answer.json()["session_id"]
    assert (await http.post(f"/sessions/{session_id}/audio/", json=as_json(PCM))).status_code == 200
    assert (await http.post(f"/sessions/{session_id}/flush/")).status_code == 202
    assert (await http.get(f"/sessions/{session_id}/")).json()["offset"] == len(PCM)
    assert (await http.get("/health/")).status_code == 200
    assert (await http.delete(f"/sessions/{session_id}/")).json()["text"] == TEXT


WRITTEN = {
    "plain": base64.b64encode(PCM).decode(),
    "data URL": "data:audio/pcm;rate=16000;base64," + base64.b64encode(PCM).decode(),
    "line breaks": base64.encodebytes(PCM).decode(),
    "URL-safe": base64.urlsafe_b64encode(PCM).decode(),
    "no padding": base64.b64encode(PCM).decode().rstrip("="),
    "URL-safe without padding, in a data URL": "data:;base64," + base64.urlsafe_b64encode(PCM).decode().rstrip("="),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
async def test_base64_is_read_however_it_is_written(http: httpx.AsyncClient, written: str) -> None:
    session_id = await open_session(http)
    answer = await http.post(f"/sessions/{session_id}/audio", json={"audio_data": written})
    assert (answer.status_code, answer.json()["received_bytes"]) == (200, len(PCM))
    assert (await finish(http, session_id))["text"] == TEXT


async def test_an_empty_piece_is_nothing(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    url = f"/sessions/{session_id}/audio"
    raw = {"Content-Type": "audio/webm"}
    for answer in (await http.post(url, json={"audio_data": ""}), await http.post(url, content=b"", headers=raw)):
        assert (answer.status_code, answer.json()["received_bytes"], answer.json()["offset"]) == (200, 0, 0)


async def test_a_form_with_a_file_is_taken(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    wav = wav_of(PCM)
    file, field = {"file": ("talk.wav", wav, "audio/wav")}, {"model": "none of ours"}
    answer = await http.post(f"/sessions/{session_id}/audio", files=file, data=field)
    assert (answer.status_code, answer.json()["received_bytes"]) == (200, len(wav))
    assert (await finish(http, session_id))["text"] == TEXT


async def test_a_form_without_a_file_or_with_two_is_refused(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    url = f"/sessions/{session_id}/audio"
    nothing = {"Content-Type": "multipart/form-data; boundary=x"}
    field = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc\r\n--x--\r\n'
    assert fields_of(await http.post(url, content=field, headers=nothing)) == ["body"]
    assert fields_of(await http.post(url, content=b"not such a form", headers=nothing)) == ["body"]
    two = [("file", ("a.wav", wav_of(PCM))), ("file", ("b.wav", wav_of(PCM)))]
    assert fields_of(await http.post(url, files=two)) == ["body"]
    answer = await http.post(url, content=field, headers={"Content-Type": "multipart/form-data"})
    problem_of(answer, 415, "unsupported_media_type")
