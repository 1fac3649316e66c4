"""Containers through the service, and what a browser itself records."""

import base64
import threading
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

import httpx
import pytest

from server.audio.containers.decoder import ContainerDecoder
from server.audio.formats import COMPRESSED_BYTES_PER_SECOND, seconds_ahead
from server.engines.base import SAMPLE_RATE
from server.errors import EngineError
from server.observe.metrics import Metrics
from server.session_log.base import SessionState
from server.session_log.memory import MemorySessionLog
from server.streaming_manager import StreamingSessionManager
from tests.support.browser import chromium, needs_chromium, playing
from tests.support.container_kinds import AUTO, KINDS, SLICE
from tests.support.fake_engine import FakeEngine, Fault, said, speech
from tests.support.recordings import FRAGMENTED, korean, recording
from tests.support.servers import KOREAN_WAV, run_server, settings_of, wav_of
from tests.support.wire import connect, finish, open_session, upload

# --- through the service --------------------------------------------------------------------------------------------


async def post_chunks(http: httpx.AsyncClient, session_id: str, chunks: Sequence[bytes]) -> dict[str, Any]:
    """As the original guide posts what a MediaRecorder gives: JSON without offsets. Returns the last answer."""
    answer: httpx.Response | None = None
    for number, chunk in enumerate(chunks):
        body = {"audio_data": base64.b64encode(chunk).decode(), "chunk_id": number}
        answer = await http.post(f"/sessions/{session_id}/audio", json=body)
        assert answer.status_code == 200, answer.text
    assert answer
    return dict(answer.json())


def chunks_of(upload: bytes, count: int = 15) -> list[bytes]:
    bounds = [len(upload) * part // count | 1 for part in range(count)]
    return [upload[a:b] for a, b in pairwise([0, *bounds[1:], len(upload)])]


@pytest.mark.parametrize("name", ["webm of a browser", "mp4 of a browser"])
async def test_what_a_browser_records_becomes_the_text_of_its_wav(korean_http: httpx.AsyncClient, name: str) -> None:
    texts = []
    for chunks in ([wav_of(korean())], chunks_of(KINDS[name]())):
        session_id = await open_session(korean_http)
        await post_chunks(korean_http, session_id, chunks)
        texts.append((await finish(korean_http, session_id))["text"])
    assert texts[0].startswith("그는")
    assert SequenceMatcher(None, *texts).ratio() > 0.85  # a codec may cost a syllable


WORDS: list[list[int]] = [[1, 2], [3], [4, 5, 6], [7], [8, 9], [10, 11], [12], [13, 14]]


@pytest.mark.parametrize("form", ["flac", "ogg", "matroska", "mp4"])
async def test_after_a_failure_no_word_of_a_compressed_upload_is_lost_or_doubled(form: str) -> None:
    faults = [Fault(EngineError("gone", retryable=True), at=at) for at in (1.3, 4.1, 6.6)]
    engine = FakeEngine(faults=faults)
    upload = recording("flac", form, SAMPLE_RATE, pcm=speech(*WORDS), muxer=FRAGMENTED if form == "mp4" else None)
    with run_server({"fake": engine}) as url:
        async with connect(url) as http:
            session_id = await open_session(http)
            await post_chunks(http, session_id, chunks_of(upload))
            transcript = await finish(http, session_id)
    assert [fault.met for fault in faults] == [1, 1, 1]
    assert [segment["text"] for segment in transcript["segments"]] == said(*WORDS)
    assert max(engine.opened) > 1, engine.opened


def ahead(state: SessionState) -> float:
    return seconds_ahead(state.config, state.head, state.offset, state.taken, state.recognized_seconds)


async def test_how_much_is_buffered_is_told_by_what_a_second_has_taken_so_far() -> None:
    log = MemorySessionLog()
    manager = StreamingSessionManager(log, {"fake": FakeEngine.capabilities}, settings_of(), Metrics())
    session_id = (await manager.open(AUTO)).session_id
    await manager.accept(session_id, KINDS["webm of a browser"]()[:20_000], 0)
    lease = await log.claim("me", {"fake"}, 0)
    assert lease
    assert ahead(await manager.state(session_id)) == 20_000 / COMPRESSED_BYTES_PER_SECOND
    await log.read_audio(lease, 12_000, recognized_seconds=3.0, limit=SLICE, wait=0)
    assert ahead(await manager.state(session_id)) == 2.0


async def test_compressed_audio_is_decoded_beside_the_event_loop(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()
    decode = ContainerDecoder.decode

    def watched(decoder: ContainerDecoder, data: bytes) -> bytes:
        threads.add(threading.current_thread().name)
        return decode(decoder, data)

    monkeypatch.setattr(ContainerDecoder, "decode", watched)
    session_id = await open_session(http)
    await post_chunks(http, session_id, chunks_of(KINDS["mp3"]()))
    await finish(http, session_id)
    assert threads and "server" not in threads


async def test_an_upload_that_cannot_be_decoded_ends_its_session_with_an_error(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    answer = await upload(http, session_id, KINDS["webm file"]()[:200])
    assert answer.status_code == 200
    transcript = await finish(http, session_id)
    assert transcript["reason"] == "undecodable_audio"


# --- in a browser ---------------------------------------------------------------------------------------------------


PAGE = """<!doctype html><script>
async function record(seconds) {
    const { session_id } = await (await fetch('/sessions', { method: 'POST' })).json();
    const tokens = [];
    const events = new EventSource(`/sessions/${session_id}/stream`);
    events.onmessage = (event) => { tokens.push(JSON.parse(event.data)); };
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    const recorder = new MediaRecorder(microphone);
    let posted = Promise.resolve();
    recorder.ondataavailable = ({ data }) => {
        posted = posted.then(async () => {
            const bytes = new Uint8Array(await data.arrayBuffer());
            const audio_data = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
            await fetch(`/sessions/${session_id}/audio`, {
                method: 'POST',
                headers: { 'Content-Type': 'application/json' },
                body: JSON.stringify({ audio_data }),
            });
        });
    };
    const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
    recorder.start(250);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    recorder.stop();
    await stopped;
    await posted;
    const transcript = await (await fetch(`/sessions/${session_id}`, { method: 'DELETE' })).json();
    return { mimeType: recorder.mimeType, text: transcript.text, duration: transcript.duration, events: tokens.length };
}
</script>"""


@pytest.mark.browser
@needs_chromium
def test_a_browser_s_own_recording_is_recognised(korean_server: str) -> None:
    with chromium(*playing(KOREAN_WAV)) as browser, browser.new_page() as page:
        page.route("**/recorder.html", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
        page.goto(f"{korean_server}/recorder.html")
        recorded = page.evaluate("record(4.5)")
    assert recorded["mimeType"].startswith("audio/webm")
    assert recorded["duration"] > 4
    assert "걸어갔다" in recorded["text"]
    assert recorded["events"] > 1
