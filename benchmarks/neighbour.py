"""Hours of silence in a few megabytes: what they cost the session beside them.

    python -m benchmarks.neighbour [--hours 10] [--rounds 3]

A sentence is spoken at the pace of a microphone, alone and then beside a session that was sent hours of digital silence
as FLAC. Told: seconds from the end of the speech to its final.
"""

import argparse
import asyncio
import time

import httpx

from server.engines.base import SAMPLE_RATE
from tests.support.engine_settings import local_engine
from tests.support.recordings import korean, recording
from tests.support.servers import run_server
from tests.support.wire import open_session, stream, upload

PIECE_SECONDS = 0.1
PAUSE = bytes(SAMPLE_RATE * 2 * 2)


async def spoken(http: httpx.AsyncClient) -> float:
    """Seconds from the end of the recording to its final."""
    session_id = await open_session(http, language="ko")
    pcm, size = korean() + PAUSE, round(PIECE_SECONDS * SAMPLE_RATE) * 2
    ended = 0.0

    async def speak() -> None:
        nonlocal ended
        began = time.monotonic()
        for number, start in enumerate(range(0, len(pcm), size)):
            await asyncio.sleep(max(0.0, began + number * PIECE_SECONDS - time.monotonic()))
            await upload(http, session_id, pcm[start : start + size])
            if start <= len(korean()):
                ended = time.monotonic()

    async with asyncio.TaskGroup() as tasks, stream(http, session_id) as events:
        tasks.create_task(speak())
        async for event in events:
            if event.type == "final":
                answered = time.monotonic()
                break
    await http.delete(f"/sessions/{session_id}")
    return answered - ended


async def measure(url: str, silence: bytes, rounds: int) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=120) as http:
        await spoken(http)
        alone = [await spoken(http) for _ in range(rounds)]
        crowd = await open_session(http, language="ko")
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(upload(http, crowd, silence))
            await asyncio.sleep(2)
            beside = [await spoken(http) for _ in range(rounds)]
            reached = (await http.get(f"/sessions/{crowd}")).json()["recognized_seconds"]
            await http.delete(f"/sessions/{crowd}", params={"purge": True})
            await asyncio.wait([sending])
    print("alone :", " ".join(f"{each:.2f}" for each in alone), "s")
    print("beside:", " ".join(f"{each:.2f}" for each in beside), "s")
    print(f"{reached:.0f} s of the silence were recognised meanwhile")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    silence = recording("flac", "flac", 8_000, pcm=bytes(round(600 * SAMPLE_RATE) * 2))
    upload_bytes = silence * max(1, round(options.hours * 6))  # files in a row
    print(f"{options.hours:g} h of silence in {len(upload_bytes) / 1e6:.1f} MB")
    with run_server({"local": local_engine(local_sessions=8)}) as url:
        asyncio.run(measure(url, upload_bytes, options.rounds))


if __name__ == "__main__":
    main()
