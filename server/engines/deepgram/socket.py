"""The connection to Deepgram: opening it, giving it up, and what its failures mean."""

import logging
import socket
import ssl

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.http11 import Response

from server.engines.deepgram.messages import DeepgramError, closure, refusal
from server.engines.deepgram.settings import DeepgramSettings

MAX_MESSAGE_BYTES = 2**20
CLOSE_SECONDS = 1.0

log = logging.getLogger("stt.deepgram")
wire_log = logging.getLogger("stt.deepgram.wire")
wire_log.setLevel(logging.INFO)
"""Below this level the library logs headers, which hold the key, and messages, which hold the words."""


async def connect_live(url: str, settings: DeepgramSettings) -> ClientConnection:
    """An open stream. Raises :class:`DeepgramError`."""
    key = settings.key()
    try:
        return await connect(
            url,
            additional_headers={"Authorization": f"Token {key}"},
            user_agent_header="stt-realtime",
            compression=None,  # speech does not compress
            open_timeout=settings.deepgram_connect_seconds,
            ping_interval=None,  # see Pulse
            close_timeout=CLOSE_SECONDS,
            max_size=MAX_MESSAGE_BYTES,
            logger=wire_log,
        )
    except InvalidStatus as exc:
        answer = exc.response
        log.warning("deepgram %s: refused with %d", request_id(answer), answer.status_code)
        body = bytes(answer.body or b"").replace(key.encode(), b"")
        raise refusal(answer.status_code, _header(answer, "dg-error").replace(key, ""), body) from None
    except TimeoutError:
        waited = f"{settings.deepgram_connect_seconds:g} s"
        raise DeepgramError(f"Deepgram did not answer within {waited}.", retryable=True) from None
    except socket.gaierror as exc:
        raise DeepgramError("Deepgram's host name can't be resolved.", retryable=True) from exc
    except ssl.SSLCertVerificationError as exc:
        raise DeepgramError("Deepgram's certificate can't be verified.", retryable=False) from exc
    except (OSError, WebSocketException) as exc:
        raise DeepgramError(f"Deepgram can't be reached ({type(exc).__name__}).", retryable=True) from exc


def request_id(answer: Response | None) -> str:
    """The id by which Deepgram's support finds the stream."""
    return (_header(answer, "dg-request-id") if answer else "")[:64] or "without a request id"


def _header(answer: Response, name: str) -> str:
    # a header that comes twice makes the mapping's own methods raise
    return next(iter(answer.headers.get_all(name)), "")


def lost(error: ConnectionClosed) -> DeepgramError:
    """What it means that the connection is gone."""
    return closure(error.rcvd.code, error.rcvd.reason) if error.rcvd else closure(None, "")


async def hang_up(connection: ClientConnection) -> None:
    """Drop the connection at once: a polite end, where there is one, comes before."""
    connection.transport.abort()
    await connection.wait_closed()
