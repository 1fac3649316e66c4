"""Another wire on the same manager: it needs nothing of the first one."""

import ast
import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from server.observe.metrics import Metrics
from server.session_log.memory import MemorySessionLog
from server.streaming_manager import StreamingSessionManager
from server.stt_service import STTService
from tests.support import line_wire
from tests.support.fake_engine import FakeEngine, said, speech
from tests.support.servers import settings_of

pytestmark = pytest.mark.timeout(20)
SOURCE = Path(line_wire.__file__)


def test_a_wire_takes_fewer_than_eighty_lines() -> None:
    assert len(SOURCE.read_text("utf-8").splitlines()) < 80


def test_it_imports_the_manager_and_nothing_of_the_first_wire() -> None:
    imported = {
        node.module or "" for node in ast.walk(ast.parse(SOURCE.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)
    }
    ours = {name for name in imported if name.startswith("server")}
    assert ours == {"server.errors", "server.models", "server.streaming_manager"}


async def converse(*lines: str, engine: FakeEngine | None = None) -> list[tuple[str, dict[str, Any]]]:
    """All events of a session that is sent these lines."""
    engines = {"fake": engine or FakeEngine()}
    metrics = Metrics()
    async with MemorySessionLog() as log, asyncio.TaskGroup() as tasks:
        capabilities = {name: each.capabilities for name, each in engines.items()}
        manager = StreamingSessionManager(log, capabilities, settings_of(), metrics)
        half = tasks.create_task(STTService(log, dict(engines), settings_of(), metrics).run())
        async with line_wire.serving(manager) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write("".join(f"{line}\n" for line in lines).encode())
            told = (await reader.read()).decode().splitlines()
            writer.close()
        half.cancel()
    return [(name, json.loads(data)) for name, _, data in (line.partition(" ") for line in told)]


def audio(pcm: bytes) -> str:
    return f"audio {base64.b64encode(pcm).decode()}"


async def test_it_opens_feeds_flushes_reads_and_finishes() -> None:
    sentence = speech([1, 2])
    events = await converse(audio(sentence[:20_000]), "flush", audio(sentence[20_000:]), audio(speech([3])), "finish")
    assert [data["text"] for name, data in events if name == "final"] == [*said([1, 2]), *said([3])]
    assert [data["flushed"] for _, data in events if "flushed" in data] == [20_000]
    assert events[-1] == ("session_end", {"reason": "finished"})
