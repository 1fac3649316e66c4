"""STTService, the recognition half: claims sessions and owns what recognises them. Never sees HTTP.

There is one way to recover from anything: open a recognizer again at the checkpoint (the end of the newest final) and
feed it the audio from there. What differs is who does it: the same engine, the next one of the chain, or, when the
process is gone and its lease has run out, another process.
"""

import asyncio
import contextlib
import logging
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from server.audio.formats import seconds_ahead
from server.engines.base import Engine
from server.errors import LeaseLost, LogUnavailable, SessionEnded, SessionNotFound
from server.events import session_end_event
from server.observe.metrics import Metrics
from server.recognition.session import SessionRecognition, Step, cause_of
from server.session_log.base import Lease, SessionLog
from server.settings import Settings

log = logging.getLogger("stt.service")

CLAIM_WAIT_SECONDS = 3600.0
LAG_SECONDS = 5.0
"""How often the metrics learn how far behind each session is."""
LOG_RETRY_SECONDS = 0.5


@dataclass(slots=True)
class _Owned:
    """A session that this process recognises."""

    lease: Lease
    recognition: SessionRecognition
    task: asyncio.Task[None] | None = None


class STTService:
    """Recognises every session that nobody else does. ``run`` owns all tasks of this half."""

    def __init__(self, session_log: SessionLog, engines: Mapping[str, Engine], settings: Settings, metrics: Metrics):
        self._log = session_log
        self._engines = engines
        self._settings = settings
        self._metrics = metrics
        self._owner = secrets.token_hex(8)
        self._owned: dict[str, _Owned] = {}
        self._none_owned = asyncio.Event()
        self._none_owned.set()
        self._claiming: asyncio.Timeout | None = None
        self._draining = False
        self._tasks = asyncio.TaskGroup()
        self._runs = asyncio.Event()

    async def run(self) -> None:
        """Claim sessions until cancelled."""
        async with self._tasks:
            self._runs.set()
            self._tasks.create_task(self._keep_leases())
            self._tasks.create_task(self._report_lags())
            while not self._draining:
                if lease := await self._claim():
                    self._take(lease)

    # --- claims -----------------------------------------------------------------------------------------------------

    async def _claim(self) -> Lease | None:
        """A session that there is room for; ``None``: look again, the room may have changed."""
        try:
            async with asyncio.timeout(CLAIM_WAIT_SECONDS) as self._claiming:
                return await self._log.claim(self._owner, self._engines_with_room(), CLAIM_WAIT_SECONDS)
        except TimeoutError:
            return None
        except LogUnavailable as exc:
            log.warning("no session claimed: %s", exc)
            await asyncio.sleep(LOG_RETRY_SECONDS)
            return None
        finally:
            self._claiming = None

    def _engines_with_room(self) -> frozenset[str]:
        carried = Counter(owned.recognition.engine for owned in self._owned.values())

        def has_room(name: str, engine: Engine) -> bool:
            most = engine.capabilities.max_sessions
            return most is None or carried[name] < most

        return frozenset(name for name, engine in self._engines.items() if has_room(name, engine))

    def _take(self, lease: Lease) -> None:
        recognition = SessionRecognition(lease, self._log, self._engines, self._settings, self._metrics)
        owned = self._owned[lease.session_id] = _Owned(lease, recognition)
        self._none_owned.clear()
        owned.task = self._tasks.create_task(self._own(owned), name=f"recognise {lease.session_id[:12]}")

    async def _own(self, owned: _Owned) -> None:
        """Recognise one session to its end. The session barrier: what happens in here reaches no other session."""
        recognition = owned.recognition
        step: Step | None = recognition.recognise
        try:
            while (now := step) is not None:
                try:
                    step = await now()
                except Exception as exc:  # noqa: BLE001 - this is the barrier
                    step = recognition.step_after(now, cause_of(exc))
        finally:
            recognition.count_costs()
            self._let_go(owned)

    async def _keep_leases(self) -> None:
        """Renew every lease in time. A recognition whose lease is lost learns that from its next call to the log."""
        while True:
            await asyncio.sleep(self._settings.lease_seconds / 3)
            for owned in list(self._owned.values()):
                with contextlib.suppress(LeaseLost, SessionNotFound, LogUnavailable):
                    await self._log.renew(owned.lease)

    def _let_go(self, owned: _Owned) -> None:
        if self._owned.get(owned.lease.session_id) is owned:  # else it was lost, and claimed again by us
            full = self._engines_with_room() != frozenset(self._engines)
            del self._owned[owned.lease.session_id]
            if full:
                self._look_again()
        if not self._owned:
            self._none_owned.set()

    def _look_again(self) -> None:
        """End the claim that waits: what it may take has changed."""
        if self._claiming is not None and not self._claiming.expired():
            self._claiming.reschedule(asyncio.get_running_loop().time())

    async def _report_lags(self) -> None:
        while True:
            lags = {}
            for session_id in list(self._owned):
                with contextlib.suppress(SessionNotFound, LogUnavailable):
                    state = await self._log.state(session_id)
                    lags[session_id] = seconds_ahead(
                        state.config, state.head, state.offset, state.taken, state.recognized_seconds
                    )
            self._metrics.session_lags(lags)
            await asyncio.sleep(LAG_SECONDS)

    # --- stopping ---------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Let go of the sessions that this process owns, because it stops; those of others are not touched.

        Where the log survives the process they are released: another process, or the next one, goes on. Else they are
        finished: last finals if they come soon, ``session_end`` in any case.
        """
        self._draining = True
        self._look_again()
        if self._log.durable and self._settings.drain == "release":
            await self._release_all()
        else:
            await self._finish_all()

    async def _release_all(self) -> None:
        for owned in list(self._owned.values()):
            if owned.task is not None:
                owned.task.cancel()
            with contextlib.suppress(SessionNotFound, LeaseLost, LogUnavailable):
                await self._log.release(owned.lease)

    async def _finish_all(self) -> None:
        with contextlib.suppress(TimeoutError, LogUnavailable):
            async with asyncio.timeout(self._settings.drain_seconds):
                await self._take_what_nobody_has()
                for session_id in list(self._owned):
                    with contextlib.suppress(SessionNotFound):
                        await self._log.finish_audio(session_id, "server_shutdown")
                await self._none_owned.wait()
        for owned in list(self._owned.values()):
            with contextlib.suppress(SessionEnded, SessionNotFound, LeaseLost, LogUnavailable):
                end = session_end_event("server_shutdown")
                await self._log.append_events(owned.lease, [end], end_reason="server_shutdown")

    async def _take_what_nobody_has(self) -> None:
        """Where the log is this process's alone, a session that was just opened has to be ended, too."""
        await self._runs.wait()
        while not self._log.shared and (lease := await self._log.claim(self._owner, frozenset(self._engines), wait=0)):
            self._take(lease)
