"""The SDK: audio on its way up, whatever the server does with it."""

import asyncio
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stt_client import RequestRefused, RetryPolicy, ServerUnavailable, SessionLost, STTClient
from tests.support.scripted_server import (  # noqa: F401
    QUICK,
    ScriptedServer,
    final,
    scripted_fixture,
    serving_between_runs,
    url_fixture,
)

UPLOAD_FAULTS = ("500", "503", "408", "backlog", "lose answer", "lose request", "lose half", "mismatch", "not json")


async def test_the_audio_arrives_whole_and_finish_returns_the_transcript(scripted: ScriptedServer, url: str) -> None:
    scripted.last_words = [final("안녕하세요"), final("여러분", 1.0, 2.5)]
    pcm = bytes(range(256)) * 1000
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session(language="ko", keywords=["서울"])
        await session.send(pcm[:100_001])
        await session.send(b"")
        await session.send(pcm[100_001:])
        transcript = await session.finish()
    assert scripted.newest.audio == pcm
    assert scripted.newest.config == {"language": "ko", "keywords": ["서울"]}
    assert (transcript.text, transcript.status) == ("안녕하세요 여러분", "ended")
    assert [(segment.text, segment.start, segment.end) for segment in transcript.segments] == [
        ("안녕하세요", 0.0, 1.0),
        ("여러분", 1.0, 2.5),
    ]
    assert (session.engine, session.confirmed_bytes, session.unconfirmed_bytes) == ("scripted", len(pcm), 0)


def test_whatever_goes_wrong_with_uploads_the_server_ends_with_exactly_the_bytes_sent() -> None:
    with serving_between_runs() as (scripted, url, runner):

        async def upload(faults: list[str], chunks: list[bytes]) -> None:
            scripted.upload_faults = deque(faults)
            async with STTClient(url, retry=QUICK, chunk_bytes=7, buffer_bytes=20) as client:
                session = await client.create_session()
                for chunk in chunks:
                    await session.send(chunk)
                await session.finish()
            assert scripted.newest.audio == b"".join(chunks)

        @settings(max_examples=60, deadline=None)
        @given(st.lists(st.sampled_from(UPLOAD_FAULTS), max_size=12), st.lists(st.binary(max_size=30), max_size=6))
        def check(faults: list[str], chunks: list[bytes]) -> None:
            runner.run(upload(faults, chunks))

        check()


async def test_bytes_of_one_send_stay_together_among_several_senders(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(url, retry=QUICK, chunk_bytes=10, buffer_bytes=15) as client:
        session = await client.create_session()
        async with asyncio.TaskGroup() as senders:
            for pcm in (b"a" * 35, b"b" * 5, b"c" * 35):
                senders.create_task(session.send(pcm))
        await session.confirmed()
    assert scripted.newest.audio == b"a" * 35 + b"b" * 5 + b"c" * 35


@pytest.mark.parametrize("fault", ["backlog", "mismatch"])
async def test_the_offset_of_a_refusal_is_where_the_upload_goes_on(
    scripted: ScriptedServer, url: str, fault: str
) -> None:
    scripted.upload_faults.append(fault)
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(b"123456")
        await session.confirmed()
    assert scripted.upload_offsets == [0, 3]


async def test_a_full_buffer_blocks_the_sender_until_the_server_confirms(scripted: ScriptedServer, url: str) -> None:
    scripted.uploads_open.clear()
    async with STTClient(url, retry=QUICK, buffer_bytes=10) as client, asyncio.TaskGroup() as tasks:
        session = await client.create_session()
        await session.send(b"0123456789")
        await scripted.upload_waits.wait()
        blocked = tasks.create_task(session.send(b"x"))
        assert (await session.state()).offset == 0  # a round trip: the sender has had its chance
        assert not blocked.done()
        assert session.unconfirmed_bytes == 10
        scripted.uploads_open.set()
        await blocked
        await session.confirmed()
    assert scripted.newest.audio == b"0123456789x"


async def test_a_recognizer_that_is_behind_is_waited_for_longer_than_a_server_that_is_gone(
    scripted: ScriptedServer, url: str
) -> None:
    impatient = RetryPolicy(first_seconds=0.002, longest_seconds=0.002, give_up_seconds=0.01)
    async with STTClient(url, retry=impatient) as client:
        session = await client.create_session()
        await session.send(b"pcm")
        scripted.upload_faults.extend(["backlog"] * 50)
        await session.confirmed()
        assert scripted.newest.audio == b"pcm"
        scripted.upload_faults.extend(["503"] * 50)
        await session.send(b"more")
        with pytest.raises(ServerUnavailable):
            await session.confirmed()


async def test_what_was_taken_is_kept_when_the_server_is_unavailable_and_goes_up_later(
    scripted: ScriptedServer, url: str
) -> None:
    async with STTClient(url, retry=RetryPolicy(give_up_seconds=0.0)) as client:
        session = await client.create_session()
        scripted.upload_faults.append("lose half")
        await session.send(b"first ")
        with pytest.raises(ServerUnavailable):
            await session.confirmed()
        assert session.unconfirmed_bytes == 6
        await session.send(b"second")
        await session.finish()
    assert scripted.newest.audio == b"first second"


async def test_a_session_is_taken_up_by_its_id_where_the_server_stands(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(url, retry=QUICK) as client:
        first = await client.create_session()
        await first.send(b"before ")
        await first.confirmed()
    async with STTClient(url, retry=QUICK) as client:
        again = await client.session(first.session_id)
        assert again.confirmed_bytes == 7
        await again.send(b"after")
        await again.finish()
    assert scripted.newest.audio == b"before after"


async def test_a_server_that_lost_confirmed_audio_gets_it_again_while_it_is_held(
    scripted: ScriptedServer, url: str
) -> None:
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(b"stored ")
        await session.confirmed()
        scripted.newest.audio.clear()
        await session.send(b"next")
        await session.confirmed()
    assert scripted.newest.audio == b"stored next"


async def test_a_server_that_lost_audio_which_is_not_held_any_more_loses_the_session(
    scripted: ScriptedServer, url: str
) -> None:
    async with STTClient(url, retry=QUICK, held_bytes=0) as client:
        session = await client.create_session()
        await session.send(b"stored")
        await session.confirmed()
        scripted.newest.audio.clear()
        await session.send(b"next")
        with pytest.raises(SessionLost, match="The server has 0 bytes; 6 were confirmed"):
            await session.confirmed()


async def test_sending_after_the_session_ended_is_refused(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.finish()
        await session.send(b"late")
        with pytest.raises(RequestRefused) as refused:
            await session.confirmed()
    assert (refused.value.status, refused.value.code) == (409, "session_ended")
