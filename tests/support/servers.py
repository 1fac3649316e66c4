"""A real server in a thread, where the recordings are, and what the tests know of this machine."""

import io
import os
import socket
import threading
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from server.engines.base import Engine
from server.main import create_app
from server.session_log.base import SessionLog
from server.settings import Settings

ROOT = Path(__file__).parents[2]
SPEECH_DIR = Path(os.environ.get("STT_SPEECH_DIR") or ROOT.parent / "shared" / "speech")
FIELD_DIR = Path(os.environ.get("STT_FIELD_DIR") or ROOT.parent / "shared" / "field")
KOREAN_WAV = ROOT / "samples" / "ko.wav"
KOREAN_TEXT = "그는 이리저리 피하면서 길 한 옆으로 걸어갔다"
LIVE_DEEPGRAM_KEY = os.environ.get("DEEPGRAM_API_KEY", "").strip()
LIVE_DEEPGRAM_URL = os.environ.get("DEEPGRAM_BASE_URL", "wss://api.deepgram.com")
"""For the tests that are marked so; no other sees them."""
FAIL_ON_SKIP = os.environ.get("STT_FAIL_ON_SKIP") == "1"
"""Set by CI: a test that is skipped although this machine could run it fails the run."""
STUCK_SECONDS = 60.0
"""Something that takes so long will never happen."""


class _Server(uvicorn.Server):
    """Says when it has started, or failed to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.decided = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.decided.set()


@contextmanager
def run_server(
    engines: Mapping[str, Engine] | None = None,
    settings: Mapping[str, Any] | None = None,
    session_log: SessionLog | None = None,
) -> Iterator[str]:
    """The app in a real uvicorn on a free port; gives its base URL. Without ``engines`` it has the real one."""
    app = create_app(settings_of(**(settings or {})), engines, session_log)
    config = uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1)
    server = _Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],), name="server")
        thread.start()
        try:
            assert server.decided.wait(STUCK_SECONDS)
            assert server.started, "the server did not start"
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(STUCK_SECONDS)
    assert not thread.is_alive(), "the server did not stop"


def settings_of(**values: Any) -> Settings:
    """The defaults but for ``values``, whatever the environment says."""
    assert values.keys() <= Settings.model_fields.keys(), "settings of an engine: see engine_settings"
    return Settings(_env_file=None, **values)


def wav_of(pcm: bytes, rate: int = 16_000) -> bytes:
    """A WAV file of mono PCM."""
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(rate)
        recording.writeframes(pcm)
    return file.getvalue()
