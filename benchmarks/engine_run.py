"""One recording through an engine as fast as it goes, without HTTP: what was said, and what it cost."""

import asyncio
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from server.audio.decoder import AudioDecoder
from server.engines.base import BYTES_PER_SECOND, Engine
from server.models import Final, Interim, Recognition, SessionConfig
from server.session_log.base import Checkpoint

CHUNK_BYTES = BYTES_PER_SECOND // 10


@dataclass(frozen=True, slots=True)
class Recording:
    """One line of a manifest: tab-separated ``file``, ``language``, ``transcript``."""

    path: Path
    language: str
    transcript: str

    def pcm(self) -> bytes:
        """16 kHz mono."""
        decoder = AudioDecoder(SessionConfig(), Checkpoint())
        return decoder.decode(self.path.read_bytes()) + decoder.flush()


@dataclass(slots=True)
class Run:
    """What an engine made of a recording. ``cpu_seconds`` are the whole process's, ``audio_seconds`` what was fed."""

    recognitions: list[Recognition] = field(default_factory=list)
    cpu_seconds: float = 0.0
    audio_seconds: float = 0.0

    @property
    def finals(self) -> list[Final]:
        return [each for each in self.recognitions if isinstance(each, Final) and each.text]

    @property
    def interims(self) -> list[Interim]:
        return [each for each in self.recognitions if isinstance(each, Interim)]

    @property
    def text(self) -> str:
        return " ".join(final.text for final in self.finals)


def read_manifest(path: Path, language: str | None = None) -> Iterator[Recording]:
    """The recordings of a manifest whose paths are relative to it."""
    with path.open(encoding="utf-8") as lines:
        for line in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            if language is None or line["language"] == language:
                yield Recording(path.parent / line["file"], line["language"], line["transcript"])


async def recognise(engine: Engine, config: SessionConfig, pcm: bytes) -> Run:
    """Feed ``pcm`` in chunks of 100 ms and collect what comes."""
    run = Run(audio_seconds=len(pcm) / BYTES_PER_SECOND)
    began = time.process_time()
    async with engine.open(config, 0.0) as recognizer:

        async def feed() -> None:
            for start in range(0, len(pcm), CHUNK_BYTES):
                await recognizer.send_audio(pcm[start : start + CHUNK_BYTES])
            await recognizer.finish()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(feed())
            async for recognition in recognizer:
                run.recognitions.append(recognition)
    run.cpu_seconds = time.process_time() - began
    return run
