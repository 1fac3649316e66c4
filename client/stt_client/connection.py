"""HTTP to one server, tried again for as long as that makes sense."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, aconnect_sse

from stt_client.errors import ServerUnavailable, STTClientError, read_document, read_refusal
from stt_client.retries import Retries, RetryPolicy
from stt_client.wire import Event, read_event


class Connection:
    """HTTP to one server, with retries. Raises the errors of ``stt_client.errors``, and none of httpx."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        transport: httpx.AsyncBaseTransport | None,
        retry: RetryPolicy,
        stall_seconds: float,
    ) -> None:
        self.retry = retry
        self._answered = False
        self._stream_timeout = httpx.Timeout(stall_seconds, connect=5.0)
        self._http = httpx.AsyncClient(
            base_url=_checked_url(base_url),
            headers=_authorization(api_key),
            transport=transport,
            timeout=httpx.Timeout(30.0, connect=5.0),
            # Each open event stream holds a connection: a bound here would let streams starve uploads.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    def retries(self) -> Retries:
        return Retries(self.retry, lambda: self._answered)

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask until there is an answer."""
        retries = self.retries()
        while True:
            try:
                return await self.ask(method, path, **options)
            except STTClientError as error:
                await retries.wait(error)

    async def document(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The JSON object of the answer."""
        return read_document(await self.request(method, path, **options))

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask once."""
        try:
            response = await self._http.request(method, path, **options)
        except httpx.RequestError as error:
            raise _unreachable(error) from error
        return self._accepted(response)

    async def events(self, path: str, after: int) -> AsyncGenerator[Event, None]:
        """Every event with an id above ``after``, once and in order, and the heartbeats between them.

        A stream that is cut or stalls is opened again where it stopped. Ends behind ``session_end``.
        """
        retries = self.retries()
        reconnect_seconds = 0.0
        while True:
            try:
                async with aclosing(self._frames(path, after)) as frames:
                    async for frame in frames:
                        if frame.retry is not None:
                            reconnect_seconds = frame.retry / 1000
                        event = read_event(frame)
                        if event is None:
                            continue
                        retries.reset()
                        is_new = event.id is None or event.id > after
                        if event.event_type == "session_end":  # of a purge, which is in no log
                            yield event if is_new else replace(event, id=None)
                            return
                        if is_new:
                            after = event.id or after
                            yield event
                return
            except STTClientError as cut:
                cut.retry_after = cut.retry_after or reconnect_seconds
                await retries.wait(cut)

    async def _frames(self, path: str, last_event_id: int) -> AsyncGenerator[ServerSentEvent, None]:
        """One connection to an event stream. Returns when the stream is over for good (204); a cut is an error."""
        headers = {"Last-Event-ID": str(last_event_id)} if last_event_id else {}
        try:
            async with aconnect_sse(self._http, "GET", path, headers=headers, timeout=self._stream_timeout) as source:
                if not source.response.is_success:
                    await source.response.aread()
                if self._accepted(source.response).status_code == 204:
                    return
                async with aclosing(source.aiter_sse()) as frames:
                    async for frame in frames:
                        yield frame
        except httpx.RequestError as error:
            raise _unreachable(error) from error
        raise ServerUnavailable("The event stream was cut.")

    def _accepted(self, response: httpx.Response) -> httpx.Response:
        self._answered = True
        if response.is_success:
            return response
        raise read_refusal(response)


def _checked_url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{base_url!r} is no URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{base_url!r} is no http:// or https:// address.")
    return url


def _authorization(api_key: str | None) -> dict[str, str]:
    if not api_key:
        return {}
    if not (api_key.isascii() and api_key.isprintable()):
        raise ValueError("The API key has characters that a header cannot carry.")
    return {"Authorization": f"Bearer {api_key}"}


def _unreachable(error: httpx.RequestError) -> ServerUnavailable:
    return ServerUnavailable(f"The server does not answer: {str(error) or type(error).__name__}")
