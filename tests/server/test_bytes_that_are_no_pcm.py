"""Bytes that are no PCM are named: in the answer where they say so at once, else as an event of the session."""

import base64
import gzip
import io
import json
import random
import zipfile

import httpx
import numpy as np
import pytest

from server.audio.decoder import PROBES, AudioDecoder
from server.audio.suspicion import doubtful
from server.errors import AudioError
from server.session_log.base import Checkpoint
from tests.support.api_uploads import PCM
from tests.support.bad_requests import problem_of
from tests.support.container_kinds import AUTO, KINDS
from tests.support.recordings import korean
from tests.support.servers import wav_of
from tests.support.wire import finish, open_session, read_to_end, upload


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("talk.wav", wav_of(korean()))
    return file.getvalue()


NAMED = {
    "HTML": b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>" + b"<p>away</p>" * 40,
    "JSON": json.dumps({"audio": "x" * 300}).encode(),
    "base64": base64.b64encode(wav_of(korean())),
    "data URL": b"data:audio/wav;base64," + base64.b64encode(wav_of(korean())),
    "multipart": b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + b"a" * 300,
    "text": "그는 걸어갔다. ".encode() * 40,
    "XML": b'<?xml version="1.0"?><svg>' + b"<g/>" * 80,
    "M3U": b"#EXTM3U\n" + b"http://example.org/talk.ts\n" * 20,
    "ZIP": zipped(),
    "gzip": gzip.compress(wav_of(korean()), mtime=0),
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(300),
    "PDF": b"%PDF-1.7\n" + b"\xff\xfe\xfd" * 100,
    "MIDI": b"MThd\0\0\0\6\0\1" + bytes(300),
}


@pytest.mark.parametrize(("name", "data"), NAMED.items(), ids=NAMED)
async def test_what_is_no_audio_is_refused_by_its_name(http: httpx.AsyncClient, name: str, data: bytes) -> None:
    session_id = await open_session(http)
    chunk = {"audio_data": base64.b64encode(data).decode()}
    for answer in (await upload(http, session_id, data), await http.post(f"/sessions/{session_id}/audio", json=chunk)):
        detail = problem_of(answer, 415, "unsupported_media_type")["detail"]
        assert name in detail
        assert "Send the bytes of an audio or video file" in detail
    assert (await upload(http, session_id, PCM)).status_code == 200  # the session takes what is audio


@pytest.mark.parametrize(("name", "data"), NAMED.items(), ids=NAMED)
def test_what_is_no_audio_is_named_where_it_came_in_small_pieces(name: str, data: bytes) -> None:
    decoder = AudioDecoder(AUTO, Checkpoint())
    with pytest.raises(AudioError, match=name):
        for start in range(0, len(data), 7):
            assert not decoder.decode(data[start : start + 7])
        decoder.flush()


@pytest.mark.parametrize("declared", ["audio/webm", "audio/ogg;codecs=opus", "video/mp4", "audio/x-m4a", "audio/flac"])
async def test_a_declared_container_that_is_not_there_is_told(http: httpx.AsyncClient, declared: str) -> None:
    session_id = await open_session(http)
    url, headers = f"/sessions/{session_id}/audio", {"Content-Type": declared}
    answer = await http.post(url, content=korean()[:20_000], headers=headers)
    assert declared.partition(";")[0] in problem_of(answer, 415, "unsupported_media_type")["detail"]
    webm = KINDS["webm of a browser"]()  # another one than declared is taken as what it is
    for piece in (webm[:9_000], webm[9_000:]):  # the second has no beginning, and needs none
        assert (await http.post(url, content=piece, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("name", "cut"),
    [("webm of a browser", 6_500), ("ogg opus in short pages", 5_000), ("mp4 of a browser", 5_001)],
)
def test_a_recording_without_its_beginning_says_so(name: str, cut: int) -> None:
    decoder = AudioDecoder(AUTO, Checkpoint())
    upload = KINDS[name]()[cut:]
    with pytest.raises(AudioError, match="begins in the middle"):
        for start in range(0, len(upload), 1_000):
            decoder.decode(upload[start : start + 1_000])
        decoder.flush()


def test_frames_that_begin_in_the_middle_of_one_are_decoded() -> None:
    for frames in (KINDS["mp3 without a tag"]()[333:], KINDS["adts"]()[333:]):
        decoder = AudioDecoder(AUTO, Checkpoint())
        pcm = decoder.decode(frames) + decoder.flush()
        assert len(pcm) == pytest.approx(len(korean()), rel=0.1)


def test_speech_at_any_place_is_samples_most_often_at_once_and_always_soon() -> None:
    places, at_once = random.Random(1), 0
    for _ in range(300):
        start = places.randrange(0, len(korean()) - PROBES[-1]) // 2 * 2
        pcm = korean()[start : start + PROBES[-1]]
        at_once += AudioDecoder(AUTO, Checkpoint()).decode(pcm[:1_024]) == pcm[:1_024]
        assert AudioDecoder(AUTO, Checkpoint()).decode(pcm) == pcm
    assert at_once > 255


# --- samples that cannot be speech ----------------------------------------------------------------------------------


NOISE = np.random.default_rng(1).integers(-32_768, 32_767, 16_000 * 8).astype("<i2").tobytes()
LOUD = (np.frombuffer(korean()[16_000:] * 4, "<i2").astype(int) * 2).clip(-32_768, 32_767).astype("<i2")
DOUBTFUL = {
    "white noise": NOISE,
    "one value": b"\x10\x27" * 16_000 * 31,
    "other order": LOUD.byteswap().tobytes(),
    "floating point": (LOUD / 32_768).astype("<f4").tobytes(),
}


@pytest.mark.parametrize(("said", "pcm"), DOUBTFUL.items(), ids=DOUBTFUL)
def test_samples_that_cannot_be_speech_are_doubted_once(said: str, pcm: bytes) -> None:
    decoder = AudioDecoder(AUTO, Checkpoint())
    found = []
    for start in range(0, len(pcm), 6_000):
        decoder.decode(pcm[start : start + 6_000])
        found += decoder.findings()
    (finding,) = found
    assert finding.code == "audio_suspicious"
    assert said in finding.message
    assert "Is it 16-bit little-endian PCM at 16000 Hz" in finding.message


async def test_a_doubt_is_told_in_the_stream_and_noted(korean_http: httpx.AsyncClient) -> None:
    session_id = await open_session(korean_http)
    await upload(korean_http, session_id, NOISE)
    assert (await finish(korean_http, session_id))["reason"] == "finished"
    (error,) = [event for event in await read_to_end(korean_http, session_id) if event.type == "error"]
    assert (error.data["code"], error.data["recoverable"]) == ("audio_suspicious", True)
    assert (await korean_http.get(f"/sessions/{session_id}")).json()["notes"] == [error.data["message"]]


def test_speech_is_not_doubted() -> None:
    pcm = korean()
    for start in range(0, len(pcm) - 32_000, 8_000):
        assert doubtful(pcm[start : start + 32_000]) == ""


async def test_a_session_without_doubts_has_no_notes(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, PCM)
    await finish(http, session_id)
    assert (await http.get(f"/sessions/{session_id}")).json()["notes"] == []
