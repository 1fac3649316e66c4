"""How long one waits for text: sessions that play speech in real time, against a server of its own.

    python -m benchmarks.latency speech/manifest.tsv --language ko --sessions 1 2 4 6

First interim: from the onset of speech (as the VAD finds it in the recording) to the first text of the utterance.
Final: from the end of speech to the final, so it holds the endpointing (800 ms for Korean); what comes on top of that
is the lag. All are taken at the client, on the clock on which the audio is played. CPU seconds are the server
process's, per second of audio.
``--session-each`` opens a new session for every recording, as push-to-talk does, instead of one for all of them; then
the recording's own silence is all there is before its first word.
``--endpointing-ms`` and ``--one-pass`` replace the defaults of our sessions: vosk-server ends an utterance
after 500 ms and has one pass, so with both the two do the same work.
``--vosk-server`` plays the same to vosk-server's websocket script (a path to its asr_server.py) and prints both; it
needs an older websockets than ours, so give it a python of its own with ``--vosk-python``.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.engine_run import read_manifest
from benchmarks.peers import Ours, Player, VoskServer
from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE
from server.engines.speech.endpointing import Ended, Endpointer, Started
from server.engines.speech.vad import VoiceActivityDetector

CHUNK_SECONDS = 0.1
GAP_SECONDS = 1.0
"""Silence around a recording: longer than any endpointing."""
PHASE_SECONDS = 0.037
"""How much later within an upload each recording begins than the one before: nobody speaks in step with uploads."""
PAUSE_SECONDS = 1.2
"""Silence that is still inside an utterance, to whoever listens to the recordings."""
TOLERANCE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Spoken:
    """One utterance in the audio that is played: seconds from its start."""

    start: float
    end: float


@dataclass(slots=True)
class Lags:
    """What was measured, in seconds."""

    first_interim: list[float] = field(default_factory=list)
    final: list[float] = field(default_factory=list)
    utterances: int = 0

    def add(self, spoken: Sequence[Spoken], interims: Sequence[float], finals: Sequence[float]) -> None:
        """``interims`` and ``finals`` are the times, on the clock of the audio, at which text came."""
        for index, utterance in enumerate(spoken):
            following = spoken[index + 1].start if index + 1 < len(spoken) else float("inf")
            self.utterances += 1
            self.first_interim += [at - utterance.start for at in interims if utterance.start < at < following][:1]
            self.final += [at - utterance.end for at in finals if utterance.end < at < following + 2 * GAP_SECONDS][:1]

    def report(self, endpointing: float) -> str:
        lag = [each - endpointing for each in self.final]
        return (
            f"first interim {_spread(self.first_interim)}   final {_spread(self.final)}"
            f"   lag {_spread(lag)}   n={self.utterances}"
        )


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "never"
    return f"p50 {np.percentile(values, 50) * 1000:5.0f} p95 {np.percentile(values, 95) * 1000:5.0f} ms"


def utterances_in(pcm: bytes) -> list[Spoken]:
    """Where the VAD hears speech."""
    endpointer = Endpointer(
        VoiceActivityDetector().stream().probabilities, start=0, endpointing=PAUSE_SECONDS, longest=1e9
    )
    found: list[Spoken] = []
    start = 0.0
    for segment in (*endpointer.push(pcm), *endpointer.flush()):
        if isinstance(segment, Started):
            start = segment.start
        elif isinstance(segment, Ended):
            found.append(Spoken(start, segment.end))
    return found


@dataclass(frozen=True, slots=True)
class Talk:
    """What is said in one session."""

    pcm: bytes
    spoken: Sequence[Spoken]

    @classmethod
    def of(cls, pcm: bytes) -> "Talk":
        return cls(pcm, utterances_in(pcm))


def recordings(manifest: Path, language: str, seconds: float, skip: int, before: float = GAP_SECONDS) -> list[bytes]:
    """About ``seconds`` of recordings, each with silence after it, and at least ``before`` seconds of it before."""
    found: list[bytes] = []
    for recording in list(read_manifest(manifest, language))[skip:]:
        if sum(len(each) for each in found) > seconds * BYTES_PER_SECOND:
            break
        phase = len(found) * PHASE_SECONDS % CHUNK_SECONDS
        found.append(_silence(before + phase) + recording.pcm() + _silence(GAP_SECONDS))
    return found


def _silence(seconds: float) -> bytes:
    return bytes(round(seconds * SAMPLE_RATE) * 2)


async def play(server: Ours | VoskServer, talks: Sequence[Talk], lags: Lags, delay: float) -> None:
    """Sessions one after the other at the pace of a microphone, begun a little after other people's."""
    await asyncio.sleep(delay)
    for talk in talks:
        await play_one(await server.player(), talk, lags)


async def play_one(player: Player, talk: Talk, lags: Lags) -> None:
    step = round(CHUNK_SECONDS * BYTES_PER_SECOND)
    began = time.monotonic()

    async def send() -> None:
        for index, start in enumerate(range(0, len(talk.pcm), step)):
            await asyncio.sleep(max(0.0, began + (index + 1) * CHUNK_SECONDS - time.monotonic()))
            await player.send(talk.pcm[start : start + step])
        await player.finish()

    interims: list[float] = []
    finals: list[float] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        async for is_final in player.texts():
            (finals if is_final else interims).append(time.monotonic() - began)
    lags.add(talk.spoken, interims, finals)


async def measure(server: Ours | VoskServer, people: Sequence[Sequence[Talk]]) -> None:
    lags = Lags()
    before = server.cpu_seconds()
    async with asyncio.TaskGroup() as tasks:
        for index, talks in enumerate(people):
            tasks.create_task(play(server, talks, lags, index * 0.37))
    seconds = sum(len(talk.pcm) for talks in people for talk in talks) / BYTES_PER_SECOND
    cpu = (server.cpu_seconds() - before) / seconds
    print(
        f"{server.name:12} {len(people)} at once   {lags.report(server.endpointing)}   {cpu:.2f} CPU s per second",
        flush=True,
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--language", default="ko")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 2, 4, 6])
    parser.add_argument("--seconds", type=float, default=60.0, help="of audio in each session")
    parser.add_argument("--session-each", action="store_true", help="a new session for every recording")
    parser.add_argument("--endpointing-ms", type=int, help="of our sessions; the default is the language's")
    parser.add_argument("--one-pass", action="store_true", help="our sessions without the second pass")
    parser.add_argument("--vosk-server", type=Path, help="asr_server.py of alphacep/vosk-server")
    parser.add_argument("--vosk-python", type=Path, default=Path(sys.executable), help="a python with websockets<14")
    arguments = parser.parse_args()
    people = []
    before = 0.0 if arguments.session_each else GAP_SECONDS
    for index in range(max(arguments.sessions)):
        each = recordings(arguments.manifest, arguments.language, arguments.seconds, 15 * index, before)
        people.append([Talk.of(pcm) for pcm in (each if arguments.session_each else [b"".join(each)])])
    config = {"two_pass": False if arguments.one_pass else None, "endpointing_ms": arguments.endpointing_ms}
    servers: list[Ours | VoskServer] = [Ours(arguments.language, **config)]
    if arguments.vosk_server:
        servers.append(VoskServer(arguments.vosk_server, arguments.vosk_python))
    for one in servers:
        async with one as server:
            for sessions in arguments.sessions:
                await measure(server, people[:sessions])


if __name__ == "__main__":
    asyncio.run(main())
