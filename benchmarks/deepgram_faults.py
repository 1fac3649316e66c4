"""A minute of speech on a Deepgram that fails again and again: what is lost, and how long nothing is heard.

    python -m benchmarks.deepgram_faults

The Deepgram peer of the tests, with the embedded engine behind it, closes three streams in the middle of a word, stops
reading one, and refuses two handshakes. The server has its default settings; the audio comes live. Before that the same
without any fault, to compare: speakers pause, too.
"""

import asyncio
import json
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx

from benchmarks.deepgram_load import be_server
from server.engines.base import BYTES_PER_SECOND
from server.engines.local.vosk import warm_up_speech
from tests.support.deepgram_engine import warm_engine
from tests.support.deepgram_peer import DeepgramPeer
from tests.support.deepgram_speech import embedded
from tests.support.deepgram_stream import Misfortune, Refuse, Trouble

SECONDS = 60.0
PERIOD = 5.2
"""Seconds from one beginning of the sentence to the next."""
LAST_WORD = "걸어갔다"
CHUNK_SECONDS = 0.2
FAULTS: list[Misfortune] = [
    Trouble(close_after=2.0),
    Refuse(503),
    Trouble(close_after=7.6),
    Trouble(deaf_after=7.3),
    Refuse(429),
    Trouble(close_after=12.6, code=None),
]


@dataclass(frozen=True)
class Heard:
    """An event and when it came, in seconds of the event loop."""

    at: float
    type: str
    data: dict[str, Any]


def spoken() -> bytes:
    sentence = warm_up_speech()
    pause = bytes(round(PERIOD * BYTES_PER_SECOND / 2) * 2 - len(sentence))
    return (sentence + pause) * round(SECONDS / PERIOD)


async def play(url: str, pcm: bytes) -> list[Heard]:
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http, asyncio.TaskGroup() as tasks:
        path = f"/sessions/{(await http.post('/sessions')).json()['session_id']}"
        reading = tasks.create_task(read(http, path))
        loop = asyncio.get_running_loop()
        size, began = round(CHUNK_SECONDS * BYTES_PER_SECOND), loop.time()
        for number, at in enumerate(range(0, len(pcm), size)):
            await asyncio.sleep(began + number * CHUNK_SECONDS - loop.time())
            headers = {"Content-Type": "application/octet-stream", "Upload-Offset": str(at)}
            (await http.post(f"{path}/audio", content=pcm[at : at + size], headers=headers)).raise_for_status()
        await http.delete(path)
    return reading.result()


async def read(http: httpx.AsyncClient, path: str) -> list[Heard]:
    heard: list[Heard] = []
    async with http.stream("GET", f"{path}/stream") as answer:
        async for line in answer.aiter_lines():
            event = json.loads(line[6:]) if line.startswith("data: ") else None
            if event and event["event_type"] != "heartbeat":
                heard.append(Heard(asyncio.get_running_loop().time(), event["event_type"], event["data"]))
    return heard


def report(name: str, heard: Sequence[Heard], peer: DeepgramPeer, sentences: int) -> None:
    finals = [event.data for event in heard if event.type == "final"]
    words = [word for final in finals for word in final["words"]]
    in_order = all(before["end"] <= after["start"] for before, after in pairwise(words))
    last_words = sum(final["text"].replace(" ", "").count(LAST_WORD) for final in finals)
    gaps = sorted((after.at - before.at, before.type, after.type) for before, after in pairwise(heard))
    print(f"{name}: {sentences} sentences spoken, {len(finals)} finals, {last_words} times the last word, "
          f"times {'in order' if in_order else 'OUT OF ORDER'}")  # fmt: skip
    print("  longest gaps between events: "
          + ", ".join(f"{gap:.2f} s ({before} → {after})" for gap, before, after in gaps[:-4:-1]))  # fmt: skip
    for before, after in pairwise(heard):
        if after.type == "error":
            print(f"  {after.data['message']:62} {after.at - before.at:.2f} s after the {before.type} before it")
    for old, new in pairwise(peer.streams):
        away = new.frames[0][0] - old.frames[-1][0]
        print(f"  a stream was over after {old.seconds:.1f} s; {away:.2f} s later the next one had audio")


async def run(sentences: bytes, faults: Sequence[Misfortune]) -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    async with DeepgramPeer(faults, transcriber=embedded(warm_engine())) as peer:
        server = context.Process(target=be_server, args=(there, peer.url, 1), daemon=True)
        server.start()
        url = f"http://127.0.0.1:{await asyncio.to_thread(here.recv)}"
        try:
            heard = await play(url, sentences)
        finally:
            server.terminate()
        report(f"{len(faults)} faults", heard, peer, round(SECONDS / PERIOD))


def main() -> None:
    pcm = spoken()
    for faults in ([], FAULTS):
        asyncio.run(run(pcm, faults))


if __name__ == "__main__":
    main()
