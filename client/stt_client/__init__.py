"""Asynchronous SDK: audio goes up in resumable POSTs, events come down by SSE, each byte and each event once.

    async with STTClient("http://127.0.0.1:8001") as client:
        session = await client.create_session(language="ko")
        await session.send(pcm)
        transcript = await session.finish()

``Session.send`` and ``Session.events`` are meant to run at the same time, in two tasks. Every method that asks the
server may raise the errors of ``stt_client.errors``.
"""

from stt_client.client import STTClient
from stt_client.errors import RequestRefused, ServerUnavailable, SessionLost, STTClientError
from stt_client.origin import Origin
from stt_client.retries import RetryPolicy
from stt_client.session import Session
from stt_client.wire import Event, Segment, SessionState, Transcript

__version__ = "0.1.0"

__all__ = [
    "Event",
    "Origin",
    "RequestRefused",
    "RetryPolicy",
    "STTClient",
    "STTClientError",
    "Segment",
    "ServerUnavailable",
    "Session",
    "SessionLost",
    "SessionState",
    "Transcript",
]
