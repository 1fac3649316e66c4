"""What the shortened window of the second pass saves, and what it costs in accuracy, beside the full one at beam 5.

python -m benchmarks.window speech/manifest.tsv --language ko
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.accuracy import error_rate
from benchmarks.engine_run import Recording, read_manifest
from server.engines.base import BYTES_PER_SECOND
from server.engines.local.settings import LocalSettings
from server.engines.local.whisper import FINAL_BEAM, FULL_WINDOW_SECONDS, SHORTEST_WINDOW_SECONDS, Whisper

FULL_BEAM = 5


def measure(
    whisper: Whisper, recordings: Sequence[Recording], language: str, window: float, beam: int
) -> tuple[float, float]:
    """Error rate, and CPU seconds per second of audio, decoding text alone."""
    hypotheses, cpu, seconds = [], 0.0, 0.0
    for recording in recordings:
        pcm = recording.pcm()
        began = time.process_time()
        found = whisper.transcribe(pcm, language, beam=beam, word_times=False, shortest_window=window)
        cpu += time.process_time() - began
        seconds += len(pcm) / BYTES_PER_SECOND
        hypotheses.append(found.text)
    _, rate = error_rate(language, [each.transcript for each in recordings], hypotheses)
    return rate, cpu / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--language", default="ko")
    parser.add_argument("--every", type=int, default=1, help="only every n-th recording")
    arguments = parser.parse_args()
    recordings = list(read_manifest(arguments.manifest, arguments.language))[:: arguments.every]
    whisper = Whisper(LocalSettings(), parallel=1)
    full, full_cost = measure(whisper, recordings, arguments.language, FULL_WINDOW_SECONDS, FULL_BEAM)
    short, cost = measure(whisper, recordings, arguments.language, SHORTEST_WINDOW_SECONDS, FINAL_BEAM)
    print(f"full window   error {full * 100:.2f} %   {full_cost:.3f} CPU s per second   ({len(recordings)} recordings)")
    print(f"short window  error {short * 100:.2f} %   {cost:.3f} CPU s per second")
    print(f"difference {(short - full) * 100:+.2f} points, cost divided by {full_cost / cost:.1f}")


if __name__ == "__main__":
    main()
