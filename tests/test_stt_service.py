"""The recognition half against engines that fail: every word comes out once, or the session says why not."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from server import stt_service
from server.engines.base import SAMPLE_RATE, Capabilities, Engine
from server.errors import EngineError
from server.events import session_end_event
from server.metrics import Metrics
from server.models import EventType, SessionConfig
from server.session_log.base import LoggedEvent
from server.session_log.memory import MemorySessionLog
from server.settings import Settings
from server.stt_service import STTService, chain_for, load_engines
from tests.conftest import settings_of, wav_of
from tests.fake_engine import FakeEngine, Fault, said, silence, speech
from tests.recordings import recording

pytestmark = pytest.mark.timeout(20)

SENTENCES = ([1, 2], [3], [4, 5], [6])
PCM = speech(*SENTENCES)
WORDS = said(*SENTENCES)
GLITCH = EngineError("The cloud is away.", retryable=True)
OUTAGE = EngineError("The cloud is away.", retryable=True, outage=True)
REFUSAL = EngineError("The key is wrong.", retryable=False)
LEASE_SECONDS = 5.0
LONG = 60.0


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stt_service, "FIRST_BACKOFF_SECONDS", 0.001)


@dataclass
class Half:
    """A running recognition half and the log that it works on, whose clock runs ``ahead`` of the real one."""

    engines: dict[str, FakeEngine]
    settings: Settings
    metrics: Metrics = field(default_factory=Metrics)
    ahead: float = 0.0
    sessions: int = 0

    def __post_init__(self) -> None:
        self.log = MemorySessionLog(lambda: time.monotonic() + self.ahead, LEASE_SECONDS)
        engines: dict[str, Engine] = dict(self.engines)
        self.service = STTService(self.log, engines, self.settings, self.metrics)

    async def open(self, **config: Any) -> str:
        """A session that begins with the first engine."""
        self.sessions += 1
        session_id = f"sess_{self.sessions}"
        checked = SessionConfig.model_validate(config)
        await self.log.create(session_id, checked.model_dump(), next(iter(self.engines)), max_backlog_bytes=10_000_000)
        return session_id

    async def recognise(self, audio: bytes, **config: Any) -> list[LoggedEvent]:
        """All events of a session of ``audio``."""
        session_id = await self.open(**config)
        await self.log.append_audio(session_id, audio)
        await self.log.finish_audio(session_id, "finished")
        return await self.events(session_id)

    async def events(self, session_id: str, until: EventType = EventType.SESSION_END) -> list[LoggedEvent]:
        """The session's events up to the first of a kind."""
        events: list[LoggedEvent] = []
        while not events or events[-1].type is not until:
            after = events[-1].id if events else 0
            events += (await self.log.read_events(session_id, after, LONG))[: 1 if until is EventType.FINAL else None]
        return events


@asynccontextmanager
async def running(*faults: Fault, engines: dict[str, FakeEngine] | None = None, **settings: Any) -> AsyncIterator[Half]:
    """A recognition half with one engine that has the faults, or with ``engines``."""
    defaults = {"engine_timeout_seconds": 0.1, "lease_seconds": LEASE_SECONDS}
    half = Half(engines or {"fake": FakeEngine(list(faults))}, settings_of(**defaults | settings))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(half.service.run())
        yield half
        assert not task.done()
        task.cancel()


def data_of(event: LoggedEvent) -> dict[str, Any]:
    return dict(json.loads(event.payload)["data"])


def texts(events: list[LoggedEvent]) -> list[str]:
    return [data_of(event)["text"] for event in events if event.type is EventType.FINAL]


def errors(events: list[LoggedEvent]) -> list[str]:
    return [data_of(event)["code"] for event in events if event.type is EventType.ERROR]


def reason(events: list[LoggedEvent]) -> str:
    assert [event.type for event in events].count(EventType.SESSION_END) == 1
    assert events[-1].type is EventType.SESSION_END
    return str(data_of(events[-1])["reason"])


# --- what fails and is replaced -------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0.0, 0.5, 1.3, 2.1, 3.9, 4.0])
@pytest.mark.parametrize("error", [GLITCH, RuntimeError("a bug"), None], ids=["raises", "has a bug", "hangs"])
async def test_a_recognizer_that_fails_is_replaced_and_every_word_comes_once(
    error: Exception | None, at: float
) -> None:
    async with running(Fault(error, at)) as half:
        events = await half.recognise(PCM)
    assert texts(events) == WORDS
    assert errors(events) == ["engine_restarted"]
    assert reason(events) == "finished"


@pytest.mark.parametrize("where", ["open", "read", "finish"])
@pytest.mark.parametrize("error", [GLITCH, RuntimeError("a bug"), None], ids=["raises", "has a bug", "hangs"])
async def test_it_does_not_matter_which_call_meets_the_failure(error: Exception | None, where: Any) -> None:
    async with running(Fault(error, where=where)) as half:
        events = await half.recognise(PCM)
    assert texts(events) == WORDS
    assert errors(events) == ["engine_restarted"]
    assert reason(events) == "finished"


async def test_a_recognizer_is_opened_again_at_the_end_of_the_last_final() -> None:
    async with running() as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, speech([1, 2]))
        await half.events(session_id, EventType.FINAL)
        through = (await half.log.state(session_id)).checkpoint.seconds
        half.engines["fake"].faults.append(Fault(GLITCH, at=1.5))
        await half.log.append_audio(session_id, speech([3]))
        await half.log.finish_audio(session_id, "finished")
        assert texts(await half.events(session_id)) == said([1, 2], [3])
    assert 0.75 <= through <= 1.0
    assert half.engines["fake"].opened == [0.0, through]


async def test_a_wav_goes_on_in_its_middle() -> None:
    async with running() as half:
        session_id = await half.open()
        wav = wav_of(PCM)
        await half.log.append_audio(session_id, wav[:40_001])
        await half.events(session_id, EventType.FINAL)
        half.engines["fake"].faults.append(Fault(GLITCH, at=2.0))
        await half.log.append_audio(session_id, wav[40_001:])
        await half.log.finish_audio(session_id, "finished")
        assert texts(await half.events(session_id)) == WORDS
    assert len(half.engines["fake"].opened) == 2


async def test_an_error_event_says_what_happened_and_that_the_session_goes_on() -> None:
    async with running(Fault(GLITCH)) as half:
        error = (await half.recognise(PCM))[0]
    assert data_of(error) == {
        "code": "engine_restarted",
        "message": "The cloud is away.",
        "recoverable": True,
        "engine": "fake",
    }


async def test_what_an_unforeseen_error_says_stays_here() -> None:
    async with running(Fault(RuntimeError("secret"))) as half:
        error = (await half.recognise(PCM))[0]
    assert data_of(error)["message"] == "The recognizer failed: RuntimeError."


# --- what is given up -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [GLITCH, RuntimeError("a bug"), None], ids=["raises", "has a bug", "hangs"])
async def test_retries_are_bounded(error: Exception | None) -> None:
    async with running(Fault(error, times=None), engine_retries=2, engine_timeout_seconds=0.02) as half:
        events = await half.recognise(PCM)
        state = await half.log.state("sess_1")
    assert len(half.engines["fake"].opened) == 3
    assert errors(events) == ["engine_restarted", "engine_restarted", "engine_failed"]
    assert not data_of(events[-2])["recoverable"]
    assert reason(events) == "engine_failed"
    assert (state.status, texts(events)) == ("ended", [])


async def test_a_final_gives_the_engine_all_its_tries_again() -> None:
    faults = [Fault(GLITCH, at) for at in (0.5, 1.5, 2.5, 3.5)]
    async with running(*faults, engine_retries=1) as half:
        session_id = await half.open()
        for second in range(4):
            await half.log.append_audio(session_id, PCM[second * 32_000 : (second + 1) * 32_000])
            while len(texts(await half.log.read_events(session_id, 0, 0))) <= second:
                await half.log.read_events(session_id, (await half.log.state(session_id)).last_event_id, LONG)
        await half.log.finish_audio(session_id, "finished")
        events = await half.events(session_id)
    assert texts(events) == WORDS
    assert errors(events) == ["engine_restarted"] * 4


async def test_an_error_that_another_try_can_not_help_ends_the_session() -> None:
    async with running(Fault(REFUSAL)) as half:
        events = await half.recognise(PCM)
    assert half.engines["fake"].opened == [0.0]
    assert errors(events) == ["engine_failed"]
    assert data_of(events[0])["message"] == "The key is wrong."
    assert reason(events) == "engine_failed"


@pytest.mark.parametrize(
    "audio",
    [b"OggS" + bytes(50), b"fLaC" + bytes(50), b"ID3" + bytes(50), b"\x1aE\xdf\xa3" + bytes(50), wav_of(b"")[:20]],
    ids=["Ogg", "FLAC", "MP3", "WebM", "half a WAV header"],
)
async def test_undecodable_audio_is_an_error_and_the_end(audio: bytes) -> None:
    async with running() as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, audio)
        await half.log.finish_audio(session_id, "finished")
        events = await half.events(session_id)
        state = await half.log.state(session_id)
    assert errors(events) == ["undecodable_audio"]
    assert not data_of(events[0])["recoverable"]
    assert reason(events) == state.reason == "undecodable_audio"


async def test_what_was_said_before_the_damage_is_not_lost() -> None:
    upload = recording("flac", "ogg", SAMPLE_RATE, pcm=speech([1, 2]) + speech([3, 4])[:22_000])
    async with running() as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, upload)
        while (await half.log.state(session_id)).taken < len(upload):
            await half.log.read_events(session_id, (await half.log.state(session_id)).last_event_id, 0.01)
        await half.log.append_audio(session_id, b"this is no page of Ogg" * 10)
        events = await half.events(session_id)
    assert texts(events) == said([1, 2], [3, 4])
    assert [event.type for event in events][-3:] == [EventType.FINAL, EventType.ERROR, EventType.SESSION_END]
    assert reason(events) == "undecodable_audio"
    assert len(half.engines["fake"].opened) == 1


# --- failover -------------------------------------------------------------------------------------------------------


def chain(*faults: Fault, second: FakeEngine | None = None) -> dict[str, FakeEngine]:
    return {"cloud": FakeEngine(list(faults)), "local": second or FakeEngine()}


async def test_the_next_engine_of_the_chain_takes_over_in_the_middle() -> None:
    async with running(engines=chain()) as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, PCM[:32_000])
        await half.events(session_id, EventType.FINAL)
        half.engines["cloud"].faults.append(Fault(REFUSAL, at=1.2))
        await half.log.append_audio(session_id, PCM[32_000:])
        await half.log.finish_audio(session_id, "finished")
        events = await half.events(session_id)
        state = await half.log.state(session_id)
    assert texts(events) == WORDS
    assert [data_of(event)["engine"] for event in events if event.type is EventType.FINAL] == ["cloud"] + ["local"] * 3
    (error,) = (data_of(event) for event in events if event.type is EventType.ERROR)
    assert (error["code"], error["recoverable"], error["engine"]) == ("engine_failover", True, "local")
    assert state.checkpoint.engine == "local"
    assert reason(events) == "finished"


async def test_an_engine_is_tried_again_before_the_next_one_is() -> None:
    async with running(engines=chain(Fault(GLITCH, times=None)), engine_retries=2) as half:
        events = await half.recognise(PCM)
    assert errors(events) == ["engine_restarted", "engine_restarted", "engine_failover"]
    assert texts(events) == WORDS


async def test_an_engine_that_is_out_of_order_is_not_tried_again_where_there_is_another() -> None:
    engines = chain(Fault(GLITCH, times=None))
    engines["cloud"].ready = False
    async with running(engines=engines) as half:
        events = await half.recognise(PCM)
    assert errors(events) == ["engine_failover"]
    assert texts(events) == WORDS


async def test_an_outage_is_waited_for_where_there_is_no_other_engine() -> None:
    async with running(Fault(OUTAGE, at=1.3, times=9), engine_retries=2) as half:
        half.engines["fake"].ready = False
        events = await half.recognise(PCM)
    assert errors(events) == ["engine_restarted"] * 9
    assert texts(events) == WORDS
    assert reason(events) == "finished"


async def test_an_outage_is_not_waited_for_longer_than_the_server_is_set_to() -> None:
    async with running(Fault(OUTAGE, times=None), engine_retries=2, engine_outage_seconds=0.05) as half:
        events = await half.recognise(PCM)
    assert errors(events)[-1] == reason(events) == "engine_failed"
    assert set(errors(events)[:-1]) == {"engine_restarted"}


async def test_an_outage_is_not_waited_for_where_there_is_another_engine() -> None:
    async with running(engines=chain(Fault(OUTAGE, times=None)), engine_retries=2) as half:
        events = await half.recognise(PCM)
    assert errors(events) == ["engine_restarted", "engine_restarted", "engine_failover"]
    assert texts(events) == WORDS


async def test_when_the_last_engine_fails_as_well_the_session_ends() -> None:
    engines = chain(Fault(REFUSAL), second=FakeEngine([Fault(GLITCH, times=None)]))
    async with running(engines=engines, engine_retries=1) as half:
        events = await half.recognise(PCM)
    assert errors(events) == ["engine_failover", "engine_restarted", "engine_failed"]
    assert reason(events) == "engine_failed"


async def test_an_engine_that_the_client_named_is_never_replaced_by_another() -> None:
    async with running(engines=chain(Fault(REFUSAL))) as half:
        events = await half.recognise(PCM, engine="cloud")
    assert errors(events) == ["engine_failed"]
    assert half.engines["local"].opened == []


async def test_an_engine_that_can_not_do_what_was_asked_is_left_out_of_the_chain() -> None:
    deaf = FakeEngine(capabilities=Capabilities(frozenset({"de"})))
    async with running(engines={"cloud": FakeEngine([Fault(REFUSAL)]), "deaf": deaf, "local": FakeEngine()}) as half:
        events = await half.recognise(PCM)
    assert errors(events) == ["engine_failover"]
    assert texts(events) == WORDS
    assert deaf.opened == []


def test_the_chain_has_the_engines_that_can_in_their_order() -> None:
    engines = {
        "first": FakeEngine(),
        "german": FakeEngine(capabilities=Capabilities(frozenset({"de"}))),
        "last": FakeEngine(),
    }
    assert chain_for(SessionConfig(), engines) == ["first", "last"]
    assert chain_for(SessionConfig(engine="last"), engines) == ["last"]
    assert chain_for(SessionConfig(engine="german"), engines) == []


def test_an_engine_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(EngineError, match="'hal'.*local"):
        load_engines(settings_of(engines="hal"))


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stt_service.ENGINES, "local", "a_package_that_nobody_has:Engine")
    with pytest.raises(EngineError, match="a_package_that_nobody_has.*pip install"):
        load_engines(settings_of())


# --- the lease ------------------------------------------------------------------------------------------------------


async def test_a_session_that_another_process_took_is_left_in_silence() -> None:
    async with running() as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, speech([1, 2]))
        before = await half.events(session_id, EventType.FINAL)
        half.ahead += LEASE_SECONDS + 1
        stolen = await half.log.claim("another process", 0)
        assert stolen is not None
        await half.log.append_audio(session_id, speech([3]))
        assert texts(await half.recognise(PCM)) == WORDS  # the half goes on with others
        assert await half.log.read_events(session_id, before[-1].id, 0) == []
        await half.log.append_events(stolen, [session_end_event(session_id, "finished")])


async def test_a_session_may_come_back_to_the_process_that_lost_it() -> None:
    async with running(Fault(at=0.5), engine_timeout_seconds=LONG, lease_seconds=3 * LONG) as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, PCM)
        await half.log.finish_audio(session_id, "finished")
        await half.engines["fake"].faults[0].struck.wait()
        half.ahead += LEASE_SECONDS + 1  # nobody renewed it: the process was busy
        assert texts(await half.recognise(PCM)) == WORDS  # a new session wakes the claims up
        assert texts(await half.events(session_id)) == WORDS
        assert texts(await half.recognise(PCM)) == WORDS


async def test_a_lease_is_kept_for_as_long_as_the_session_lasts() -> None:
    async with running(lease_seconds=0.03) as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, speech([1]))
        await half.events(session_id, EventType.FINAL)
        half.ahead += LEASE_SECONDS - 0.5
        for _ in range(3):
            await asyncio.sleep(0.02)  # a few renewals
        half.ahead += LEASE_SECONDS - 0.5
        assert await half.log.claim("another process", 0) is None
        await half.log.append_audio(session_id, speech([2]))
        await half.log.finish_audio(session_id, "finished")
        assert texts(await half.events(session_id)) == said([1], [2])


async def test_a_session_erased_while_it_is_recognised_disturbs_nobody() -> None:
    async with running() as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, speech([1]))
        await half.events(session_id, EventType.FINAL)
        await half.log.purge(session_id)
        assert texts(await half.recognise(PCM)) == WORDS


# --- drain ----------------------------------------------------------------------------------------------------------


async def test_a_drain_publishes_the_last_words_and_ends_every_session() -> None:
    async with running() as half:
        sessions = [await half.open() for _ in range(3)]
        for session_id in sessions:
            await half.log.append_audio(session_id, speech([1]) + speech([2, 3])[:20_000])
        await half.service.drain()
        for session_id in sessions:
            events = await half.events(session_id)
            assert texts(events) == ["말1", "말2 말3"]
            assert reason(events) == "server_shutdown"
        assert await half.log.open_sessions() == []


async def test_a_drain_does_not_wait_for_a_recognizer_that_hangs() -> None:
    async with running(Fault(where="finish"), engine_timeout_seconds=LONG, drain_seconds=0.02) as half:
        session_id = await half.open()
        await half.log.append_audio(session_id, speech([1]))
        await half.events(session_id, EventType.FINAL)
        await half.service.drain()
        events = await half.events(session_id)
        assert (texts(events), reason(events)) == (["말1"], "server_shutdown")


# --- what is written where ------------------------------------------------------------------------------------------


async def test_no_log_has_words_or_audio(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    faults = [Fault(GLITCH, 0.5), Fault(RuntimeError("a bug"), 1.5), Fault(None, 2.5), Fault(GLITCH, where="finish")]
    async with running(*faults) as half:
        assert texts(await half.recognise(PCM)) == WORDS
        await half.recognise(b"OggS" + PCM)
    assert "RuntimeError: a bug" in caplog.text  # the log is there
    assert "말" not in caplog.text
    assert "OggS" not in caplog.text


async def test_failures_are_counted() -> None:
    async with running(Fault(GLITCH), Fault(GLITCH, where="finish")) as half:
        await half.recognise(PCM)
    lines = half.metrics.render().decode().splitlines()
    assert 'stt_engine_failures_total{engine="fake"} 2.0' in lines


async def test_silence_is_accounted_for_without_an_event() -> None:
    async with running() as half:
        assert [event.type for event in await half.recognise(silence(2.0))] == [EventType.SESSION_END]
        assert (await half.log.state("sess_1")).checkpoint.seconds == 2.0
