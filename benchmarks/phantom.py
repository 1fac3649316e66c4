"""Text out of nothing: silence, noise and music must give none, quiet speech must give its words.

python -m benchmarks.phantom [--minutes 10] [--manifest speech/manifest.tsv]
"""

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.engine_run import read_manifest, recognise
from server.engines.base import SAMPLE_RATE
from server.engines.local.engine import LocalEngine
from server.engines.local.settings import LocalSettings
from server.models import SessionConfig
from server.settings import Settings

QUIET_DB = -30.0


def silence(samples: int, random: np.random.Generator) -> np.ndarray:
    return np.zeros(samples)


def white(samples: int, random: np.random.Generator) -> np.ndarray:
    return random.normal(0, 0.05, samples)


def pink(samples: int, random: np.random.Generator) -> np.ndarray:
    """Noise whose power falls with frequency, like a fan's."""
    spectrum = np.fft.rfft(random.normal(0, 1, samples))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum, samples)
    return np.asarray(0.1 * noise / np.std(noise))


def clatter(samples: int, random: np.random.Generator) -> np.ndarray:
    """Keys being typed: short decaying clicks, five a second."""
    sound = random.normal(0, 0.002, samples)
    for at in random.integers(0, samples - 800, samples * 5 // SAMPLE_RATE):
        sound[at : at + 800] += random.normal(0, 0.4, 800) * np.exp(-np.arange(800) / 80)
    return sound


def music(samples: int, random: np.random.Generator) -> np.ndarray:
    """Chords of harmonics with a beat."""
    time = np.arange(samples) / SAMPLE_RATE
    sound = np.zeros(samples)
    for bar, root in enumerate((220.0, 174.6, 196.0, 261.6)):
        active = ((time // 2).astype(int) % 4) == bar
        for ratio in (1, 1.26, 1.5, 2):
            for harmonic in (1, 2, 3, 4):
                sound += active * np.sin(2 * np.pi * root * ratio * harmonic * time) / harmonic**1.5
    beat = np.exp(-((time % 0.5) * 12)) * random.normal(0, 1, samples)
    return np.asarray(0.1 * sound / np.max(np.abs(sound)) * 3 + 0.05 * beat)


SOUNDS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "silence": silence,
    "white noise": white,
    "pink noise": pink,
    "keyboard": clatter,
    "music": music,
}


def to_pcm(sound: np.ndarray) -> bytes:
    return bytes(np.clip(sound * 32767, -32768, 32767).astype("<i2").tobytes())


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each sound")
    parser.add_argument("--manifest", type=Path, help="recordings to be played 30 dB quieter")
    parser.add_argument("--utterances", type=int, default=20)
    parser.add_argument("--language", default=None)
    arguments = parser.parse_args()
    engine = LocalEngine(Settings(), LocalSettings())
    await engine.prewarm()
    random = np.random.default_rng(1)
    for language in ("ko", "en", "multi"):
        for name, make in SOUNDS.items():
            pcm = to_pcm(make(round(arguments.minutes * 60 * SAMPLE_RATE), random))
            run = await recognise(engine, SessionConfig(language=language), pcm)
            counts = f"{len(run.interims)} tokens, {len(run.finals)} finals"
            print(f"{language}  {name:12} {arguments.minutes:g} min: {counts}  {run.text[:100]}")
    if arguments.manifest:
        heard = total = 0
        for recording in list(read_manifest(arguments.manifest, arguments.language))[: arguments.utterances]:
            samples = np.frombuffer(recording.pcm(), "<i2").astype(float) / 32768 * 10 ** (QUIET_DB / 20)
            run = await recognise(engine, SessionConfig(language=recording.language), to_pcm(samples))
            total += 1
            heard += bool(run.finals)
            if not run.finals:
                print(f"not heard: {recording.path.name}")
        print(f"{QUIET_DB:g} dB speech: {heard} of {total} recognised")
    await engine.aclose()


if __name__ == "__main__":
    asyncio.run(main())
