"""What the command line does while a session goes on: send its source, show its events, flush when asked to."""

import asyncio
import contextlib

from stt_client import Event, RequestRefused, Session, STTClientError
from stt_client.cli.keyboard import Keyboard
from stt_client.cli.microphone import Microphone
from stt_client.cli.sources import Source
from stt_client.cli.terminal import Display
from stt_client.clock import clock
from stt_client.codes import Action, on_reason

WATCH_SECONDS = 0.5


class SessionRun:
    """One session of the command line, from the first byte of its source to ``session_end``."""

    def __init__(self, session: Session, source: Source, display: Display) -> None:
        self._session = session
        self._source = source
        self._display = display
        self._keyboard = Keyboard.of(source)
        self._all_sent = False
        self._failed = False
        self._ended_well = False

    async def run(self) -> bool:
        """True when all was sent and recognised. Raises the errors of the SDK."""
        error: BaseException | None = None
        try:
            if isinstance(self._source, Microphone):
                enter = " Enter asks for what was said so far;" if self._keyboard else ""
                self._display.notice(f"Listening;{enter} Ctrl-C ends.")
            async with asyncio.TaskGroup() as tasks:
                beside = [
                    tasks.create_task(self._upload()),
                    tasks.create_task(self._watch_progress()),
                    tasks.create_task(self._flush_on_enter()),
                ]
                await self._follow()
                for task in beside:
                    task.cancel()
        except* (STTClientError, OSError) as errors:
            error = errors.exceptions[0]
        if error:
            raise error
        return self._ended_well and not self._failed

    async def _follow(self) -> None:
        async with contextlib.aclosing(self._session.events()) as events:
            async for event in events:
                self._display.show(event)
                self._note(event)

    def _note(self, event: Event) -> None:
        data = event.data
        if event.event_type == "session_reopened":
            since = clock(data["from_seconds"])
            self._display.notice(f"The session goes on in a new one from {since} on: {data['reason']}.")
        if event.event_type == "error":
            self._display.warn(f"{data.get('message')} ({data.get('code')})")
            self._failed = self._failed or not data.get("recoverable", False)
        if event.event_type == "session_end":
            reason = data.get("reason")
            # One that would have been reopened, had anything been left to recognise, is complete as well.
            self._ended_well = self._all_sent and on_reason(reason) in (Action.DONE, Action.REOPEN)
            if not self._ended_well:
                self._display.warn(f"The server ended the session: {reason}.")

    async def _upload(self) -> None:
        try:
            async for chunk in self._source:
                await self._session.send(chunk)
            await self._session.confirmed()
        except RequestRefused as refusal:
            if refusal.code != "session_ended":
                raise
            return  # the event stream says why
        self._all_sent = True
        if isinstance(self._source, Microphone) and self._source.lost_seconds:
            self._display.warn(f"{self._source.lost_seconds:.1f} s of the microphone were lost: nobody took them.")
        await self._session.finish()

    async def _watch_progress(self) -> None:
        source = self._source
        while self._display.live and source.total_bytes:
            state = await self._session.state()
            sent = self._session.confirmed_bytes
            uploaded = clock(sent / source.byte_rate) if source.byte_rate else f"{sent / 1e6:.1f} MB"
            self._display.show_progress(uploaded, state.recognized_seconds)
            await asyncio.sleep(WATCH_SECONDS)

    async def _flush_on_enter(self) -> None:
        while self._keyboard and not self._all_sent:
            await self._keyboard.enter()
            try:
                await self._session.flush()
            except STTClientError as error:  # the session itself goes on
                self._display.warn(str(error))
