"""The SDK: what it makes of answers and refusals, and of a server that is none."""

import socket

import pytest
from starlette.responses import JSONResponse, PlainTextResponse

from stt_client import RequestRefused, RetryPolicy, ServerUnavailable, SessionLost, STTClient
from tests.support.scripted_server import QUICK, ScriptedServer, final, problem, scripted_fixture, url_fixture  # noqa: F401


async def test_finish_asks_again_while_the_server_is_still_at_it(scripted: ScriptedServer, url: str) -> None:
    scripted.unfinished_answers = 3
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        assert (await session.finish()).status == "ended"
        assert (await session.finish()).status == "ended"
    assert scripted.unfinished_answers == 0


async def test_transcripts_come_in_every_format(scripted: ScriptedServer, url: str) -> None:
    scripted.last_words = [final("안녕")]
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.finish()
        assert (await session.transcript()).document["text"] == "안녕"
        assert await session.transcript("srt") == "srt: 안녕"


async def test_a_purged_session_is_lost_and_purging_it_again_is_no_error(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.purge()
        await session.purge()
        with pytest.raises(SessionLost):
            await session.state()
        with pytest.raises(SessionLost):
            await anext(session.events())


async def test_a_refusal_tells_status_code_and_extras(scripted: ScriptedServer, url: str) -> None:
    scripted.refusal = problem(422, "invalid_request", errors=[{"field": "config.engine"}])
    async with STTClient(url, "key", retry=QUICK) as client:
        with pytest.raises(RequestRefused, match="scripted invalid_request") as refused:
            await client.create_session(engine="none")
    assert (refused.value.status, refused.value.code) == (422, "invalid_request")
    assert refused.value.extra == {"errors": [{"field": "config.engine"}]}
    assert scripted.requests[0].headers["authorization"] == "Bearer key"


async def test_what_the_server_asks_to_wait_is_kept_in_the_error(scripted: ScriptedServer, url: str) -> None:
    scripted.refusal = problem(503, "draining", retry_after=7)
    async with STTClient(url, retry=RetryPolicy(give_up_seconds=5.0)) as client:
        with pytest.raises(ServerUnavailable) as unavailable:
            await client.create_session()
    assert unavailable.value.retry_after == 7.0


def test_waits_grow_up_to_the_longest_and_never_undercut_retry_after() -> None:
    policy = RetryPolicy(first_seconds=1.0, longest_seconds=8.0)
    assert 0.5 <= policy.delay(1) <= 1.0
    assert 2.0 <= policy.delay(3) <= 4.0
    assert 4.0 <= policy.delay(1000) <= 8.0
    assert 7.5 <= policy.delay(1, retry_after=7.0) <= 8.0


async def test_an_address_where_nobody_answers_is_given_up_sooner_than_a_known_server() -> None:
    policy = RetryPolicy(first_seconds=0.001, give_up_seconds=1e9, first_contact_seconds=0.01)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with STTClient(f"http://127.0.0.1:{port}", retry=policy) as client:
        with pytest.raises(ServerUnavailable, match="does not answer"):
            await client.create_session()


async def test_another_service_at_the_address_is_told_apart(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(url, retry=QUICK) as client:
        for answer in (PlainTextResponse("hello"), JSONResponse([1]), JSONResponse({"hello": 1})):
            scripted.refusal = answer
            with pytest.raises(ServerUnavailable, match="something else answers"):
                await client.create_session()


@pytest.mark.parametrize("url", ["localhost:8001", "ftp://host", "http://", "http://host:port"])
def test_an_address_that_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        STTClient(url)


async def test_an_error_of_the_block_leaves_the_client_as_it_is(scripted: ScriptedServer, url: str) -> None:
    scripted.uploads_open.clear()
    with pytest.raises(LookupError):
        async with STTClient(url, retry=QUICK) as client:
            session = await client.create_session()
            await session.send(b"never confirmed")
            raise LookupError
