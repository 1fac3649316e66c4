"""The recognition half against engines that fail: which engine of the chain goes on, and when."""

import pytest

from server.engines import registry
from server.engines.base import Capabilities, able_engines
from server.engines.registry import load_engines
from server.errors import EngineError
from server.models import EventType, SessionConfig
from tests.support.fake_engine import FakeEngine, Fault
from tests.support.recognition_half import (  # noqa: F401
    GLITCH,
    OUTAGE,
    PCM,
    REFUSAL,
    WORDS,
    data_of,
    errors,
    no_backoff_fixture,
    reason,
    running,
    texts,
)
from tests.support.servers import settings_of

pytestmark = pytest.mark.timeout(20)


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
    speaks_korean, speaks_german = Capabilities(frozenset({"ko"})), Capabilities(frozenset({"de"}))
    engines = {"first": speaks_korean, "german": speaks_german, "last": speaks_korean}
    assert able_engines(SessionConfig(), engines) == ["first", "last"]
    assert able_engines(SessionConfig(engine="last"), engines) == ["last"]
    assert able_engines(SessionConfig(engine="german"), engines) == []


def test_an_engine_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(EngineError, match="'hal'.*local"):
        load_engines(settings_of(engines="hal"))


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = registry.ENGINES["local"][1]
    monkeypatch.setitem(registry.ENGINES, "local", ("a_package_that_nobody_has:Engine", settings))
    with pytest.raises(EngineError, match="a_package_that_nobody_has.*pip install"):
        load_engines(settings_of())
