"""How good interims are, and how steady: recordings in real time through the embedded engine, without HTTP.

    python -m benchmarks.interims speech/manifest.tsv --language ko --sessions 1 2

Last interim: error rate of the text that stands when the final comes. As speech ends: of the text that stands at that
moment. Erased: characters that a later interim of the utterance takes back, for each character of the finals; a
character that is replaced counts once. First interim: from the onset of speech to the first text.
``--plain`` leaves the refining off. ``--pace`` plays more slowly than real time, as if the machine were faster: where
it has other things to do, too. All seconds are told on the clock of the audio.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from os.path import commonprefix
from pathlib import Path

import numpy as np

from benchmarks.accuracy import error_rate
from benchmarks.engine_run import CHUNK_BYTES, Recording, read_manifest
from server.engines.base import BYTES_PER_SECOND
from server.engines.local.engine import LocalEngine
from server.engines.local.settings import LocalSettings
from server.models import Final, Interim, SessionConfig, SpeechStarted
from server.settings import Settings

SILENCE = bytes(BYTES_PER_SECOND * 3 // 2)
"""After each recording: longer than any endpointing."""


@dataclass(slots=True)
class Read:
    """What somebody read on the screen while a recording was played."""

    last: list[str] = field(default_factory=list)
    at_end: list[tuple[float, str, float]] = field(default_factory=list)
    final: list[str] = field(default_factory=list)
    erased: int = 0
    first_seconds: list[float] = field(default_factory=list)
    final_seconds: list[float] = field(default_factory=list)


async def play(engine: LocalEngine, config: SessionConfig, pcm: bytes, pace: float) -> Read:
    """One recording at the pace of a microphone."""
    read = Read()
    shown: list[tuple[float, str]] = []
    texts: list[str] = []
    began = time.monotonic()
    async with engine.open(config, 0.0) as recognizer, asyncio.TaskGroup() as tasks:

        async def feed() -> None:
            for start in range(0, len(pcm), CHUNK_BYTES):
                await asyncio.sleep(
                    max(0.0, began + (start + CHUNK_BYTES) / BYTES_PER_SECOND / pace - time.monotonic())
                )
                await recognizer.send_audio(pcm[start : start + CHUNK_BYTES])
            await recognizer.finish()

        tasks.create_task(feed())
        onset: float | None = None
        async for each in recognizer:
            now = (time.monotonic() - began) * pace
            if isinstance(each, SpeechStarted):
                onset = each.start
            elif isinstance(each, Interim):
                if onset is not None:
                    read.first_seconds.append(now - onset)
                    onset = None
                shown.append((now, each.text))
                texts.append(each.text)
            elif isinstance(each, Final) and each.text:
                read.final.append(each.text)
                read.last.append(texts[-1] if texts else "")
                read.at_end.append((each.end, next((text for at, text in reversed(shown) if at <= each.end), ""), now))
                read.final_seconds.append(now - each.end)
                pairs = zip(texts, texts[1:], strict=False)
                read.erased += sum(len(old) - len(commonprefix([old, new])) for old, new in pairs)
                shown, texts = [], []
    return read


async def measure(
    engine: LocalEngine, config: SessionConfig, recordings: Sequence[Recording], sessions: int, pace: float
) -> None:
    waiting = list(recordings)
    done: list[tuple[Recording, Read]] = []

    async def session(delay: float) -> None:
        await asyncio.sleep(delay)
        while waiting:
            recording = waiting.pop(0)
            done.append((recording, await play(engine, config, recording.pcm() + SILENCE, pace)))

    cpu = time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for number in range(sessions):
            tasks.create_task(session(0.37 * number))
    cpu = time.process_time() - cpu
    seconds = sum(len(recording.pcm() + SILENCE) for recording, _ in done) / BYTES_PER_SECOND
    said = [recording.transcript for recording, _ in done]
    rates = []
    for name in ("last", "at_end", "final"):
        found = [
            " ".join(text[1] if isinstance(text, tuple) else text for text in getattr(read, name)) for _, read in done
        ]
        rates.append(error_rate(config.language, said, found)[1] * 100)
    erased = sum(read.erased for _, read in done) / max(1, sum(len(" ".join(read.final)) for _, read in done))
    first = [each for _, read in done for each in read.first_seconds]
    final = [each for _, read in done for each in read.final_seconds]
    print(
        f"{sessions} at once   last interim {rates[0]:.1f} %   as speech ends {rates[1]:.1f} %   final {rates[2]:.1f} %"
        f"   {erased:.2f} erased per character   first interim p50 {np.percentile(first, 50):.2f} s"
        f"   final p50 {np.percentile(final, 50):.2f} p95 {np.percentile(final, 95):.2f} s"
        f"   {cpu / seconds:.2f} CPU s per second   ({len(done)} recordings, {len(final)} finals)",
        flush=True,
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--language", default="ko")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--every", type=int, default=1, help="only every n-th recording")
    parser.add_argument("--pace", type=float, default=1.0, help="of the audio; 1: real time")
    parser.add_argument("--plain", action="store_true", help="without refining")
    parser.add_argument("--endpointing-ms", type=int, help="the default is by meaning")
    arguments = parser.parse_args()
    engine = LocalEngine(Settings(), LocalSettings())
    await engine.prewarm()
    assert engine._models is not None
    print(f"{engine.capabilities.max_sessions} sessions carried, interims refined of {engine._models.refining.most}")
    engine._models.refining.most = 0 if arguments.plain else max(arguments.sessions)
    recordings = list(read_manifest(arguments.manifest, arguments.language))[:: arguments.every]
    config = SessionConfig(language=arguments.language, endpointing_ms=arguments.endpointing_ms)
    for sessions in arguments.sessions:
        await measure(engine, config, recordings, sessions, arguments.pace)
    await engine.aclose()


if __name__ == "__main__":
    asyncio.run(main())
