"""What the tests of the Streamlit client share."""

import time
from typing import Any

from stt_client import STTClient
from tests.support.fake_engine import speech
from tests.support.servers import STUCK_SECONDS, wav_of

NOWHERE = "http://127.0.0.1:9"
UTTERANCES = ((1, 2), (3,), (4, 5, 6))
TALK = wav_of(speech(*UTTERANCES))


def until(condition: Any) -> None:
    """Wait for something that another thread is doing."""
    deadline = time.monotonic() + STUCK_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


async def open_session(url: str) -> str:
    async with STTClient(url) as client:
        return (await client.create_session()).session_id
