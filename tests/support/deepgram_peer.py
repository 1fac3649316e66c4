"""Deepgram's side of ``/v1/listen``: handshake, messages, timers and closes, and every way in which it can fail.

``plan`` says what befalls the connections, in their order; when it is used up, everything goes well.
"""

import asyncio
import json
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from tests.support.deepgram_speech import CodedTranscriber, MakeTranscriber
from tests.support.deepgram_stream import (
    CODECS,
    Habits,
    Handshake,
    Misfortune,
    NeverAnswer,
    PeerStream,
    Refuse,
    Trouble,
)

KEY = "dg-key-for-tests"
KOREAN_MODELS = ("nova-2", "nova-2-general", "nova-3", "nova-3-general")


class DeepgramPeer:
    """An async context manager: listens on a free port of the loopback. ``streams`` and ``handshakes`` remember all."""

    def __init__(
        self,
        plan: Iterable[Misfortune] = (),
        *,
        transcriber: MakeTranscriber = CodedTranscriber,
        key: str = KEY,
        hungry_seconds: float = 10.0,
        mute_seconds: float = 30.0,
        alter: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.plan = deque(plan)
        self.handshakes: list[Handshake] = []
        self.streams: list[PeerStream] = []
        self.habits = Habits(transcriber, hungry_seconds, mute_seconds, alter)
        self.url = ""
        self._key = key
        self._server: Server | None = None
        self._port = 0
        self._admitted: dict[ServerConnection, Handshake] = {}
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._listen(0)
        return self

    async def _listen(self, port: int) -> None:
        self._server = await serve(
            self._handle,
            "127.0.0.1",
            port,
            process_request=self._admit,
            process_response=self._add_request_id,
            select_subprotocol=_first_subprotocol,
            max_size=None,
            open_timeout=None,
            ping_interval=None,
        )
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{self._port}"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.vanish()

    async def vanish(self) -> None:
        """Gone: nothing listens, and every open connection breaks."""
        assert self._server is not None
        self._server.close(close_connections=False)
        for connection in list(self._admitted):
            connection.transport.abort()
        await self._server.wait_closed()

    async def come_back(self) -> None:
        """Where it was before."""
        await self._listen(self._port)

    async def until(self, reached: Callable[["DeepgramPeer"], bool]) -> None:
        """Wait for something to have happened here."""
        while not reached(self):
            self._changed.clear()
            await self._changed.wait()

    def note_change(self) -> None:
        self._changed.set()

    # --- handshake --------------------------------------------------------------------------------------------------

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        url = urlsplit(request.path)
        event = self.plan.popleft() if self.plan else Trouble()
        handshake = Handshake(parse_qsl(url.query), request.headers, 101, str(uuid.uuid4()))
        self.handshakes.append(handshake)
        self._admitted[connection] = handshake
        self.note_change()
        if isinstance(event, NeverAnswer):
            await connection.wait_closed()
            return None
        refusal = event if isinstance(event, Refuse) else self._objection(url.path, handshake)
        if refusal is not None:
            handshake.status = refusal.status
            return _refusal(connection, refusal, handshake.request_id)
        assert isinstance(event, Trouble)
        handshake.trouble = event
        return None

    def _objection(self, path: str, handshake: Handshake) -> Refuse | None:
        if path != "/v1/listen":
            return Refuse(404, "NOT_FOUND", "Not found.")
        if not _authorised(handshake.headers, self._key):
            return Refuse(401, "INVALID_AUTH", "Invalid credentials.")
        complaint = _complaint(handshake)
        return Refuse(400, "INVALID_QUERY_PARAMETER", complaint) if complaint else None

    async def _add_request_id(self, connection: ServerConnection, request: Request, response: Response) -> None:
        if response.status_code == 101:
            response.headers["dg-request-id"] = self._admitted[connection].request_id

    async def _handle(self, connection: ServerConnection) -> None:
        stream = PeerStream(connection, self._admitted[connection], self.habits, self.note_change)
        self.streams.append(stream)
        self.note_change()
        try:
            with suppress(ConnectionClosed):
                await stream.run()
        finally:
            stream.over = True
            del self._admitted[connection]
            self.note_change()


def _first_subprotocol(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return offered[0] if offered else None


def _refusal(connection: ServerConnection, refusal: Refuse, request_id: str) -> Response:
    body = {"err_code": refusal.code, "err_msg": refusal.message, "request_id": request_id}
    response = connection.respond(HTTPStatus(refusal.status), json.dumps(body) if refusal.as_json else refusal.message)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json" if refusal.as_json else "text/plain"
    if refusal.as_json:
        response.headers["dg-error"] = refusal.message
    response.headers["dg-request-id"] = request_id
    return response


def _authorised(headers: Headers, key: str) -> bool:
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    if not given:
        scheme, _, given = headers.get("Sec-WebSocket-Protocol", "").partition(",")
        given = given.partition(",")[0]
    return scheme.strip().lower() in ("token", "bearer") and given.strip() == key


def _complaint(handshake: Handshake) -> str | None:
    """What Deepgram would not take of the query; ``None`` when it is fine. Unknown parameters are ignored."""
    model, language = handshake.get("model", "base-general"), handshake.get("language", "en")
    utterance_end, endpointing = handshake.get("utterance_end_ms"), handshake.get("endpointing", "10")
    if language.startswith("ko") and model not in KOREAN_MODELS:
        return "Bad Request: No such model/language/tier combination found."
    if model.startswith("nova-3") and handshake.all("keywords"):
        return "Keywords are not supported for Nova-3. Please use `keyterm` instead."
    if utterance_end and (not utterance_end.isdigit() or int(utterance_end) < 1000):
        return f"Invalid 'utterance_end_ms' value of '{utterance_end}'."
    if utterance_end and not handshake.flag("interim_results"):
        return "'utterance_end_ms' needs 'interim_results'."
    if endpointing.lower() not in ("true", "false") and not endpointing.isdigit():
        return f"Invalid 'endpointing' value of '{endpointing}'."
    if handshake.get("encoding") and not handshake.get("sample_rate"):
        return "'encoding' needs 'sample_rate'."
    if handshake.get("encoding", "linear16") not in CODECS:
        return "This peer hears linear16, mulaw, alaw and WAV only."
    return None if handshake.get("channels", "1") in ("1", "2") else "This peer hears one or two channels only."
