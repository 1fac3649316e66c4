"""How soon utterances end, and how many sentences are cut in two: the trade-off of endpointing, by time and by meaning.

    python -m benchmarks.endpointing speech/manifest.tsv --every 3

Korean recordings with the pauses in them, on a simulated clock: the verdict on a pause comes as many seconds after it
as its second pass takes CPU seconds, so what else runs on the machine does not count. A cut is an end of an utterance
inside a sentence of the transcript, found by the text that was heard before it. Seconds: from the end of the
recording's speech to its final.
"""

import argparse
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Levenshtein

from benchmarks.engine_run import Recording, read_manifest
from server.engines.base import BYTES_PER_SECOND
from server.engines.local.choice import sounds
from server.engines.local.models import Models
from server.engines.local.recognizer import LONGER, OVER_SECONDS
from server.engines.local.second_pass import Reading, SecondPass
from server.engines.local.sentence import Verdict, verdict
from server.engines.local.settings import LocalSettings
from server.engines.local.vosk import LANGUAGE, Vosk, VoskUtterance
from server.engines.local.whisper import Whisper
from server.engines.local.workers import Workers
from server.engines.speech.endpointing import PAUSE_SECONDS, Ended, Endpointer, Paused, Segment, Speech, Started
from server.engines.speech.frames import FRAME_BYTES
from server.engines.speech.vad import VoiceActivityDetector

SILENCE = bytes(BYTES_PER_SECOND * 2)
LONGEST = 28.0
SETTINGS = ((0.8, True), (0.8, False), (0.6, False), (0.5, False), (0.4, False))
"""Endpointing in seconds, and whether utterances end by meaning, too."""
NEAR = 3
"""Sounds by which the end of a sentence may be off: what was heard is not quite what was said."""


@dataclass(frozen=True, slots=True)
class Pause:
    """What the second pass made of a pause, and its CPU seconds."""

    reading: Reading
    verdict: Verdict
    cpu_seconds: float


@dataclass(slots=True)
class Outcome:
    cuts: int
    seconds: float
    passes: int
    cpu_seconds: float


class Simulation:
    """One recording; pauses that were heard once are not heard again."""

    def __init__(self, models: Models, recording: Recording) -> None:
        self._models = models
        self._second = SecondPass(models.whisper, LANGUAGE, (), models.vosk.spacing.likelihood, models.weights)
        self._pcm = recording.pcm() + SILENCE
        self._transcript = recording.transcript
        self._pauses: dict[tuple[float, float], Pause] = {}

    def run(self, endpointing: float, by_meaning: bool) -> Outcome:
        endpointer = Endpointer(
            self._models.vad.stream().probabilities, start=0.0, endpointing=endpointing, longest=LONGEST
        )
        heard: list[str] = []
        outcome = Outcome(0, 0.0, 0, 0.0)
        due: tuple[float, float, Pause] | None = None
        started, audio = Started(0.0, 0.0), bytearray()
        for at in range(0, len(self._pcm), FRAME_BYTES):
            now = (at + FRAME_BYTES) / BYTES_PER_SECOND
            segments: list[Segment] = [*endpointer.push(self._pcm[at : at + FRAME_BYTES])]
            if by_meaning and due is not None and now >= due[0]:
                segments += self._decide(endpointer, due[1], due[2], endpointing)
                due = None if any(isinstance(each, Ended) for each in segments) else (1e9, due[1], due[2])
            for segment in segments:
                if isinstance(segment, Started):
                    started, audio, due = segment, bytearray(), None
                elif isinstance(segment, Speech):
                    audio += segment.pcm
                elif isinstance(segment, Paused):
                    pause = self._hear(started, bytes(audio), segment.end)
                    outcome.passes += 1
                    outcome.cpu_seconds += pause.cpu_seconds
                    due = now + pause.cpu_seconds, segment.end, pause
                elif isinstance(segment, Ended):
                    pause = self._hear(started, bytes(audio), segment.end)
                    heard.append(pause.reading.chosen.text)
                    # the pass began when the pause was told, so that it may have been done by now
                    outcome.seconds = max(now, segment.end + PAUSE_SECONDS + pause.cpu_seconds) - segment.end
        outcome.cuts = sum(is_cut(self._transcript, " ".join(heard[:n])) for n in range(1, len(heard)))
        return outcome

    def _hear(self, started: Started, audio: bytes, end: float) -> Pause:
        key = started.audio_start, end
        if key not in self._pauses:
            first = VoskUtterance(self._models.vosk, started, smart_format=True)
            first.accept(audio)
            guess = first.newest
            first.close()
            began = time.process_time()
            reading = self._second.hear(audio, started.audio_start, guess)
            found = verdict(reading.chosen, self._models.vosk.spacing.last_tag(reading.chosen.text))
            self._pauses[key] = Pause(reading, found, time.process_time() - began)
        return self._pauses[key]

    def _decide(self, endpointer: Endpointer, end: float, pause: Pause, endpointing: float) -> Iterator[Segment]:
        if pause.verdict is Verdict.OVER:
            yield from endpointer.wait(end, OVER_SECONDS)
        elif pause.verdict is Verdict.GOES_ON:
            yield from endpointer.wait(end, endpointing * LONGER)


def is_cut(transcript: str, before: str) -> bool:
    """Whether what was heard ``before`` ends inside a sentence of the transcript."""
    said, heard = sounds(transcript), sounds(before)
    reached = min(range(len(said) + 1), key=lambda at: Levenshtein.distance(heard, said[:at]))
    ends = [len(sounds(transcript[: mark.end()])) for mark in re.finditer(r"[.?!]+", transcript)]
    return min(abs(reached - end) for end in [*ends, len(said)]) > NEAR


def sentences(recordings: Sequence[Recording]) -> int:
    return sum(max(1, len(re.findall(r"[.?!]+(?=\s|$)", each.transcript))) for each in recordings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--every", type=int, default=1, help="only every n-th recording")
    parser.add_argument("--from", type=int, default=0, dest="first", help="number of the first recording, from 0")
    arguments = parser.parse_args()
    settings, workers = LocalSettings(), Workers(1)
    models = Models(VoiceActivityDetector(), Vosk(settings, workers), Whisper(settings, parallel=1))
    recordings = list(read_manifest(arguments.manifest, LANGUAGE))[arguments.first :: arguments.every]
    outcomes: list[list[Outcome]] = [[] for _ in SETTINGS]
    for recording in recordings:
        simulation = Simulation(models, recording)
        for found, (endpointing, by_meaning) in zip(outcomes, SETTINGS, strict=True):
            found.append(simulation.run(endpointing, by_meaning))
    total = sentences(recordings)
    seconds = sum(len(each.pcm()) for each in recordings) / BYTES_PER_SECOND
    print(f"{len(recordings)} recordings, {total} sentences, {seconds:.0f} s")
    for found, (endpointing, by_meaning) in zip(outcomes, SETTINGS, strict=True):
        finals = [each.seconds for each in found]
        name = f"{endpointing * 1000:.0f} ms{', or by meaning' if by_meaning else ''}"
        print(
            f"{name:24} {100 * sum(each.cuts for each in found) / total:5.1f} cuts per 100 sentences"
            f"   final p50 {np.percentile(finals, 50):.2f} p95 {np.percentile(finals, 95):.2f} s"
            f"   second passes {sum(each.cpu_seconds for each in found) / seconds:.3f} CPU s per second"
        )
    workers.close()


if __name__ == "__main__":
    main()
