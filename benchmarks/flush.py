"""How soon a flush in mid-sentence is answered: sessions that play speech in real time, against a server of its own.

    python -m benchmarks.flush speech/manifest.tsv --language ko --sessions 1 4

Each recording is flushed once, somewhere in the middle of its speech, as a key that is released would do. Measured at
the client: from the request to the event that answers it. The session goes on; its end tells whether its clock did.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import httpx
import numpy as np

from benchmarks.latency import CHUNK_SECONDS, recordings, utterances_in
from benchmarks.peers import Ours
from server.engines.base import BYTES_PER_SECOND

STEP_BYTES = round(CHUNK_SECONDS * BYTES_PER_SECOND)
EARLIEST, LATEST = 0.3, 0.8
"""Share of an utterance that has been spoken when it is flushed."""
CLOCK_SECONDS = 0.05
"""What the session's end may differ from the length of the audio."""


class Answers:
    """When each flush was answered, by the offset that it was asked at."""

    def __init__(self) -> None:
        self._came: dict[int, asyncio.Future[float]] = {}

    def of(self, offset: int) -> "asyncio.Future[float]":
        return self._came.setdefault(offset, asyncio.get_running_loop().create_future())

    async def listen(self, http: httpx.AsyncClient, session_id: str) -> None:
        async with http.stream("GET", f"/sessions/{session_id}/stream") as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data: ") and "flushed" in (data := json.loads(line[6:])["data"]):
                    self.of(data["flushed"]).set_result(time.monotonic())


def cut_of(pcm: bytes, random: Random) -> int:
    """Byte at which the recording is flushed."""
    spoken = max(utterances_in(pcm), key=lambda each: each.end - each.start)
    share = random.uniform(EARLIEST, LATEST)
    return int((spoken.start + share * (spoken.end - spoken.start)) * BYTES_PER_SECOND) // STEP_BYTES * STEP_BYTES


async def speak(http: httpx.AsyncClient, language: str, said: Sequence[tuple[bytes, int]], delay: float) -> list[float]:
    """One session; ``said``: each recording and where it is flushed. How long each answer took, in seconds."""
    await asyncio.sleep(delay)
    config = {"language": language, "encoding": "linear16"}
    session_id = (await http.post("/sessions", json={"config": config})).json()["session_id"]
    answers, waits, began, played = Answers(), [], time.monotonic(), 0

    async def answer(offset: int, asked: float) -> None:
        waits.append(await answers.of(offset) - asked)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(answers.listen(http, session_id))
        for pcm, cut in said:
            for start in range(0, len(pcm), STEP_BYTES):
                if start == cut:
                    asked = time.monotonic()
                    offset = (await http.post(f"/sessions/{session_id}/flush")).json()["offset"]
                    tasks.create_task(answer(offset, asked))
                piece = pcm[start : start + STEP_BYTES]
                played += len(piece)
                await asyncio.sleep(max(0.0, began + played / BYTES_PER_SECOND - time.monotonic()))
                await http.post(
                    f"/sessions/{session_id}/audio", content=piece, headers={"Content-Type": "application/octet-stream"}
                )
        transcript = (await http.delete(f"/sessions/{session_id}")).json()
    assert abs(transcript["duration"] - played / BYTES_PER_SECOND) < CLOCK_SECONDS, "the clock did not go on"
    return waits


async def measure(url: str, language: str, people: Sequence[Sequence[tuple[bytes, int]]]) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http, asyncio.TaskGroup() as tasks:
        sessions = [tasks.create_task(speak(http, language, said, index * 0.37)) for index, said in enumerate(people)]
    waits = [wait for each in sessions for wait in each.result()]
    p50, p95 = (np.percentile(waits, share) * 1000 for share in (50, 95))
    print(f"{len(people)} at once   answer to a flush p50 {p50:4.0f} p95 {p95:4.0f} ms   n={len(waits)}", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--language", default="ko")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--seconds", type=float, default=60.0, help="of audio in each session")
    arguments = parser.parse_args()
    random = Random(1)
    people = []
    for index in range(max(arguments.sessions)):
        played = recordings(arguments.manifest, arguments.language, arguments.seconds, 40 * index)
        people.append([(pcm, cut_of(pcm, random)) for pcm in played])
    async with Ours(arguments.language) as server:
        for count in arguments.sessions:
            await measure(f"http://127.0.0.1:{server.port}", arguments.language, people[:count])


if __name__ == "__main__":
    asyncio.run(main())
