"""One table says what a client does about each code of the server; both SDKs have it, and this one follows it."""

import ast
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from server.errors import AudioError, RequestError, STTError
from stt_client import RequestRefused, RetryPolicy, ServerUnavailable, SessionLost, STTClient, STTClientError
from stt_client.codes import ANSWERS, REASONS, Action
from tests.support.fake_engine import speech
from tests.support.scripted_server import QUICK, ScriptedServer, problem, scripted_fixture, url_fixture  # noqa: F401
from tests.support.servers import ROOT

JAVASCRIPT = ROOT / "server" / "web" / "stt-codes.js"
TABLE = json.loads(files("stt_client").joinpath("codes.json").read_text("utf-8"))
STATUS = {
    "session_not_found": 404, "session_ended": 409, "offset_mismatch": 409, "upload_timeout": 408, "backlog_full": 429,
    "too_many_sessions": 429, "draining": 503, "log_unavailable": 503, "internal_error": 500, "server_away": 502,
}  # fmt: skip
"""Of the others it is 400."""
BRIEF = RetryPolicy(first_seconds=0.001, longest_seconds=0.002, give_up_seconds=0.05)
TALK = speech((1, 2), (3,), seconds=0.1)


# --- the table ------------------------------------------------------------------------------------------------------


def test_both_clients_have_the_same_table() -> None:
    if not JAVASCRIPT.exists():
        pytest.skip("server/web/stt-codes.js has not been written yet")
    source = re.sub(r"//[^\n]*|/\*.*?\*/", "", JAVASCRIPT.read_text("utf-8"), flags=re.DOTALL)
    for where, actions in TABLE.items():
        block = re.search(rf"\b{where}\b\W*?[:=][^{{]*{{(.*?)}}", source, re.DOTALL)
        assert block, where
        assert dict(re.findall(r"['\"]?(\w+)['\"]?\s*:\s*['\"](\w+)['\"]", block[1])) == actions


def refusals(base: type[STTError] = RequestError) -> Iterator[str]:
    for each in base.__subclasses__():
        yield each.code
        yield from refusals(each)


@pytest.mark.parametrize("code", sorted({*refusals(), STTError.code}))
def test_every_code_that_the_server_answers_is_in_the_table(code: str) -> None:
    assert code in ANSWERS


def reasons() -> set[str]:
    """Every constant that the server ends a session with."""
    found: set[object] = {AudioError.code}
    for path in (ROOT / "server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in ("_end", "finish_audio", "session_end_event"):
                    found |= {each.value for each in node.args if isinstance(each, ast.Constant)}
    return {each for each in found if isinstance(each, str) and each.isidentifier()}


@pytest.mark.parametrize("reason", sorted(reasons() | {"finished"}))
def test_every_reason_that_the_server_ends_a_session_with_is_in_the_table(reason: str) -> None:
    assert reason in REASONS


# --- what is done ---------------------------------------------------------------------------------------------------


def refusal(code: str, **extra: Any) -> Any:
    return problem(STATUS.get(code, 400), code, **extra)


def codes(*actions: Action) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("code", [code for code, action in ANSWERS.items() if action in actions])


@codes(Action.RETRY, Action.WAIT, Action.RESUME)
async def test_an_upload_gets_over_what_passes(scripted: ScriptedServer, url: str, code: str) -> None:
    extra = {"offset": 0} if ANSWERS[code] is not Action.RETRY else {}
    scripted.refusals.extend(refusal(code, **extra) for _ in range(3))
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        session = await client.session("sess_0" if scripted.sessions else await opened(scripted, client))
        await session.send(TALK)
        assert (await session.finish()).text == "1 2 3"
    assert scripted.opened == 1
    assert not scripted.refusals


async def opened(scripted: ScriptedServer, client: STTClient) -> str:
    """Open a session in spite of the refusals that are to meet its upload."""
    waiting = list(scripted.refusals)
    scripted.refusals.clear()
    session = await client.create_session()
    scripted.refusals.extend(waiting)
    return session.session_id


@codes(Action.RETRY)
async def test_opening_is_tried_again_until_the_give_up_time(scripted: ScriptedServer, url: str, code: str) -> None:
    scripted.refusals.extend(refusal(code) for _ in range(3))
    async with STTClient(url, retry=QUICK) as client:
        await client.create_session()
    assert scripted.opened == 1
    scripted.refusal = refusal(code)
    async with STTClient(url, retry=BRIEF) as client:
        with pytest.raises(STTClientError) as gave_up:
            await client.create_session()
    assert gave_up.value.code == code
    assert len(scripted.requests) > 5


@codes(Action.GIVE_UP)
async def test_what_would_be_refused_again_is_asked_once(scripted: ScriptedServer, url: str, code: str) -> None:
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        scripted.refusals.extend(refusal(code) for _ in range(3))
        if code == "session_ended":  # which the event stream explains
            await scripted.publish(session.session_id, "session_end", {"reason": "purged"})
        await session.send(TALK)
        with pytest.raises(RequestRefused) as refused:
            await session.confirmed()
    assert refused.value.code == code
    assert len(scripted.refusals) == 2


@codes(Action.REOPEN)
async def test_a_session_that_is_gone_is_opened_anew(scripted: ScriptedServer, url: str, code: str) -> None:
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        scripted.lose_sessions()
        await session.send(TALK)
        assert (await session.finish()).text == "1 2 3"
    assert scripted.opened == 2


async def test_backlog_is_no_failure_however_long_it_takes(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(
        url, retry=RetryPolicy(first_seconds=0.002, longest_seconds=0.002, give_up_seconds=0.01)
    ) as client:
        session = await client.create_session()
        scripted.refusals.extend(refusal("backlog_full", offset=0) for _ in range(50))
        await session.send(TALK)
        await session.confirmed()
    assert not scripted.refusals


async def test_what_a_full_server_asks_to_wait_counts_against_the_give_up_time(
    scripted: ScriptedServer, url: str
) -> None:
    scripted.refusal = problem(429, "too_many_sessions", retry_after=7)
    async with STTClient(url, retry=RetryPolicy(give_up_seconds=5.0)) as client:
        with pytest.raises(RequestRefused) as refused:
            await client.create_session()
    assert refused.value.retry_after == 7.0
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(("reason", "action"), REASONS.items())
async def test_a_session_that_ends_is_reopened_where_the_table_says_so(
    scripted: ScriptedServer, url: str, reason: str, action: Action
) -> None:
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await scripted.publish("sess_0", "session_end", {"reason": reason})
        await session.send(TALK)
        if action is Action.REOPEN:
            assert (await session.finish()).text == "1 2 3"
        else:
            with pytest.raises(RequestRefused, match="session_ended"):
                await session.confirmed()
    assert scripted.opened == (2 if action is Action.REOPEN else 1)


def test_errors_say_whether_another_try_can_help() -> None:
    assert ServerUnavailable("away").retryable
    assert RequestRefused(429, "too_many_sessions", "full", {}).retryable
    assert not RequestRefused(422, "invalid_request", "no", {}).retryable
    assert not SessionLost("gone").retryable
