"""How many sessions a server takes, and what it says to the one that is too many."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from server.engines.base import Capabilities
from server.engines.local.engine import LocalEngine
from server.engines.local.recognizer_pool import RecognizerPool
from server.errors import EngineError
from tests.support.engine_settings import local_engine as made_with
from tests.support.engine_settings import local_settings
from tests.support.fake_engine import FakeEngine, Fault, said, speech
from tests.support.local_engine import SharedEngine, load_local_engine
from tests.support.servers import run_server
from tests.support.wire import connect, finals, finish, open_session, read_to_end, stream, upload


@pytest.fixture(scope="session")
def engine() -> SharedEngine:
    return load_local_engine()


@pytest.fixture
def local_engine(engine: SharedEngine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LocalEngine]:
    """Makes embedded engines that find their models loaded, and a second of speech costs ``cost`` seconds of CPU."""

    def make(cost: float = 0.3, **settings: Any) -> LocalEngine:
        monkeypatch.setattr(LocalEngine, "_load", lambda _: engine.models)
        monkeypatch.setattr(LocalEngine, "_cost", lambda _: cost)
        return made_with(**{"vosk_pool": 1} | settings)

    return make


def fake(most: int | None, *languages: str, faults: list[Fault] | None = None) -> FakeEngine:
    capabilities = Capabilities(languages=frozenset(languages or ("ko", "en")), max_sessions=most)
    return FakeEngine(capabilities=capabilities, faults=faults or [])


async def engine_of(http: httpx.AsyncClient, **config: Any) -> str:
    """The engine that a new session gets; ``refused`` if none has room."""
    answer = await http.post("/sessions", json={"config": config})
    if answer.status_code == 429:
        assert answer.json()["code"] == "too_many_sessions"
        assert int(answer.headers["Retry-After"]) > 0
        return "refused"
    assert answer.status_code == 201, answer.text
    return str(answer.json()["engine"])


# --- the embedded engine --------------------------------------------------------------------------------------------


def test_the_embedded_engine_measures_what_it_can_carry(engine: SharedEngine) -> None:
    most = engine.capabilities.max_sessions
    assert most is not None
    assert most >= 1
    assert engine.measured["max_sessions"] == most


@pytest.mark.parametrize(
    ("cost", "threads", "most"), [(0.14, 2, 6), (0.29, 2, 3), (0.29, 8, 12), (0.4, 1, 1), (3.0, 1, 1)]
)
async def test_the_dearer_speech_is_the_fewer_sessions_there_are(
    local_engine: Callable[..., LocalEngine], cost: float, threads: int, most: int
) -> None:
    local = local_engine(cost, recognition_threads=threads)
    await local.prewarm()
    assert local.capabilities.max_sessions == local.status()["max_sessions"] == most
    await local.aclose()


async def test_who_runs_the_server_may_know_better(
    local_engine: Callable[..., LocalEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STT_LOCAL_SESSIONS", "7")
    local = local_engine(cost=3.0, local_sessions=local_settings().local_sessions)
    await local.prewarm()
    assert local.capabilities.max_sessions == 7
    await local.aclose()


@pytest.mark.parametrize(("wanted", "kept"), [(0, 6), (2, 2)])
async def test_there_is_a_warm_recognizer_for_each_session_that_the_machine_carries(
    local_engine: Callable[..., LocalEngine], monkeypatch: pytest.MonkeyPatch, wanted: int, kept: int
) -> None:
    counts: list[int] = []
    monkeypatch.setattr(RecognizerPool, "keep", lambda _, count: counts.append(count))
    local = local_engine(cost=0.14, recognition_threads=2, vosk_pool=wanted, local_sessions=1000)
    await local.prewarm()
    assert counts == [kept]
    await local.aclose()


async def test_a_session_too_many_is_refused_and_does_not_disturb_the_others(
    local_engine: Callable[..., LocalEngine], korean_pcm: bytes
) -> None:
    with run_server({"local": local_engine(local_sessions=1)}) as url:
        async with connect(url) as http:
            first = await open_session(http, language="ko")
            await upload(http, first, korean_pcm[: len(korean_pcm) // 4 * 2])
            answer = await http.post("/sessions")
            assert answer.status_code == 429
            assert answer.json()["code"] == "too_many_sessions"
            assert int(answer.headers["Retry-After"]) > 0
            await upload(http, first, korean_pcm[len(korean_pcm) // 4 * 2 :])
            transcript = await finish(http, first)
            assert transcript["text"].endswith("걸어갔다.")
            assert finals(await read_to_end(http, first)) == [transcript["text"]]
            assert await engine_of(http) == "local"
            assert await engine_of(http) == "refused"
            metrics = (await http.get("/metrics")).text
    assert any("too_many_sessions" in line and line.endswith(" 2.0") for line in metrics.splitlines())


# --- a chain of engines ---------------------------------------------------------------------------------------------


async def test_auto_takes_the_next_engine_of_the_chain_when_the_first_is_full() -> None:
    with run_server({"one": fake(2), "two": fake(1)}) as url:
        async with connect(url) as http:
            assert [await engine_of(http) for _ in range(4)] == ["one", "one", "two", "refused"]


async def test_an_engine_that_the_client_names_is_the_only_one() -> None:
    with run_server({"one": fake(1), "two": fake(None)}) as url:
        async with connect(url) as http:
            assert [await engine_of(http, engine="one") for _ in range(2)] == ["one", "refused"]
            assert await engine_of(http, engine="two") == "two"


async def test_only_an_engine_that_can_do_what_is_asked_is_next() -> None:
    with run_server({"one": fake(1, "ko", "en"), "two": fake(None, "ko")}) as url:
        async with connect(url) as http:
            assert await engine_of(http, language="en") == "one"
            assert await engine_of(http, language="en") == "refused"
            assert await engine_of(http, language="ko") == "two"


async def test_an_engine_without_a_bound_takes_all_that_the_server_does() -> None:
    with run_server({"one": fake(None)}, {"max_sessions": 3}) as url:
        async with connect(url) as http:
            assert [await engine_of(http) for _ in range(4)] == ["one", "one", "one", "refused"]


@pytest.mark.parametrize("purge", [False, True])
async def test_a_session_that_has_ended_or_was_erased_leaves_its_place(purge: bool) -> None:
    with run_server({"one": fake(1), "two": fake(1)}) as url:
        async with connect(url) as http:
            first = await open_session(http)
            assert await engine_of(http) == "two"
            answer = await http.delete(f"/sessions/{first}", params={"purge": purge})
            assert answer.is_success
            assert [await engine_of(http), await engine_of(http)] == ["one", "refused"]


async def test_a_session_is_counted_with_the_engine_that_recognises_it_now() -> None:
    broken = Fault(EngineError("no", retryable=False), where="open")
    with run_server({"one": fake(1, faults=[broken]), "two": fake(1)}) as url:
        async with connect(url) as http:
            moved = await open_session(http)
            async with stream(http, moved) as events:
                async for event in events:
                    if event.type == "error":
                        assert event.data["code"] == "engine_failover"
                        break
            assert [await engine_of(http), await engine_of(http)] == ["one", "refused"]
            await upload(http, moved, speech([1, 2]))
            assert (await finish(http, moved))["text"] == said([1, 2])[0]
