"""Accuracy of the embedded engine, its passes side by side.

    python -m benchmarks.accuracy speech/manifest.tsv --language ko

Korean: CER without spaces and punctuation, numerals and Latin letters normalised (kocer). Others: WER of lower-case
words without punctuation (jiwer), CER where words are not written apart.
"""

import argparse
import asyncio
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import jiwer
import kocer

from benchmarks.engine_run import Recording, read_manifest, recognise
from server.engines.base import Engine
from server.engines.registry import load_engines
from server.models import SessionConfig
from server.settings import Settings

WITHOUT_SPACES = {"zh", "ja", "th"}


def error_rate(language: str, references: Sequence[str], hypotheses: Sequence[str]) -> tuple[str, float]:
    """Name and value of the measure that fits the language."""
    if language == "ko":
        return "CER", float(kocer.cer(list(references), list(hypotheses)))
    plain = [_plain(text) for text in references], [_plain(text) for text in hypotheses]
    if language in WITHOUT_SPACES:
        without = [[text.replace(" ", "") for text in texts] for texts in plain]
        return "CER", float(jiwer.cer(without[0], without[1]))
    return "WER", float(jiwer.wer(plain[0], plain[1]))


def _plain(text: str) -> str:
    """Lower case, letters and digits only; an apostrophe joins what it stands between."""
    text = unicodedata.normalize("NFKC", text).lower().replace("'", "").replace("’", "")
    return " ".join("".join(letter if letter.isalnum() else " " for letter in text).split())


def configs(language: str) -> dict[str, SessionConfig]:
    """What to compare: for Korean the two passes and the first one alone, raw and made readable."""
    if language != "ko":
        return {"whisper": SessionConfig(language=language)}
    return {
        "two passes": SessionConfig(language=language),
        "first pass": SessionConfig(language=language, two_pass=False),
        "raw Vosk": SessionConfig(language=language, two_pass=False, smart_format=False),
    }


async def measure(
    engine: Engine, name: str, config: SessionConfig, recordings: Sequence[Recording], show: bool
) -> None:
    hypotheses, cpu, seconds = [], 0.0, 0.0
    for recording in recordings:
        run = await recognise(engine, config, recording.pcm())
        hypotheses.append(run.text)
        cpu += run.cpu_seconds
        seconds += run.audio_seconds
        if show:
            print(f"{recording.path.name}\t{recording.transcript}\t{run.text}")
    measure_name, rate = error_rate(config.language, [each.transcript for each in recordings], hypotheses)
    print(
        f"{config.language:5} {name:12} {measure_name} {rate * 100:5.1f} %   {cpu / seconds:.3f} CPU s per second"
        f"   ({len(recordings)} recordings, {seconds:.0f} s)",
        flush=True,
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--engine", default="local")
    parser.add_argument("--language", default="ko")
    parser.add_argument("--every", type=int, default=1, help="only every n-th recording")
    parser.add_argument("--show", action="store_true", help="print the texts")
    arguments = parser.parse_args()
    engine = load_engines(Settings(engines=arguments.engine))[arguments.engine]
    await engine.prewarm()
    recordings = list(read_manifest(arguments.manifest, arguments.language))[:: arguments.every]
    for name, config in configs(arguments.language).items():
        await measure(engine, name, config, recordings, arguments.show)
    await engine.aclose()


if __name__ == "__main__":
    asyncio.run(main())
