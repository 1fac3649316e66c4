"""One long session, as fast as it goes: memory and speed at the end as at the start.

python -m benchmarks.endurance speech/manifest.tsv --language ko --hours 8
"""

import argparse
import asyncio
import os
import time
from contextlib import aclosing
from pathlib import Path

from benchmarks.latency import recordings
from benchmarks.peers import Ours
from server.engines.base import BYTES_PER_SECOND
from stt_client import Session

BLOCK_SECONDS = 600
SEND_BYTES = BYTES_PER_SECOND // 2


async def count_finals(session: Session, finals: list[float]) -> None:
    async with aclosing(session.events()) as events:
        async for event in events:
            if event.event_type == "final":
                finals.append(event.data["end"])


def resident_mb(server: Ours) -> float:
    pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--language", default="ko")
    parser.add_argument("--hours", type=float, default=8.0)
    arguments = parser.parse_args()
    pcm = b"".join(recordings(arguments.manifest, arguments.language, BLOCK_SECONDS, 0))
    finals: list[float] = []
    async with Ours(arguments.language) as server:
        player = await server.player()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(count_finals(player.session, finals))
            heard = 0.0
            while heard < arguments.hours * 3600:
                began, known = time.monotonic(), len(finals)
                for start in range(0, len(pcm), SEND_BYTES):
                    await player.session.send(pcm[start : start + SEND_BYTES])
                await player.session.confirmed()
                heard += len(pcm) / BYTES_PER_SECOND
                speed = len(pcm) / BYTES_PER_SECOND / (time.monotonic() - began)
                new = len(finals) - known
                print(
                    f"{heard / 3600:5.2f} h   {resident_mb(server):6.0f} MB   {speed:4.1f}x   {new} finals", flush=True
                )
            await player.finish()


if __name__ == "__main__":
    asyncio.run(main())
