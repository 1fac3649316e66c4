"""What a second of speech costs, and how fast a session too many is refused.

    python -m benchmarks.capacity speech/manifest.tsv --language ko

CPU seconds of the whole process per second of audio: recordings end to end, and the same with as much silence between
them as they are long. Then a server that carries one session has it, and is asked for more.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np

from benchmarks.engine_run import read_manifest, recognise
from benchmarks.peers import Ours
from server.engines.base import BYTES_PER_SECOND
from server.engines.local.engine import LocalEngine
from server.engines.local.settings import LocalSettings
from server.models import SessionConfig
from server.settings import Settings

REFUSALS = 100


async def measure_cost(language: str, recordings: Sequence[bytes]) -> None:
    engine = LocalEngine(Settings(), LocalSettings())
    await engine.prewarm()
    print(f"This machine is taken to carry {engine.capabilities.max_sessions} sessions of uninterrupted speech.")
    config = SessionConfig(language=language)
    for name, pcm in (
        ("end to end", b"".join(recordings)),
        ("half silence", b"".join(each + bytes(len(each)) for each in recordings)),
    ):
        run = await recognise(engine, config, pcm)
        print(f"{name:13} {run.cpu_seconds / run.audio_seconds:.2f} CPU s per second   ({run.audio_seconds:.0f} s)")
    await engine.aclose()


async def measure_refusals(language: str, pcm: bytes) -> None:
    """While the session that is carried is being recognised, as fast as it goes."""
    async with Ours(language, sessions=1) as server, httpx.AsyncClient(base_url=server.url) as http:
        player = await server.player()
        await player.send(pcm)
        seconds = []
        for _ in range(REFUSALS):
            began = time.monotonic()
            answer = await http.post("/sessions", json={"config": {"language": language}})
            seconds.append(time.monotonic() - began)
            assert answer.status_code == 429, answer.text
            assert answer.headers["Retry-After"]
        p50, p95, most = (1000 * np.percentile(seconds, each) for each in (50, 95, 100))
        print(f"refused       p50 {p50:.0f} p95 {p95:.0f} longest {most:.0f} ms   ({REFUSALS} times 429)")
        await player.session.purge()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--language", default="ko")
    parser.add_argument("--seconds", type=float, default=120.0, help="of speech")
    arguments = parser.parse_args()
    recordings: list[bytes] = []
    for recording in read_manifest(arguments.manifest, arguments.language):
        if sum(len(each) for each in recordings) < arguments.seconds * BYTES_PER_SECOND:
            recordings.append(recording.pcm())
    await measure_cost(arguments.language, recordings)
    await measure_refusals(arguments.language, b"".join(recordings))


if __name__ == "__main__":
    asyncio.run(main())
