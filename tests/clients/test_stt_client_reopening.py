"""The SDK with a server that loses sessions: every word once, on one clock, whoever reads."""

import asyncio
from collections import deque
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.models import SegmentResponse
from server.transcript import to_srt, to_text, to_vtt
from stt_client import Event, RequestRefused, RetryPolicy, ServerUnavailable, Session, SessionLost, STTClient
from stt_client.event_buffer import KEPT_EVENTS
from stt_client.lineage import MAX_REOPENINGS
from tests.support.fake_engine import silence, speech
from tests.support.recordings import recording
from tests.support.scripted_server import (  # noqa: F401
    QUICK,
    SAMPLE_RATE,
    ScriptedServer,
    problem,
    scripted_fixture,
    serving_between_runs,
    url_fixture,
)
from tests.support.servers import STUCK_SECONDS, wav_of

UTTERANCES = ((1, 2), (3,), (4, 5, 6), (7, 8), (9,))
TALK = speech(*UTTERANCES, seconds=0.1)
SAID = ["1 2", "3", "4 5 6", "7 8", "9"]
FAULTS = ("", "", "", "lose session", "lose answer", "lose half", "backlog", "500")


def texts(events: list[Event]) -> list[str]:
    return [event.data["text"] for event in events if event.event_type == "final"]


async def all_events(session: Session, after: int = 0) -> list[Event]:
    return [event async for event in session.events(after)]


async def final_of(session: Session, text: str) -> Event:
    """Wait until it has come."""
    async with aclosing(session.events()) as events:
        async for event in events:
            if event.event_type == "final" and event.data["text"] == text:
                return event
    raise AssertionError(f"no final {text}")


# --- every word once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audio", [TALK, wav_of(TALK)], ids=["raw", "wav"])
def test_whenever_the_server_loses_its_sessions_every_word_comes_once_on_one_clock(audio: bytes) -> None:
    with serving_between_runs() as (scripted, url, runner):
        scripted.listens = True

        async def talk(faults: list[str], pieces: int) -> None:
            scripted.upload_faults = deque(faults)
            async with STTClient(url, retry=QUICK, chunk_bytes=2000) as client:
                session = await client.create_session()
                size = len(audio) // pieces + 1
                for begin in range(0, len(audio), size):
                    await session.send(audio[begin : begin + size])
                transcript = await session.finish()
                events = await all_events(session)
            assert texts(events) == SAID
            assert [segment.text for segment in transcript.segments] == SAID
            assert transcript.text == " ".join(SAID)
            starts = [segment.start for segment in transcript.segments]
            assert starts == pytest.approx(STARTS, abs=0.0011)
            ids = [event.id for event in events if event.id is not None]
            assert all(earlier < later for earlier, later in pairwise(ids))

        @settings(max_examples=40, deadline=None)
        @given(st.lists(st.sampled_from(FAULTS), max_size=12), st.integers(1, 9))
        def check(faults: list[str], pieces: int) -> None:
            runner.run(asyncio.wait_for(talk(faults, pieces), STUCK_SECONDS / 4))

        check()


STARTS = [round((index + 1 / (len(words) + 2)) * 0.1, 4) for index, words in enumerate(UTTERANCES)]


async def test_the_new_session_is_told_as_an_event_and_has_the_same_configuration(
    scripted: ScriptedServer, url: str
) -> None:
    scripted.listens = True
    half = len(TALK) // 2
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session(language="ko", keywords=["서울"])
        assert session.session_id == "sess_0"
        await session.send(TALK[:half])
        last = await final_of(session, "3")
        scripted.lose_sessions()
        await session.send(TALK[half:])
        await session.finish()
        reopened = next(event for event in await all_events(session) if event.event_type == "session_reopened")
    assert reopened.data == {
        "session_id": "sess_1",
        "previous": "sess_0",
        "reason": "session_not_found",
        "from_seconds": pytest.approx(last.data["through"], abs=0.001),
    }
    assert (session.session_id, reopened.session_id) == ("sess_1", "sess_1")
    # What comes from the middle is not guessed at: silence could look like a container.
    assert scripted.newest.config == {"language": "ko", "keywords": ["서울"], "encoding": "linear16"}
    assert scripted.newest.audio == TALK[-len(scripted.newest.audio) :]


@pytest.mark.parametrize("reason", ["server_shutdown", "idle_timeout", "max_duration"])
async def test_a_session_that_has_ended_is_reopened_when_more_is_said(
    scripted: ScriptedServer, url: str, reason: str
) -> None:
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(TALK[:6400])
        await session.confirmed()
        await final_of(session, "3")
        await scripted.publish("sess_0", "session_end", {"reason": reason})
        await session.send(TALK[6400:])
        transcript = await session.finish()
        events = await all_events(session)
    assert texts(events) == SAID
    assert transcript.text == " ".join(SAID)
    assert scripted.opened == 2
    assert [event.data["reason"] for event in events if event.event_type == "session_end"] == ["finished"]


async def test_a_session_that_was_idle_with_everything_recognised_ends_without_a_new_one(
    scripted: ScriptedServer, url: str
) -> None:
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(TALK + silence(0.5))
        await session.confirmed()
        await final_of(session, "9")
        await scripted.publish("sess_0", "session_end", {"reason": "idle_timeout"})
        assert await session.flush() is None
        transcript = await session.finish()
        events = await all_events(session)
    assert transcript.text == " ".join(SAID)
    assert scripted.opened == 1
    assert events[-1].data["reason"] == "idle_timeout"


@pytest.mark.parametrize("reason", ["purged", "engine_failed", "undecodable_audio", "internal_error", "unheard_of"])
async def test_a_session_that_ended_for_good_is_not_reopened(scripted: ScriptedServer, url: str, reason: str) -> None:
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(TALK)
        await session.confirmed()
        await scripted.publish("sess_0", "session_end", {"reason": reason})
        assert (await all_events(session))[-1].data["reason"] == reason
        await session.send(TALK)
        with pytest.raises(RequestRefused, match="session_ended"):
            await session.confirmed()
    assert scripted.opened == 1


async def test_a_session_that_someone_else_has_sent_to_is_not_reopened(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(url, retry=QUICK) as client:
        session = await client.session((await client.create_session()).session_id)
        scripted.lose_sessions()
        with pytest.raises(SessionLost):
            await all_events(session)
    assert scripted.opened == 1


async def test_a_session_that_is_lost_before_anything_was_said_is_reopened(scripted: ScriptedServer, url: str) -> None:
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        scripted.lose_sessions()
        await session.send(TALK)
        assert (await session.finish()).text == " ".join(SAID)


# --- what is held ---------------------------------------------------------------------------------------------------


async def test_a_container_is_sent_again_from_its_beginning_and_its_finals_are_told_once(
    scripted: ScriptedServer, url: str
) -> None:
    audio = recording("flac", "flac", SAMPLE_RATE, pcm=silence(0.5))
    finals = [
        ("final", {"text": text, "start": at, "end": at + 1.0, "through": at + 1.0}) for at, text in enumerate("ab")
    ]
    scripted.first_words = finals[:1]
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(audio[:100])
        await final_of(session, "a")
        scripted.first_words, scripted.last_words = finals[:1], finals[1:]
        scripted.lose_sessions()
        await session.send(audio[100:])
        transcript = await session.finish()
        events = await all_events(session)
    assert scripted.newest.audio == audio
    assert (texts(events), transcript.text) == (["a", "b"], "a b")
    assert [(segment.start, segment.end) for segment in transcript.segments] == [(0.0, 1.0), (1.0, 2.0)]


async def test_a_container_whose_beginning_is_not_held_any_more_is_lost_in_words(
    scripted: ScriptedServer, url: str
) -> None:
    async with STTClient(url, retry=QUICK, held_bytes=50) as client:
        session = await client.create_session()
        await session.send(b"OggS" + bytes(200))
        await session.confirmed()
        scripted.lose_sessions()
        await session.send(b"more")
        with pytest.raises(SessionLost, match="its beginning is not held any more"):
            await session.finish()


async def test_a_session_that_is_lost_again_and_again_is_given_up(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        scripted.upload_faults = deque(["lose session"] * 100)
        await session.send(TALK)
        with pytest.raises(SessionLost, match=f"lost {MAX_REOPENINGS + 1} times"):
            await session.finish()
    assert scripted.opened == MAX_REOPENINGS + 1


async def test_a_full_server_is_asked_again_until_there_is_room_for_the_new_session(
    scripted: ScriptedServer, url: str
) -> None:
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(TALK[:1000])
        await session.confirmed()
        scripted.lose_sessions()
        scripted.refusals.extend([problem(429, "too_many_sessions"), problem(503, "draining")])
        await session.send(TALK[1000:])
        assert (await session.finish()).text == " ".join(SAID)


async def test_a_server_that_stays_away_is_told_and_another_try_goes_on(scripted: ScriptedServer, url: str) -> None:
    scripted.listens = True
    async with STTClient(url, retry=RetryPolicy(first_seconds=0.001, give_up_seconds=0.05)) as client:
        session = await client.create_session()
        await session.send(TALK[:6400])
        await final_of(session, "3")
        scripted.refusal = problem(503, "draining")
        scripted.lose_sessions()
        await session.send(TALK[6400:])
        with pytest.raises(ServerUnavailable):
            await session.finish()
        scripted.refusal = None
        assert (await session.finish()).text == " ".join(SAID)
        assert texts(await all_events(session)) == SAID


# --- readers --------------------------------------------------------------------------------------------------------


async def test_several_readers_get_everything_each(scripted: ScriptedServer, url: str) -> None:
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(TALK)
        await session.finish()
        everything = await all_events(session)
        assert everything == await all_events(session)
        assert everything[3:] == await all_events(session, after=everything[2].id or 0)
    streams = [request for request in scripted.requests if request.url.path.endswith("/stream")]
    assert len(streams) == 1


async def test_events_that_nobody_reads_are_bounded_and_a_late_reader_still_gets_them_all(
    scripted: ScriptedServer, url: str
) -> None:
    count = KEPT_EVENTS + 50
    scripted.first_words = [("token", {"text": str(number)}) for number in range(count)]
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(b"pcm")
        await session.finish()
        async with aclosing(session.events(after=count)) as newest:
            assert (await anext(newest)).event_type == "session_end"
        held = session._lineage.events
        assert held.at(held.first + KEPT_EVENTS - 1) and not held.at(held.first + KEPT_EVENTS)
        events = await all_events(session)
    assert [event.data.get("text") for event in events] == [*map(str, range(count)), None]


async def test_a_late_reader_gets_the_finals_of_a_session_that_is_lost(scripted: ScriptedServer, url: str) -> None:
    scripted.first_words = [
        ("final", {"text": "one", "start": 0.0, "end": 0.00001, "through": 0.00001}),
        *(("token", {"text": str(number)}) for number in range(KEPT_EVENTS)),
    ]
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(b"pcm ")
        async with aclosing(session.events(after=KEPT_EVENTS)) as events:
            await anext(events)
        scripted.first_words = []
        scripted.lose_sessions()
        await session.send(b"more")
        await session.finish()
        assert texts(await all_events(session)) == ["one"]


async def test_a_reopened_session_is_taken_up_by_its_origin(scripted: ScriptedServer, url: str) -> None:
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        first = await client.create_session()
        await first.send(TALK[:6400])
        await final_of(first, "3")
        scripted.lose_sessions()
        await first.send(TALK[6400:9600])
        last = await final_of(first, "4 5 6")
        await first.confirmed()
    async with STTClient(url, retry=QUICK) as client:
        again = await client.session(first.origin)
        assert again.confirmed_bytes == 9600
        await again.send(TALK[9600:])
        assert (await again.finish()).text == " ".join(SAID)
        assert texts(await all_events(again)) == SAID
        assert texts(await all_events(again, after=last.id or 0)) == SAID[3:]


# --- transcripts ----------------------------------------------------------------------------------------------------


async def test_the_transcript_of_a_reopened_session_is_written_as_the_server_would(
    scripted: ScriptedServer, url: str
) -> None:
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(TALK[:6400])
        await final_of(session, "3")
        scripted.lose_sessions()
        await session.send(TALK[6400:])
        await session.finish()
        transcript = await session.transcript()
        written: dict[str, Any] = {
            "text": await session.transcript("text"),
            "srt": await session.transcript("srt"),
            "vtt": await session.transcript("vtt"),
        }
    assert [segment["text"] for segment in transcript.document["segments"]] == SAID
    segments = [SegmentResponse.model_validate(each) for each in transcript.document["segments"]]
    assert written == {"text": to_text(segments), "srt": to_srt(segments), "vtt": to_vtt(segments)}


async def test_where_the_server_stands_is_told_on_the_callers_counts(scripted: ScriptedServer, url: str) -> None:
    scripted.listens = True
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(TALK[:6400])
        await final_of(session, "3")
        scripted.lose_sessions()
        await session.send(TALK[6400:])
        await session.confirmed()
        assert (await session.state()).offset == session.confirmed_bytes == len(TALK)
