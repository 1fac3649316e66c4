"""A wire that is not HTTP: lines over TCP, on the manager alone. It shows how little another wire needs.

A client sends ``audio <base64>``, ``flush``, ``finish``; the server answers with the session's events, a line each.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from server.errors import RequestError
from server.models import SessionConfig
from server.streaming_manager import StreamingSessionManager


@asynccontextmanager
async def serving(manager: StreamingSessionManager) -> AsyncIterator[int]:
    """A server on loopback; gives its port."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _converse(manager, reader, writer)
        except RequestError as refusal:
            writer.write(f"refused {refusal.code}\n".encode())
        finally:
            writer.close()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def _converse(
    manager: StreamingSessionManager, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    session = await manager.open(SessionConfig(language="ko"))
    async with asyncio.TaskGroup() as tasks:
        events = tasks.create_task(_tell(manager, session.session_id, writer))
        while line := (await reader.readline()).decode().strip():
            command, _, given = line.partition(" ")
            if command == "audio":
                await manager.accept(session.session_id, base64.b64decode(given))
            elif command == "flush":
                await manager.flush(session.session_id)
            elif command == "finish":
                await manager.finish(session.session_id)
                break
        await events


async def _tell(manager: StreamingSessionManager, session_id: str, writer: asyncio.StreamWriter) -> None:
    async with aclosing(manager.events(session_id)) as batches:
        async for batch in batches:
            for event in batch:
                writer.write(b"%b %b\n" % (event.type.value.encode(), event.body))
            await writer.drain()
