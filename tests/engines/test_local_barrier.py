"""One session's recognizer hangs or fails in each call; the sessions beside it do not notice."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from server.engines.base import BYTES_PER_SECOND
from server.engines.local import workers as workers_module
from server.engines.local.recognizer_pool import Lent
from server.engines.local.vosk import REQUIRED, Vosk, VoskUtterance
from server.engines.local.workers import AUDIO_JOB_SECONDS, MOST_HUNG, Priority, Workers
from server.errors import EngineError
from server.models import Final, Interim, SessionConfig
from tests.support.engine_settings import local_engine, local_settings
from tests.support.local_engine import STEP_BYTES, SharedEngine, collected, finals, load_local_engine, recognise

POISON = "poison"
THREADS = 2
TRIES = 4
"""A session tries so often before it gives up."""


@pytest.fixture(scope="session")
def shared() -> SharedEngine:
    return load_local_engine()


@pytest.fixture
def engine(shared: SharedEngine) -> Iterator[SharedEngine]:
    """With threads of its own, some of which will hang."""
    own = replace(shared, workers=Workers(THREADS))
    yield own
    own.workers.close()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Kaldi hangs in each call of the sessions that ask for ``POISON``, until the end of the test."""
    let_go = threading.Event()
    accept = VoskUtterance.accept

    def hang(self: VoskUtterance, pcm: bytes) -> Interim | None:
        if POISON in self._keywords:
            let_go.wait()
        return accept(self, pcm)

    monkeypatch.setattr(VoskUtterance, "accept", hang)
    yield let_go
    let_go.set()


async def hang_again_and_again(engine: SharedEngine, pcm: bytes) -> None:
    """As a session does: a recognizer that takes no audio is given up and another opened."""
    for _ in range(TRIES):
        async with engine.open(SessionConfig(keywords=[POISON]), 0.0) as recognizer:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await recognizer.send_audio(pcm)


async def latest_answer(engine: SharedEngine, pcm: bytes, stop: asyncio.Event) -> float:
    """The longest time that a piece of audio has waited, in seconds."""
    longest = 0.0
    async with engine.open(SessionConfig(two_pass=False), 0.0) as recognizer, asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(collected(recognizer))
        while not stop.is_set():
            began = time.monotonic()
            await recognizer.send_audio(pcm)
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.1)
        await recognizer.finish()
        await reading
    return longest


async def test_ten_sessions_are_not_late_beside_one_that_hangs(
    engine: SharedEngine, hanging: threading.Event, korean_pcm: bytes
) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        beside = [tasks.create_task(latest_answer(engine, bytes(STEP_BYTES), stop)) for _ in range(10)]
        await hang_again_and_again(engine, korean_pcm)
        assert 1 <= engine.workers.hung() <= TRIES
        assert engine.workers.able()
        (final,) = finals(await recognise(engine, korean_pcm))
        stop.set()
    assert final.text
    assert max(each.result() for each in beside) < AUDIO_JOB_SECONDS + 1.0
    hanging.set()
    engine.workers.close()
    assert engine.workers.hung() == 0


async def test_an_engine_whose_threads_have_all_hung_is_not_ready(
    shared: SharedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "AUDIO_JOB_SECONDS", 0.02)
    engine = local_engine(recognition_threads=1)
    engine._models = shared.models
    assert engine.status()["ready"] and engine.status()["hung_threads"] == 0
    let_go = threading.Event()
    for _ in range(MOST_HUNG + 1):
        began = threading.Event()
        engine._workers.submit(Priority.AUDIO, lambda began=began: began.set() or let_go.wait())  # type: ignore[misc]
        assert await asyncio.to_thread(began.wait, 10.0)
    assert (engine.status()["ready"], engine.status()["hung_threads"]) == (False, MOST_HUNG)
    let_go.set()
    await engine.aclose()
    assert engine.status()["hung_threads"] == 0


async def test_a_retry_never_gets_the_recognizer_that_raised(
    engine: SharedEngine, korean_pcm: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Lent] = []
    feed = Lent.feed

    def fail_once(self: Lent, pcm: bytes) -> None:
        used.append(self)
        if len(used) == 3:
            monkeypatch.setattr(self, "kaldi", None)
        feed(self, pcm)

    monkeypatch.setattr(Lent, "feed", fail_once)
    with pytest.raises(ExceptionGroup) as caught:
        await recognise(engine, korean_pcm)
    assert caught.group_contains(EngineError, match="AttributeError")
    broken = used[-1]
    used[:] = [broken] * 3
    (final,) = finals(await recognise(engine, korean_pcm))
    assert final.text
    assert broken not in used[3:]


async def test_what_was_said_before_a_failure_is_read_before_it_is_raised(
    engine: SharedEngine, korean_pcm: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = bytes(2 * BYTES_PER_SECOND)
    seen: list[Final] = []
    async with engine.open(SessionConfig(), 0.0) as recognizer, asyncio.TaskGroup() as tasks:

        async def read() -> None:
            with pytest.raises(EngineError):
                async for each in recognizer:
                    if isinstance(each, Final):
                        seen.append(each)

        await recognizer.send_audio(korean_pcm + gap)
        monkeypatch.setattr(recognizer._endpointer, "push", None)
        tasks.create_task(read())
        for call in (recognizer.send_audio(gap), recognizer.flush(), recognizer.finish()):
            with pytest.raises(EngineError):
                await call
    assert [each.text for each in seen if each.text] == [
        each.text for each in finals(await recognise(engine, korean_pcm + gap))
    ]


def test_a_damaged_vosk_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> None:
        raise Exception("Failed to create a model")

    monkeypatch.setattr("vosk.Model", fail)
    for name in REQUIRED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(EngineError, match=f"The Vosk model in {tmp_path} can't be loaded: it is damaged."):
        Vosk(local_settings(vosk_model=tmp_path), Workers(1))
