"""The thread behind the app: it follows the sessions of one browser session while Streamlit runs its script again.

The script asks (``carry_on``, ``watch``) and reads pictures (``LiveSession.view``, ``Background.server``); it never
waits for the network. What a session is lives in the script's session state, so that a thread that was closed with
its browser connection can be replaced by one that carries on after the last event seen.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from stt_client import RequestRefused, RetryPolicy, Session, STTClient, STTClientError
from stt_streamlit.state import LiveSession, Problem

WATCH_SECONDS = 2.0
ONCE = RetryPolicy(give_up_seconds=0, first_contact_seconds=0)
PROGRESS_SECONDS = 0.4
DOCUMENT_SECONDS = 2.0
CHUNK_BYTES = 1 << 16
OPENING = RetryPolicy(give_up_seconds=4, first_contact_seconds=4)
FOLLOWING = RetryPolicy(give_up_seconds=600, first_contact_seconds=600)
"""To open a session is soon tried again by hand; later on there is a recording to lose, which the browser keeps for
ten minutes."""
FLUSH_SECONDS = 10.0
AHEAD_SECONDS = 10.0
"""Of a file that the server may have but not have recognised: so much still comes after the user has stopped it."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """``known``: the server was asked. ``health`` and ``info`` are its last answers, kept while it is away."""

    url: str = ""
    known: bool = False
    problem: Problem | None = None
    health: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return self.problem is None and bool(self.health.get("ready"))


class Background:
    """One thread with an event loop, which owns every connection of one browser session."""

    def __init__(self) -> None:
        self.server = ServerStatus()
        self._watched: tuple[str, str | None] | None = None
        self._known = threading.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks = asyncio.TaskGroup()
        self._closing = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stt-client", daemon=True)
        self._thread.start()
        self._started.wait()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        """Let go of every connection. Sessions that are not over can be carried on by another thread."""
        self._call(self._closing.set)

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def carry_on(self, live: LiveSession) -> None:
        """Open, upload and follow a session until it is over; nothing happens if that is going on already."""
        if not live.view.over:
            self._call(self._start, live.key, _carry_on, live)

    def flush(self, live: LiveSession) -> None:
        """Have what was said so far recognised now; a failure becomes a notice of the session."""
        self._call(self._start, f"flush {live.key}", _flush, live)

    def watch(self, url: str, api_key: str | None) -> None:
        """Keep ``server`` up to date, for this server from now on."""
        if self._watched != (url, api_key):
            self._watched = (url, api_key)
            self._known.clear()
            self.server = ServerStatus(url)
            self._call(self._restart, "server", self._watch, url, api_key)

    def wait_for_server(self, seconds: float) -> None:
        """Return when the server has been asked for the first time, or after so long."""
        self._known.wait(seconds)

    def _call(self, act: Callable[..., object], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: the script will ask another thread
            self._loop.call_soon_threadsafe(act, *arguments)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._own_tasks())

    async def _own_tasks(self) -> None:
        async with self._tasks:
            self._started.set()
            await self._closing.wait()
            for task in self._running.values():
                task.cancel()

    def _start(self, name: str, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        if name in self._running or self._closing.is_set():
            return
        task = self._tasks.create_task(work(*arguments))
        self._running[name] = task
        task.add_done_callback(lambda done: self._forget(name, done))

    def _restart(self, name: str, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        if before := self._running.pop(name, None):
            before.cancel()
        self._start(name, work, *arguments)

    def _forget(self, name: str, done: asyncio.Task[None]) -> None:
        if self._running.get(name) is done:
            del self._running[name]

    async def _watch(self, url: str, api_key: str | None) -> None:
        status = ServerStatus(url)
        while True:
            status = await _ask(status, api_key)
            self.server = status
            self._known.set()
            await asyncio.sleep(WATCH_SECONDS)


# --- a session ------------------------------------------------------------------------------------------------------


async def _carry_on(live: LiveSession) -> None:
    try:
        async with STTClient(live.url, live.api_key, retry=FOLLOWING) as client:
            if not live.view.session_id:
                session_id = await _open(live)
                live.view = replace(live.view, session_id=session_id)
            session = await client.session(live.origin or live.view.session_id)
            state = await session.state()
            live.view = live.view.opened(state)
            await _follow(session, live)
    except* (STTClientError, ValueError) as errors:
        live.view = live.view.failed(_first(errors))
    live.audio = None


async def _open(live: LiveSession) -> str:
    async with STTClient(live.url, live.api_key, retry=OPENING) as client:
        return (await client.create_session(**live.config)).session_id


async def _flush(live: LiveSession) -> None:
    try:
        async with STTClient(live.url, live.api_key, retry=OPENING) as client:
            await (await client.session(live.view.session_id)).flush(FLUSH_SECONDS)
    except* (STTClientError, ValueError) as errors:
        live.view = live.view.noticed(Problem.of(_first(errors)))


async def _follow(session: Session, live: LiveSession) -> None:
    finals = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        beside = [tasks.create_task(_keep_documents(session, live, finals))]
        if live.audio is not None:
            beside.append(tasks.create_task(_upload(session, live, live.audio)))
            beside.append(tasks.create_task(_measure(session, live, len(live.audio))))
        async with aclosing(session.events(after=live.view.last_event_id)) as events:
            async for event in events:
                if event.event_type == "session_end":  # seen to be over only when the downloads are complete
                    await _fetch_documents(session, live)
                live.view, live.origin = live.view.after(event), session.origin
                if event.event_type == "final":
                    finals.set()
        for task in beside:
            task.cancel()
    if not live.view.over:  # it had ended before, and nothing has come since
        state = await session.state()
        live.view = replace(live.view, status="ended", reason=state.reason or "")


async def _upload(session: Session, live: LiveSession, audio: bytes) -> None:
    try:
        for begin in range(session.confirmed_bytes, len(audio), CHUNK_BYTES):
            await _wait_until_needed(session, live)
            if live.stopping:
                break
            await session.send(audio[begin : begin + CHUNK_BYTES])
            await session.confirmed()
        await session.finish()
    except RequestRefused as refusal:
        if refusal.code != "session_ended":  # then the event stream says why
            raise


async def _wait_until_needed(session: Session, live: LiveSession) -> None:
    while not live.stopping:
        state = await session.state()
        if state.buffered_seconds <= AHEAD_SECONDS:
            return
        await asyncio.sleep(PROGRESS_SECONDS)


async def _measure(session: Session, live: LiveSession, total_bytes: int) -> None:
    while True:
        state = await session.state()  # not inside the next line, which would take the picture from before the wait
        live.view = live.view.measured(state, total_bytes)
        await asyncio.sleep(PROGRESS_SECONDS)


async def _keep_documents(session: Session, live: LiveSession, finals: asyncio.Event) -> None:
    while await finals.wait():
        finals.clear()
        await _fetch_documents(session, live)
        await asyncio.sleep(DOCUMENT_SECONDS)


async def _fetch_documents(session: Session, live: LiveSession) -> None:
    """What can be downloaded. Without an answer the documents before stay."""
    with suppress(STTClientError, TimeoutError):
        async with asyncio.timeout(WATCH_SECONDS):
            srt, vtt = await session.transcript("srt"), await session.transcript("vtt")
            transcript = await session.transcript()
        live.view = live.view.documented(transcript, srt, vtt)


# --- the server -----------------------------------------------------------------------------------------------------


async def _ask(before: ServerStatus, api_key: str | None) -> ServerStatus:
    try:
        async with STTClient(before.url, api_key, retry=ONCE) as client:
            async with httpx.AsyncClient(base_url=before.url, timeout=WATCH_SECONDS) as http:
                health = dict((await http.get("health")).json())
            info = await client.info() if before.problem or not before.info else before.info
    except (STTClientError, httpx.HTTPError) as error:
        return replace(before, known=True, problem=Problem.of(error))
    except (ValueError, TypeError) as error:  # an address that is none, or something else that answers there
        return replace(before, known=True, problem=Problem("wrong_address", str(error)))
    return replace(before, known=True, problem=None, health=health, info=info)


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    """The first error inside groups of groups."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
