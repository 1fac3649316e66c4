"""A log that does not answer for a moment ends neither half, no session, and costs no word."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from server import streaming_manager, stt_service
from server.recognition import session
from tests.support.fake_engine import FakeEngine, said, speech
from tests.support.servers import run_server
from tests.support.unsteady_log import UnsteadyLog
from tests.support.wire import connect, finals, finish, open_session, read_to_end, stream, upload

pytestmark = pytest.mark.timeout(60)
SENTENCES = ([1, 2], [3], [4, 5])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "FIRST_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(stt_service, "LOG_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(streaming_manager, "SWEEP_SECONDS", 0.02)


@pytest.fixture
def log() -> UnsteadyLog:
    return UnsteadyLog(lease_seconds=0.3)


@pytest.fixture
def url(log: UnsteadyLog) -> Iterator[str]:
    with run_server({"fake": FakeEngine()}, {"heartbeat_seconds": 0.05, "lease_seconds": 0.3}, log) as url:
        yield url


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(url) as client:
        yield client


async def until_taken(answer_of: object) -> None:
    """Ask again until the log takes it, as a client does."""
    while True:
        answer = await answer_of()  # type: ignore[operator]
        if answer.status_code != 503:
            assert answer.status_code < 300, answer.text
            return
        assert answer.json()["code"] == "log_unavailable"


@pytest.mark.parametrize("share", [0.2, 0.5])
async def test_no_word_is_lost_or_doubled_while_the_log_stutters(
    http: httpx.AsyncClient, log: UnsteadyLog, share: float
) -> None:
    session_id = await open_session(http)
    log.share = share
    pcm = speech(*SENTENCES)
    for start in range(0, len(pcm), 8_000):
        await until_taken(lambda start=start: upload(http, session_id, pcm[start : start + 8_000], start))
    log.share = 0.0
    transcript = await finish(http, session_id)
    assert [segment["text"] for segment in transcript["segments"]] == said(*SENTENCES)
    assert log.refused
    assert finals(await read_to_end(http, session_id)) == said(*SENTENCES)


async def test_an_upload_is_refused_with_a_time_to_come_back_and_nothing_is_stored(
    http: httpx.AsyncClient, log: UnsteadyLog
) -> None:
    session_id = await open_session(http)
    log.away = True
    answer = await upload(http, session_id, speech([1]), 0)
    assert (answer.status_code, answer.json()["code"]) == (503, "log_unavailable")
    assert answer.headers["Retry-After"]
    log.away = False
    assert (await http.get(f"/sessions/{session_id}")).json()["offset"] == 0


async def test_a_reader_stays_connected_hears_the_heartbeat_and_then_the_rest(
    http: httpx.AsyncClient, log: UnsteadyLog
) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, speech([1]))
    async with stream(http, session_id) as events:
        while (await anext(events)).type != "final":
            pass
        log.away = True
        beats = [await anext(events) for _ in range(3)]
        log.away = False
        await upload(http, session_id, speech([2]))
        while (event := await anext(events)).type != "final":
            pass
    assert {beat.type for beat in beats} == {"heartbeat"}
    assert event.data["text"] == "말2"


async def test_both_halves_go_on_after_an_outage_that_outlasts_the_leases(
    http: httpx.AsyncClient, log: UnsteadyLog
) -> None:
    session_id = await open_session(http)
    await upload(http, session_id, speech([1]))
    log.away = True
    refused = log.refused
    async with asyncio.timeout(10):
        while log.refused < refused + 100:
            await http.get("/health")
    log.away = False
    await upload(http, session_id, speech([2]))
    assert (await finish(http, session_id))["text"] == "말1 말2"
    other = await open_session(http)
    await upload(http, other, speech([3]))
    assert (await finish(http, other))["text"] == "말3"
