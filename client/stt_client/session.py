"""One session of the caller, over as many sessions on the server as it takes."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, Literal, overload

import httpx

from stt_client.codes import Action, on_reason
from stt_client.connection import Connection
from stt_client.errors import RequestRefused, ServerUnavailable, SessionLost, STTClientError, read_document
from stt_client.feed import Feed
from stt_client.lineage import Lineage
from stt_client.origin import Origin
from stt_client.transcript import joined, written
from stt_client.upload import Upload
from stt_client.wire import Event, SessionState, Transcript, read_state

FINISH_TIMEOUT = httpx.Timeout(90.0, connect=5.0)  # longer than a server waits for the last finals
FLUSH_SECONDS = 60.0
"""A server answers 2 s after it has recognised the audio, of which it may have half a minute left."""


class Session:
    """One session. Sending is safe from several tasks: the bytes of one ``send`` stay together.

    A session that the server has lost, or has ended although there is more to be said, is replaced by a new one: the
    audio that no final accounts for goes up again, and an event ``session_reopened`` tells it, with the data
    ``{"session_id", "previous", "reason", "from_seconds"}``. Bytes, seconds and event ids go on counting.
    """

    def __init__(
        self, connection: Connection, state: SessionState, lineage: Lineage, feed: Feed, upload: Upload
    ) -> None:
        self.engine = state.engine
        self.config = state.config
        self._connection = connection
        self._lineage = lineage
        self._feed = feed
        self._upload = upload

    @property
    def session_id(self) -> str:
        """The session on the server; another one after ``session_reopened``."""
        return self._lineage.origin.session_id

    @property
    def origin(self) -> Origin:
        """What :meth:`stt_client.STTClient.session` needs to take up a session that has been reopened."""
        return self._lineage.origin

    @property
    def confirmed_bytes(self) -> int:
        """Bytes of the session that the server has stored for certain; fewer again when it has lost them."""
        return self._lineage.audio.confirmed

    @property
    def unconfirmed_bytes(self) -> int:
        """Bytes taken by ``send`` that the server has not confirmed yet."""
        return self._lineage.audio.unconfirmed

    async def send(self, pcm: bytes) -> None:
        """Take bytes for the upload; block while too many are unconfirmed.

        Returns as soon as the bytes are taken; they go up in order until they are confirmed, which ``confirmed`` and
        ``finish`` wait for. Raises :class:`RequestRefused` or :class:`SessionLost` when the upload cannot go on. After
        :class:`ServerUnavailable` what was taken is still held (``confirmed_bytes + unconfirmed_bytes`` tells how much
        of ``pcm`` that is), and another ``send`` or ``finish`` tries anew.
        """
        if pcm:
            self._lineage.may_reopen = self._lineage.may_reopen or not self._lineage.finishing
            self._feed.start()
        await self._upload.take(pcm)

    async def confirmed(self) -> None:
        """Wait until the server has stored everything sent so far. Raises what ``send`` does."""
        await self._upload.confirmed()

    async def flush(self, seconds: float = FLUSH_SECONDS) -> str | None:
        """Have everything sent so far recognised now; the session goes on.

        Returns the text of the final that answers, or ``None`` where nothing was said since the final before it. Asked
        again before more is sent, it has the same answer.
        Raises what ``send`` does, and :class:`ServerUnavailable` if no answer has come within ``seconds``.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._flush()
        except TimeoutError as error:
            raise ServerUnavailable(f"No final has answered the flush within {seconds:g} s.") from error

    async def finish(self) -> Transcript:
        """Send what is left, let the server recognise it, and return the whole transcript. May be called again."""
        self._lineage.finishing = True
        self._lineage.changed.fire()
        try:
            transcript = await self._finish()
        except STTClientError:
            self._lineage.finishing = False
            raise
        self._close()
        return transcript

    async def purge(self) -> None:
        """Have the server erase everything about the session at once. A session that is gone is no error."""
        self._close()
        try:
            await self._connection.request("DELETE", self.origin.path, params={"purge": "true"})
        except SessionLost:
            return

    async def state(self) -> SessionState:
        """Where the server stands, on the caller's counts."""
        origin, answer = await self._ask("")
        state = read_state(read_document(answer))
        return replace(
            state,
            offset=state.offset + origin.offset,
            recognized_seconds=state.recognized_seconds + origin.seconds,
            last_event_id=state.last_event_id + origin.event_id,
        )

    @overload
    async def transcript(self, format: Literal["json"] = "json") -> Transcript: ...

    @overload
    async def transcript(self, format: Literal["text", "srt", "vtt"]) -> str: ...

    async def transcript(self, format: str = "json") -> Transcript | str:
        """What is final so far. The server writes ``text``, ``srt`` and ``vtt``; of a reopened session, this SDK."""
        if format != "json" and not self.origin.is_reopened:
            origin, answer = await self._ask("/transcript", params={"format": format})
            if not origin.is_reopened:
                return answer.text
        origin, answer = await self._ask("/transcript", params={"format": "json"})
        transcript = joined(origin, read_document(answer))
        return transcript if format == "json" else written(transcript, format)

    def events(self, after: int = 0, *, heartbeats: bool = False) -> AsyncGenerator[Event, None]:
        """Every event with an id above ``after``, once and in order, until the session ends.

        One task reads the event stream for all who call this; a stream that is cut or stalls is opened again where it
        stopped. Being idle does not end a session that has been sent to: it is reopened when more comes. Close the
        generator (``contextlib.aclosing``) when leaving it early.
        """
        return self._feed.events(after, heartbeats)

    async def _flush(self) -> str | None:
        lineage, feed = self._lineage, self._feed
        feed.start()
        while True:
            await self._upload.confirmed()
            origin = lineage.origin
            try:
                marked = await self._connection.document("POST", f"{origin.path}/flush")
            except (SessionLost, RequestRefused) as error:
                if error.code not in ("session_not_found", "session_ended"):
                    raise
                if not await feed.verdict(origin):
                    if lineage.audio.is_unaccounted:
                        raise
                    return None  # it has ended, and everything was recognised
                continue
            text = await feed.answer(origin, origin.offset + int(marked.get("offset", 0)))
            if text is not None or lineage.origin is origin:
                return text

    async def _finish(self) -> Transcript:
        while True:
            await self._upload.confirmed()
            origin = self.origin
            try:
                answer = await self._connection.request("DELETE", origin.path, timeout=FINISH_TIMEOUT)
            except SessionLost:
                if await self._feed.verdict(origin):
                    continue
                if not self._feed.over:
                    raise
                return self._held_transcript()
            if answer.status_code == 202:
                await asyncio.sleep(self._connection.retry.delay(1))
                continue
            transcript = joined(origin, read_document(answer))
            may_go_on = on_reason(transcript.reason) is Action.REOPEN and self._lineage.may_reopen
            if not may_go_on or not await self._feed.verdict(origin):
                return transcript

    def _held_transcript(self) -> Transcript:
        """Of a session that had ended with everything recognised, and that the server has forgotten since."""
        events = self._lineage.events
        whole = replace(self.origin, event_id=events.last_id, through=events.through, finals=tuple(events.finals))
        return joined(whole, {"session_id": self.session_id, "status": "ended", "text": "", "duration": 0.0})

    def _close(self) -> None:
        """Nothing more is sent, and what is lost from here on stays lost."""
        self._lineage.finishing = True
        self._lineage.may_reopen = False
        self._upload.stop()
        self._lineage.changed.fire()

    async def _ask(self, path: str, **options: Any) -> tuple[Origin, httpx.Response]:
        """A question to the newest session, and which one that was."""
        while True:
            origin = self.origin
            try:
                return origin, await self._connection.request("GET", f"{origin.path}{path}", **options)
            except SessionLost:
                if not self._lineage.may_reopen or not await self._feed.verdict(origin):
                    raise
