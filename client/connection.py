"""HTTP to one server, tried again for as long as that makes sense."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, aconnect_sse

from client.wire import RetryPolicy, ServerUnavailable, STTClientError, read_document, read_refusal


class Connection:
    """HTTP to one server, with retries. Raises the errors of ``client.wire``, and none of httpx."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        transport: httpx.AsyncBaseTransport | None,
        retry: RetryPolicy,
        stall_seconds: float,
    ) -> None:
        self.retry = retry
        self.answered = False
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

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask until there is an answer."""
        patience = Patience(self)
        while True:
            try:
                return await self.ask(method, path, **options)
            except STTClientError as error:
                await patience.wait(error)

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

    async def frames(self, path: str, last_event_id: int) -> AsyncGenerator[ServerSentEvent, None]:
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
        self.answered = True
        if response.is_success:
            return response
        raise read_refusal(response)


class Patience:
    """Waits between tries of one thing, and raises when nothing has worked for too long."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._failures = 0
        self._since = 0.0

    def reset(self) -> None:
        self._failures = 0

    async def wait(self, error: STTClientError) -> None:
        """Wait before another try. Raises ``error`` when there should be none."""
        policy = self._connection.retry
        now = asyncio.get_running_loop().time()
        if not self._failures:
            self._since = now
        self._failures += 1
        delay = policy.delay(self._failures, error.retry_after)
        give_up = policy.give_up_seconds if self._connection.answered else policy.first_contact_seconds
        if not error.retryable or now + delay > self._since + give_up:
            raise error
        await asyncio.sleep(delay)


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
