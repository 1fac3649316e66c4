"""The event stream: what it says, replay, and that nothing is lost or said twice however the network behaves."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest

from tests.support.fake_engine import FakeEngine, said, silence, speech
from tests.support.servers import run_server, wav_of
from tests.support.wire import Event, connect, finals, finish, open_session, read_to_end, stream, upload

SENTENCES = ([1, 2, 3], [4, 5], [6])
SHORTEST_CUT = 400


@pytest.fixture
async def ended(http: httpx.AsyncClient) -> str:
    """A session that has said three sentences."""
    session_id = await open_session(http)
    await upload(http, session_id, speech(*SENTENCES))
    await finish(http, session_id)
    return session_id


# --- frames ---------------------------------------------------------------------------------------------------------


async def test_the_first_frame_comes_at_once_and_says_when_to_reconnect(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    async with http.stream("GET", f"/sessions/{session_id}/stream") as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 1000"
        assert '"status":"connected"' in await anext(lines)
        assert await anext(lines) == ""


async def test_a_stream_is_neither_cached_nor_buffered_nor_compressed(http: httpx.AsyncClient, ended: str) -> None:
    answer = await http.get(f"/sessions/{ended}/stream", headers={"Accept-Encoding": "gzip, deflate, br, zstd"})
    assert answer.headers["Content-Type"].partition(";")[0] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store, no-transform"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert "Content-Encoding" not in answer.headers


async def test_an_idle_stream_beats(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    async with stream(http, session_id) as events:
        beats = [await anext(events) for _ in range(3)]
    assert [(beat.type, beat.id) for beat in beats] == [("heartbeat", None)] * 3
    assert [beat.data for beat in beats] == [{"status": "connected"}, {"status": "alive"}, {"status": "alive"}]
    assert {beat.session_id for beat in beats} == {session_id}


async def test_a_stream_that_has_something_to_say_does_not_beat(http: httpx.AsyncClient, ended: str) -> None:
    async with stream(http, ended) as events:
        types = [event.type async for event in events]
    assert types[0] == "heartbeat"
    assert "heartbeat" not in types[1:]


async def test_events_tell_the_story_in_order(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    events: list[Event] = []
    async with stream(http, session_id) as live:
        told_live = (event async for event in live if event.type != "heartbeat")
        pcm = speech([1, 2])
        for piece, told in ((pcm[:12_000], 2), (pcm[12_000:20_000], 1), (pcm[20_000:], 2)):
            await upload(http, session_id, piece)
            events += [await anext(told_live) for _ in range(told)]
        await finish(http, session_id)
        events += [event async for event in told_live]
    assert [event.type for event in events] == [
        "speech_start",
        "token",
        "token",
        "speech_end",
        "final",
        "session_end",
    ]


async def test_a_final_has_every_field_of_the_contract(http: httpx.AsyncClient, ended: str) -> None:
    final = next(event for event in await read_to_end(http, ended) if event.type == "final")
    assert final.data == {
        "text": "말1 말2 말3",
        "confidence": 0.9,
        "is_partial": False,
        "start": 0.2,
        "end": 0.65,
        "words": [
            {"word": "말1", "start": 0.2, "end": 0.25, "confidence": 0.9},
            {"word": "말2", "start": 0.4, "end": 0.45, "confidence": 0.9},
            {"word": "말3", "start": 0.6, "end": 0.65, "confidence": 0.9},
        ],
        "language": "ko",
        "engine": "fake",
        "through": 0.8,
    }
    assert final.session_id == ended
    assert final.timestamp > 1_700_000_000


async def test_ids_grow_and_a_superseded_token_leaves_a_gap(http: httpx.AsyncClient, ended: str) -> None:
    events = await read_to_end(http, ended)
    ids = [event.id for event in events]
    assert all(later > earlier for earlier, later in zip(ids, ids[1:], strict=False))  # type: ignore[operator]
    assert "token" not in [event.type for event in events]
    # each sentence: start, its tokens, end, final
    assert ids == [1, 5, 6, 7, 10, 11, 12, 14, 15, 16]
    assert (events[-1].type, events[-1].data) == ("session_end", {"reason": "finished"})


async def test_the_token_of_an_unfinished_utterance_is_replayed(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, speech([1]) + speech([2, 3])[:22_000])

    async def newest_token() -> str:
        async with stream(http, session_id) as events:
            async for event in events:
                if event.type == "token" and event.data["text"] == "말2 말3":
                    return str(event.data["is_partial"])
        raise AssertionError("the stream ended")

    assert [await newest_token() for _ in range(2)] == ["True", "True"]


async def test_a_session_without_interim_results_has_no_tokens(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http, interim_results=False)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read_to_end(http, session_id))
        for start in range(0, 32_000, 4_000):
            await upload(http, session_id, speech([1, 2])[start : start + 4_000])
        await finish(http, session_id)
    assert [event.type for event in reading.result()] == ["speech_start", "speech_end", "final", "session_end"]


# --- replay ---------------------------------------------------------------------------------------------------------


async def test_a_stream_is_replayed_from_the_last_event_seen(http: httpx.AsyncClient, ended: str) -> None:
    events = await read_to_end(http, ended)
    for place, event in enumerate(events[:-1]):
        assert await read_to_end(http, ended, event.id) == events[place + 1 :]
    in_query = await http.get(f"/sessions/{ended}/stream", params={"last_event_id": events[-2].id})
    assert in_query.text.count("\nid: ") == 1
    assert '"session_end"' in in_query.text


async def test_the_header_wins_over_the_query(http: httpx.AsyncClient, ended: str) -> None:
    path = f"/sessions/{ended}/stream"
    early, late = 1, (await read_to_end(http, ended))[-2].id
    by_header = await http.get(path, params={"last_event_id": early}, headers={"Last-Event-ID": str(late)})
    assert by_header.text.count("\nid: ") == 1
    by_header = await http.get(path, params={"last_event_id": late}, headers={"Last-Event-ID": str(early)})
    assert by_header.text.count("\nid: ") > 1


async def test_who_has_seen_the_end_gets_204(http: httpx.AsyncClient, ended: str) -> None:
    last = (await read_to_end(http, ended))[-1].id
    answer = await http.get(f"/sessions/{ended}/stream", headers={"Last-Event-ID": str(last)})
    assert (answer.status_code, answer.content) == (204, b"")


async def test_who_has_seen_everything_of_an_open_session_waits_for_more(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, speech([1]))
    async with stream(http, session_id) as events:
        seen = [event.id async for event in _until_final(events)][-1]
    async with stream(http, session_id, seen) as events:
        await upload(http, session_id, speech([2]))
        assert [event.data["text"] async for event in _until_final(events) if event.type == "final"] == ["말2"]


async def _until_final(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    async for event in events:
        if event.type != "heartbeat":
            yield event
        if event.type == "final":
            return


async def test_two_viewers_see_the_same(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    async with asyncio.TaskGroup() as tasks:
        readings = [tasks.create_task(read_to_end(http, session_id)) for _ in range(2)]
        for start in range(0, 96_000, 3_000):
            await upload(http, session_id, speech(*SENTENCES)[start : start + 3_000])
        await finish(http, session_id)
    first, second = (
        [event for event in reading.result() if event.type not in ("token", "heartbeat")] for reading in readings
    )
    assert first == second
    assert finals(first) == said(*SENTENCES)


# --- readers that do not read ---------------------------------------------------------------------------------------


@pytest.fixture
def talkative_server() -> Iterator[str]:
    """Each word is so long that a hundred fill every buffer between the server and a reader."""
    engine = FakeEngine(say=lambda number: f"{number}" + "가" * 20_000)
    with run_server({"fake": engine}, {"send_timeout_seconds": 1.0, "max_backlog_seconds": 60.0}) as url:
        yield url


def stalled_reader(url: str, session_id: str) -> socket.socket:
    """Asks for the stream and takes nothing of it."""
    address = httpx.URL(url)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    reader.connect((address.host, address.port))
    reader.sendall(f"GET /sessions/{session_id}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return reader


async def test_a_reader_that_never_reads_slows_nobody_and_is_cut_off(
    talkative_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(talkative_server) as http:
        session_id = await open_session(http)
        with stalled_reader(talkative_server, session_id) as stalled:
            await viewers(http, lambda count: count == 1)
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(read_to_end(http, session_id))
                await upload(http, session_id, speech(*([number] for number in range(1, 101)), seconds=0.1))
                assert len((await finish(http, session_id))["segments"]) == 100
            assert len(finals(reading.result())) == 100
            await viewers(http, lambda count: count == 0)
            assert b"session_end" not in await asyncio.to_thread(rest_of, stalled)
    told = [each for each in caplog.records if each.name != "uvicorn.access"]
    assert not told, "a reader that goes away is no error"


async def viewers(http: httpx.AsyncClient, expected: Callable[[float], bool]) -> None:
    """Return once the number of open streams is as expected."""
    async with asyncio.timeout(10):
        while True:
            lines = (await http.get("/metrics")).text.splitlines()
            if expected(float(next(line for line in lines if line.startswith("stt_viewers ")).split()[1])):
                return


def rest_of(connection: socket.socket) -> bytes:
    """What was still on its way when the other side went."""
    received = b""
    connection.settimeout(10)
    try:
        while piece := connection.recv(65_536):
            received += piece
    except ConnectionResetError:
        pass
    return received


async def test_a_viewer_that_goes_away_is_no_viewer_any_more(http: httpx.AsyncClient) -> None:
    session_id = await open_session(http)
    async with stream(http, session_id) as events:
        await anext(events)
        await viewers(http, lambda count: count == 1)
    await viewers(http, lambda count: count == 0)


# --- a bad network --------------------------------------------------------------------------------------------------


def random_cuts(audio: bytes, chance: random.Random) -> Iterator[tuple[int, int]]:
    """Pieces of ``audio``, some of them begun again earlier, one skipped ahead now and then."""
    start = 0
    while start < len(audio):
        end = min(len(audio), start + chance.randint(SHORTEST_CUT, max(SHORTEST_CUT, len(audio) // 8)))
        if chance.random() < 0.2:
            yield min(len(audio), end + chance.randint(1, 10_000)), len(audio)  # perhaps too early
        yield start, end
        if chance.random() < 0.3:
            yield chance.randint(0, start), end  # whose answer was lost
        start = end


async def upload_badly(http: httpx.AsyncClient, session_id: str, audio: bytes, chance: random.Random) -> None:
    for start, end in random_cuts(audio, chance):
        if start == end:
            continue
        answer = await upload(http, session_id, audio[start:end], offset=start)
        if answer.status_code == 409:
            assert answer.json()["offset"] < start
        else:
            assert answer.status_code == 200
            assert answer.json()["offset"] >= end


async def read_badly(http: httpx.AsyncClient, session_id: str, cuts: int, chance: random.Random) -> list[Event]:
    """All events, from a stream that breaks ``cuts`` times."""
    seen: list[Event] = []
    for _ in range(cuts):
        last = max((event.id or 0 for event in seen), default=None)
        async with stream(http, session_id, last) as events:
            wanted = chance.randint(0, 2)
            async for event in events:
                if event.type != "heartbeat":
                    seen.append(event)
                    wanted -= 1
                if wanted < 0 or event.type == "heartbeat" and wanted == 0:
                    break
        if seen and seen[-1].type == "session_end":
            return seen
    return seen + await read_to_end(http, session_id, max((event.id or 0 for event in seen), default=None))


async def over_a_bad_network(url: str, audio: bytes, seed: int) -> list[Event]:
    """The events of ``audio`` sent over two connections at once and read over one that breaks ten times."""
    chance = random.Random(seed)
    async with connect(url) as http, connect(url) as other:
        session_id = await open_session(http)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(read_badly(http, session_id, 10, random.Random(seed + 1)))
            async with asyncio.TaskGroup() as uploads:
                uploads.create_task(upload_badly(http, session_id, audio, chance))
                uploads.create_task(upload_badly(other, session_id, audio, random.Random(seed + 2)))
            transcript = await finish(http, session_id)
        events = reading.result()
        assert [segment["text"] for segment in transcript["segments"]] == finals(events)
        assert events[-1].type == "session_end"
        assert len({event.id for event in events}) == len(events)
        return events


@pytest.mark.parametrize("seed", range(12))
async def test_every_word_comes_once_over_a_bad_network(fake_server: str, seed: int) -> None:
    sentences = [[10 * number, 10 * number + 1] for number in range(1, 21)]
    audio = speech(*sentences, seconds=0.5) + silence(0.5)
    assert finals(await over_a_bad_network(fake_server, audio, seed)) == said(*sentences)


async def test_korean_comes_out_the_same_over_a_bad_network(korean_server: str, korean_pcm: bytes) -> None:
    audio = wav_of(korean_pcm)
    async with connect(korean_server) as http:
        session_id = await open_session(http)
        await upload(http, session_id, audio)
        expected = [segment["text"] for segment in (await finish(http, session_id))["segments"]]
    assert expected
    for seed in range(2):
        assert finals(await over_a_bad_network(korean_server, audio, seed)) == expected
