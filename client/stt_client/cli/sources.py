"""Where the command line has its audio from: a file or standard input; ``microphone`` has the third source."""

import asyncio
import io
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from stt_client.cli.microphone import Feed
from stt_client.mp4_index import index_first

READ_BYTES = 1 << 16
CHUNKS_PER_SECOND = 10


class UsageError(Exception):
    """What the user asked for cannot be done; nothing was sent."""


class Source(Protocol):
    """Audio to be uploaded. ``byte_rate``: bytes a second, where known."""

    byte_rate: int | None
    total_bytes: int | None
    config: dict[str, Any]

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def stop(self) -> None: ...


class FileSource:
    """A file as it is, in any format that the server knows; in real time like a microphone if asked for."""

    def __init__(self, path: Path, realtime: bool) -> None:
        self.config: dict[str, Any] = {}
        self._realtime = realtime
        self._stopped = False
        self._path = path
        try:
            with path.open("rb") as file:
                head = file.read(4096)
            self.total_bytes: int | None = path.stat().st_size
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}.") from error
        self.byte_rate = wav_byte_rate(head)
        self._is_mp4 = head[4:8] == b"ftyp"
        if not head:
            raise UsageError(f"{path} is empty.")
        if path.suffix.lower() == ".wav" and self.byte_rate is None:
            raise UsageError(f"{path} is no WAV file, in spite of its name.")
        if realtime and self.byte_rate is None:
            raise UsageError("--realtime needs a WAV file: the pace is in its header.")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = max(1, (self.byte_rate or 0) // CHUNKS_PER_SECOND) if self._realtime else READ_BYTES
        started, sent = time.monotonic(), 0
        with await asyncio.to_thread(self._open) as file:
            while not self._stopped and (chunk := await asyncio.to_thread(file.read, size)):
                sent += len(chunk)
                if self._realtime and self.byte_rate:  # a microphone has a chunk when it has been spoken
                    await asyncio.sleep(seconds_until_due(sent, self.byte_rate, started, time.monotonic()))
                yield chunk

    def _open(self) -> BinaryIO:
        return io.BytesIO(b"".join(index_first(self._path.read_bytes()))) if self._is_mp4 else self._path.open("rb")

    def stop(self) -> None:
        self._stopped = True


class StandardInput:
    """Raw PCM16 from standard input, as fast as it comes and is taken."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self.byte_rate: int | None = 2 * sample_rate * channels
        self.total_bytes: int | None = None
        self.config: dict[str, Any] = {"sample_rate": sample_rate, "channels": channels, "encoding": "linear16"}
        self._feed = Feed(READ_BYTES)
        self._taken = threading.Event()
        # A thread of its own, not one of the loop's: those are waited for at exit, and a read may last for ever.
        threading.Thread(target=self._read, daemon=True).start()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for pcm in self._feed:
            self._taken.set()
            yield pcm

    def stop(self) -> None:
        self._feed.close()

    def _read(self) -> None:
        while pcm := os.read(sys.stdin.fileno(), READ_BYTES):
            self._feed.push(pcm)
            self._taken.wait()
            self._taken.clear()
        self._feed.close()


def wav_byte_rate(head: bytes) -> int | None:
    """Bytes a second from a WAV header; ``None`` when it is not one."""
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return None
    position = 12
    while position + 8 <= len(head):
        name, size = head[position : position + 4], int.from_bytes(head[position + 4 : position + 8], "little")
        if name == b"fmt ":
            return int.from_bytes(head[position + 16 : position + 20], "little") or None
        position += 8 + size + size % 2
    return None


def seconds_until_due(sent_bytes: int, byte_rate: int, started: float, now: float) -> float:
    """How long to wait until so many bytes have been spoken; 0 when that is past."""
    return max(0.0, started + sent_bytes / byte_rate - now)
