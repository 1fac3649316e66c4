"""The SDK against a scripted server on loopback that keeps the wire contract, and breaks it where a test says so."""

import asyncio
import json
import socket
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from client.stt_client import (
    Event,
    RequestRefused,
    RetryPolicy,
    ServerUnavailable,
    Session,
    SessionLost,
    STTClient,
)

QUICK = RetryPolicy(first_seconds=0.001, longest_seconds=0.002, give_up_seconds=10.0)
UPLOAD_FAULTS = ("500", "503", "408", "backlog", "lose answer", "lose request", "lose half", "mismatch", "not json")
STREAM_FAULTS = ("end", "abort", "half a frame", "repeat", "503")


class AbortableProtocol(H11Protocol):
    """Lets an endpoint drop its own connection, by the address of the client."""

    transports: dict[Any, asyncio.Transport] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transports[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.transports.pop(self.client, None)


@dataclass
class StoredSession:
    config: dict[str, Any]
    audio: bytearray = field(default_factory=bytearray)
    events: list[dict[str, Any]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1]["event_type"] == "session_end"


class ScriptedServer:
    """The wire without recognition. ``upload_faults`` and ``stream_faults`` are used up, one a request.

    ``first_words`` are published with the first audio, ``last_words`` when the session is finished.
    """

    def __init__(self) -> None:
        self.sessions: dict[str, StoredSession] = {}
        self.upload_faults: deque[str] = deque()
        self.stream_faults: deque[tuple[str, int]] = deque()
        self.first_words: list[tuple[str, dict[str, Any]]] = []
        self.last_words: list[tuple[str, dict[str, Any]]] = []
        self.refusal: Response | None = None
        self.unfinished_answers = 0
        self.heartbeat_seconds = 0.02
        self.upload_offsets: list[int] = []
        self.uploads_open = asyncio.Event()
        self.uploads_open.set()
        self.upload_waits = asyncio.Event()
        self.finish_waits = asyncio.Event()
        self.finish_open = asyncio.Event()
        self.finish_open.set()
        self.requests: list[Request] = []
        self.app = Starlette(
            routes=[
                Route("/sessions", self.create, methods=["POST"]),
                Route("/sessions/{id}", self.describe, methods=["GET"]),
                Route("/sessions/{id}", self.finish, methods=["DELETE"]),
                Route("/sessions/{id}/audio", self.upload, methods=["POST"]),
                Route("/sessions/{id}/stream", self.stream, methods=["GET"]),
                Route("/sessions/{id}/transcript", self.transcript, methods=["GET"]),
            ]
        )

    @property
    def newest(self) -> StoredSession:
        return list(self.sessions.values())[-1]

    async def create(self, request: Request) -> Response:
        self.requests.append(request)
        if self.refusal:
            return self.refusal
        session_id = f"sess_{len(self.sessions)}"
        self.sessions[session_id] = StoredSession((await request.json())["config"])
        return JSONResponse({"session_id": session_id, "status": "open", "engine": "scripted", "new": 1}, 201)

    async def describe(self, request: Request) -> Response:
        session = self.sessions.get(request.path_params["id"])
        if session is None:
            return problem(404, "session_not_found")
        status, offset = "ended" if session.ended else "open", len(session.audio)
        return JSONResponse({"session_id": request.path_params["id"], "status": status, "offset": offset})

    async def publish(self, session_id: str, event_type: str, data: dict[str, Any]) -> None:
        session = self.sessions[session_id]
        async with session.changed:
            session.events.append(wire_event(session_id, event_type, data))
            session.changed.notify_all()

    async def upload(self, request: Request) -> Response:
        session_id, body = request.path_params["id"], await request.body()
        self.upload_waits.set()
        await self.uploads_open.wait()
        session, offset = self.sessions.get(session_id), int(request.headers["upload-offset"])
        self.upload_offsets.append(offset)
        if session is None:
            return problem(404, "session_not_found")
        if session.ended:
            return problem(409, "session_ended")
        fault = self.upload_faults.popleft() if self.upload_faults else ""
        stored = {"lose answer": len(body), "": len(body)}.get(fault, 0)
        if fault in ("backlog", "lose half", "mismatch"):
            stored = len(body) // 2
        if offset > len(session.audio):
            return problem(409, "offset_mismatch", offset=len(session.audio))
        session.audio += body[len(session.audio) - offset : stored]
        if not session.events:
            for event_type, data in self.first_words:
                await self.publish(session_id, event_type, data)
        return upload_answer(request, fault, len(session.audio))

    async def stream(self, request: Request) -> Response:
        self.requests.append(request)
        session_id, after = request.path_params["id"], int(request.headers.get("last-event-id", 0))
        session = self.sessions.get(session_id)
        if session is None:
            return problem(404, "session_not_found")
        if session.ended and after == len(session.events):
            return Response(status_code=204)
        fault, count = self.stream_faults.popleft() if self.stream_faults else ("", 0)
        if fault == "503":
            return problem(503, "draining")
        frames = self.frames(request, session_id, session, 0 if fault == "repeat" else after, fault, count)
        return StreamingResponse(frames, media_type="text/event-stream")

    async def frames(
        self, request: Request, session_id: str, session: StoredSession, after: int, fault: str, count: int
    ) -> AsyncGenerator[str, None]:
        """Frames until the session ends; a fault strikes after ``count`` events."""
        yield "retry: 1\n" + frame(wire_event(session_id, "heartbeat", {"status": "connected"}))
        sent = 0
        while True:
            for event in session.events[after:]:
                if fault and fault != "repeat" and sent == count:
                    if fault == "half a frame":
                        yield frame(event, after + 1)[:-9]
                    if fault == "stall":
                        await asyncio.Event().wait()
                    if fault == "abort":
                        abort(request)
                    return
                after, sent = after + 1, sent + 1
                yield frame(event, after)
                if event["event_type"] == "session_end":
                    return
            try:
                async with asyncio.timeout(self.heartbeat_seconds), session.changed:
                    await session.changed.wait_for(lambda: len(session.events) > after)  # noqa: B023
            except TimeoutError:
                yield frame(wire_event(session_id, "heartbeat", {"status": "alive"}))

    async def finish(self, request: Request) -> Response:
        session_id = request.path_params["id"]
        if "purge" in request.query_params:
            gone = self.sessions.pop(session_id, None)
            return Response(status_code=204) if gone else problem(404, "session_not_found")
        self.finish_waits.set()
        await self.finish_open.wait()
        if self.unfinished_answers:
            self.unfinished_answers -= 1
            return JSONResponse(self.document(session_id, "finishing"), 202)
        if not self.sessions[session_id].ended:
            for event_type, data in [*self.last_words, ("session_end", {"reason": "finished"})]:
                await self.publish(session_id, event_type, data)
        return JSONResponse(self.document(session_id, "ended"))

    async def transcript(self, request: Request) -> Response:
        format = request.query_params.get("format", "json")
        document = self.document(request.path_params["id"], "ended")
        return JSONResponse(document) if format == "json" else PlainTextResponse(f"{format}: {document['text']}")

    def document(self, session_id: str, status: str) -> dict[str, Any]:
        events = self.sessions[session_id].events
        finals = [event["data"] for event in events if event["event_type"] == "final"]
        text = " ".join(final["text"] for final in finals)
        return {"session_id": session_id, "status": status, "text": text, "segments": finals, "duration": 1.0}


def problem(status: int, code: str, retry_after: int = 0, **extra: Any) -> Response:
    headers = {"Retry-After": str(retry_after)} if status in (429, 503) else {}
    document = {"code": code, "detail": f"scripted {code}", **extra}
    return JSONResponse(document, status, headers, media_type="application/problem+json")


def upload_answer(request: Request, fault: str, offset: int) -> Response:
    if fault in ("500", "503", "408"):
        return problem(int(fault), "scripted")
    if fault == "backlog":
        return problem(429, "backlog_full", offset=offset)
    if fault == "mismatch":
        return problem(409, "offset_mismatch", offset=offset)
    if fault == "not json":
        return PlainTextResponse("<html>a proxy</html>")
    if fault:
        abort(request)
    return JSONResponse({"offset": offset})


def abort(request: Request) -> None:
    AbortableProtocol.transports[request.scope["client"]].abort()


def wire_event(session_id: str, event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"event_type": event_type, "data": data, "timestamp": 1.0, "session_id": session_id}


def frame(event: dict[str, Any], id: int | None = None) -> str:
    return ("" if id is None else f"id: {id}\n") + f"data: {json.dumps(event, ensure_ascii=False)}\n\n"


def final(text: str, start: float = 0.0, end: float = 1.0) -> tuple[str, dict[str, Any]]:
    return "final", {"text": text, "is_partial": False, "start": start, "end": end, "language": "ko", "engine": "x"}


@asynccontextmanager
async def serving(scripted: ScriptedServer, port: int = 0) -> AsyncIterator[str]:
    """The server on loopback, until the block ends: then it is gone at once, with all its connections."""
    listener = socket.create_server(("127.0.0.1", port))  # from here on connections wait for it, so nobody has to
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio would do it, had it made the socket
    config = uvicorn.Config(scripted.app, http=AbortableProtocol, lifespan="off", log_config=None, ws="none")
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            scripted.uploads_open.set()
            scripted.finish_open.set()
            for transport in list(AbortableProtocol.transports.values()):
                transport.abort()


@pytest.fixture
def scripted() -> ScriptedServer:
    return ScriptedServer()


@pytest.fixture
async def url(scripted: ScriptedServer) -> AsyncIterator[str]:
    async with serving(scripted) as url:
        yield url


async def all_events(session: Session, after: int = 0) -> list[Event]:
    return [event async for event in session.events(after)]


# --- audio up -------------------------------------------------------------------------------------------------------


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
    with asyncio.Runner() as runner:
        scripted = ScriptedServer()
        server = serving(scripted)
        url = runner.run(server.__aenter__())

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

        try:
            check()
        finally:
            runner.run(server.__aexit__(None, None, None))


async def test_bytes_of_one_send_stay_together_among_several_senders(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(url, retry=QUICK, chunk_bytes=10, buffer_bytes=15) as client:
        session = await client.create_session()
        async with asyncio.TaskGroup() as senders:
            for pcm in (b"a" * 35, b"b" * 5, b"c" * 35):
                senders.create_task(session.send(pcm))
        await session.flush()
    assert scripted.newest.audio == b"a" * 35 + b"b" * 5 + b"c" * 35


@pytest.mark.parametrize("fault", ["backlog", "mismatch"])
async def test_the_offset_of_a_refusal_is_where_the_upload_goes_on(
    scripted: ScriptedServer, url: str, fault: str
) -> None:
    scripted.upload_faults.append(fault)
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(b"123456")
        await session.flush()
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
        await session.flush()
    assert scripted.newest.audio == b"0123456789x"


async def test_a_recognizer_that_is_behind_is_waited_for_longer_than_a_server_that_is_gone(
    scripted: ScriptedServer, url: str
) -> None:
    impatient = RetryPolicy(first_seconds=0.002, longest_seconds=0.002, give_up_seconds=0.01)
    async with STTClient(url, retry=impatient) as client:
        session = await client.create_session()
        await session.send(b"pcm")
        scripted.upload_faults.extend(["backlog"] * 50)
        await session.flush()
        assert scripted.newest.audio == b"pcm"
        scripted.upload_faults.extend(["503"] * 50)
        await session.send(b"more")
        with pytest.raises(ServerUnavailable):
            await session.flush()


async def test_what_was_taken_is_kept_when_the_server_is_unavailable_and_goes_up_later(
    scripted: ScriptedServer, url: str
) -> None:
    async with STTClient(url, retry=RetryPolicy(give_up_seconds=0.0)) as client:
        session = await client.create_session()
        scripted.upload_faults.append("lose half")
        await session.send(b"first ")
        with pytest.raises(ServerUnavailable):
            await session.flush()
        assert session.unconfirmed_bytes == 6
        await session.send(b"second")
        await session.finish()
    assert scripted.newest.audio == b"first second"


async def test_a_session_is_taken_up_by_its_id_where_the_server_stands(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(url, retry=QUICK) as client:
        first = await client.create_session()
        await first.send(b"before ")
        await first.flush()
    async with STTClient(url, retry=QUICK) as client:
        again = await client.session(first.session_id)
        assert again.confirmed_bytes == 7
        await again.send(b"after")
        await again.finish()
    assert scripted.newest.audio == b"before after"


async def test_a_server_that_lost_confirmed_audio_loses_the_session(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(b"stored")
        await session.flush()
        scripted.newest.audio.clear()
        await session.send(b"next")
        with pytest.raises(SessionLost, match="The server has 0 bytes; 6 were confirmed"):
            await session.flush()


async def test_sending_after_the_session_ended_is_refused(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.finish()
        await session.send(b"late")
        with pytest.raises(RequestRefused) as refused:
            await session.flush()
    assert (refused.value.status, refused.value.code) == (409, "session_ended")


# --- events down ----------------------------------------------------------------------------------------------------


async def test_events_come_live_in_order_and_end_with_the_session(scripted: ScriptedServer, url: str) -> None:
    scripted.first_words = [("speech_start", {"start": 0.1}), ("token", {"text": "안녕"})]
    scripted.last_words = [final("안녕하세요")]
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        async with aclosing(session.events()) as events:
            await session.send(b"pcm")
            assert (await anext(events)).event_type == "speech_start"
            live = await anext(events)
            assert live == Event("token", {"text": "안녕"}, 1.0, session.session_id, 2)
            await session.finish()
            rest = [(event.event_type, event.id) async for event in events]
    assert rest == [("final", 3), ("session_end", 4)]


def test_whatever_cuts_the_stream_each_event_comes_once_and_in_order() -> None:
    with asyncio.Runner() as runner:
        scripted = ScriptedServer()
        server = serving(scripted)
        url = runner.run(server.__aenter__())

        async def read(faults: list[tuple[str, int]], count: int) -> None:
            async with STTClient(url, retry=QUICK) as client:
                scripted.last_words = [final(str(number)) for number in range(count)]
                session = await client.create_session()
                scripted.stream_faults = deque(faults)
                async with asyncio.TaskGroup() as tasks:
                    reading = tasks.create_task(all_events(session))
                    await session.finish()
            texts = [event.data.get("text") for event in reading.result()]
            assert texts == [str(number) for number in range(count)] + [None]

        @settings(max_examples=40, deadline=None)
        @given(
            st.lists(st.tuples(st.sampled_from(STREAM_FAULTS), st.integers(0, 3)), max_size=6),
            st.integers(0, 8),
        )
        def check(faults: list[tuple[str, int]], count: int) -> None:
            runner.run(read(faults, count))

        try:
            check()
        finally:
            runner.run(server.__aexit__(None, None, None))


async def test_a_stream_that_falls_silent_is_opened_anew(scripted: ScriptedServer, url: str) -> None:
    scripted.first_words = [final("one"), final("two")]
    scripted.stream_faults = deque([("stall", 1)])
    async with STTClient(url, retry=QUICK, stall_seconds=0.2) as client:
        session = await client.create_session()
        await session.send(b"pcm")
        await session.finish()
        events = await all_events(session)
    assert [event.data.get("text") for event in events] == ["one", "two", None]
    assert [request.headers.get("last-event-id") for request in scripted.requests[1:]] == [None, "1"]


async def test_heartbeats_come_only_when_asked_for_and_have_no_id(scripted: ScriptedServer, url: str) -> None:
    scripted.first_words = [final("one")]
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.send(b"pcm")
        async with aclosing(session.events(heartbeats=True)) as events:
            seen = [await anext(events) for _ in range(4)]
    assert {event.event_type for event in seen} == {"heartbeat", "final"}
    assert all(event.id is None for event in seen if event.event_type == "heartbeat")


async def test_a_session_end_that_was_never_logged_is_told_too(scripted: ScriptedServer, url: str) -> None:
    class Purging(ScriptedServer):
        async def frames(self, *_: Any) -> AsyncGenerator[str, None]:
            yield frame(wire_event("sess_0", *final("one")), 1)
            yield frame(wire_event("sess_0", "session_end", {"reason": "purged"}))

    async with serving(Purging()) as url, STTClient(url, retry=QUICK) as client:
        events = await all_events(await client.create_session())
    assert [(event.event_type, event.data.get("reason")) for event in events] == [
        ("final", None),
        ("session_end", "purged"),
    ]


async def test_a_reader_that_has_seen_the_end_gets_nothing_more(scripted: ScriptedServer, url: str) -> None:
    async with STTClient(url, retry=QUICK) as client:
        session = await client.create_session()
        await session.finish()
        assert await all_events(session, after=1) == []


async def test_uploads_and_events_go_on_when_the_server_comes_back(scripted: ScriptedServer) -> None:
    scripted.first_words, scripted.last_words = [final("one")], [final("two")]
    async with AsyncExitStack() as first_life:
        url = await first_life.enter_async_context(serving(scripted))
        async with STTClient(url, retry=QUICK) as client:
            session = await client.create_session()
            events = session.events()
            await session.send(b"before ")
            assert (await anext(events)).data["text"] == "one"
            await session.flush()
            await first_life.aclose()
            await session.send(b"after")  # nobody is there now
            async with serving(scripted, int(url.rpartition(":")[2])):
                await session.finish()
                rest = [event.data.get("text") async for event in events]
    assert scripted.newest.audio == b"before after"
    assert rest == ["two", None]


# --- answers and refusals -------------------------------------------------------------------------------------------


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
            await all_events(session)


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
