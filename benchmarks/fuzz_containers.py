"""Mutated containers through the decoder: no crash, no hang, no growth, and nothing lost in silence.

    python -m benchmarks.fuzz_containers [--count 2000] [--seed 1]

Each upload is a good one with some of its bytes lost, doubled, swapped, overwritten or turned. It must give most of its
sound, or an error, or a finding about what is missing. Exit status 1 where one does not.
"""

import argparse
import gc
import random
import resource
import sys
import time
from collections import Counter

import numpy as np

from server.audio.decoder import AudioDecoder
from server.errors import AudioError
from server.models import SessionConfig
from server.session_log.base import Checkpoint
from tests.support.container_kinds import KINDS
from tests.support.foreign_kinds import FOREIGN, foreign

SLICE = 4_096
LONGEST_SECONDS = 2.0
LOUD = 100
ENOUGH = 0.5
NOTHING_TELLS = ("wav 64-bit floats",)
"""A byte that is lost shifts every sample behind it, and nothing in the file says so."""


def mutated(upload: bytes, rnd: random.Random) -> bytes:
    """One to three damages; most are where the audio is, some in the header."""
    for _ in range(rnd.randint(1, 3)):
        at = rnd.randrange(min(len(upload), 1_500) if rnd.random() < 0.2 else len(upload))
        size = rnd.choice((1, 4, 60, 700, 5_000))
        match rnd.choice(("lost", "doubled", "swapped", "overwritten", "turned")):
            case "lost":
                upload = upload[:at] + upload[at + size :]
            case "doubled":
                upload = upload[: at + size] + upload[at:]
            case "swapped":
                upload = (
                    upload[:at] + upload[at + size : at + 2 * size] + upload[at : at + size] + upload[at + 2 * size :]
                )
            case "overwritten":
                upload = upload[:at] + rnd.randbytes(size) + upload[at + size :]
            case "turned":
                upload = upload[:at] + bytes([upload[at] ^ 1 << rnd.randrange(8)]) + upload[at + 1 :] if upload else b""
    return upload


def heard(upload: bytes) -> tuple[float, str, float]:
    """Seconds that are loud; how it went; the longest time of a call, in seconds."""
    decoder = AudioDecoder(SessionConfig(), Checkpoint())
    pcm, found, longest, outcome = bytearray(), 0, 0.0, ""
    slices = [upload[start : start + SLICE] for start in range(0, len(upload), SLICE)]
    try:
        for data in (*slices, None):
            while True:
                began = time.monotonic()
                pcm += decoder.flush() if data is None else decoder.decode(data)
                longest = max(longest, time.monotonic() - began)
                found += len(decoder.findings())
                if not decoder.pending:
                    break
                data = None if data is None else b""
    except AudioError:
        outcome = "error"
    finally:
        decoder.close()
    return loud_seconds(bytes(pcm)), outcome or ("told" if found else "silent"), longest


def loud_seconds(pcm: bytes) -> float:
    samples = np.abs(np.frombuffer(pcm, "<i2").astype(int))
    return float((samples[: len(samples) // 160 * 160].reshape(-1, 160).mean(axis=1) > LOUD).sum() / 100)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    uploads = {name: kind() for name, kind in KINDS.items()}
    uploads |= {name: foreign(name) for name in FOREIGN if name not in NOTHING_TELLS}
    whole = {name: heard(upload)[0] for name, upload in uploads.items()}
    outcomes: Counter[str] = Counter()
    bad, slowest = 0, 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(options.count):
        rnd = random.Random(options.seed * 1_000_003 + number)
        name = rnd.choice(list(uploads))
        upload = mutated(uploads[name], rnd)
        seconds, outcome, longest = heard(upload)
        slowest = max(slowest, longest)
        outcomes[outcome] += 1
        left = min(1.0, len(upload) / len(uploads[name]))  # frames of MP3 or AMR that are gone leave no trace
        lost = outcome == "silent" and seconds < ENOUGH * left * whole[name]
        if lost or longest > LONGEST_SECONDS:
            bad += 1
            print(f"{number}: {name}: {outcome}, {seconds:.1f} of {whole[name]:.1f} s, slowest call {longest:.2f} s")
    gc.collect()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{options.count} uploads: {dict(outcomes)}; slowest call {slowest:.2f} s; memory grew by {grown:.0f} MB; "
        f"{bad} bad"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
