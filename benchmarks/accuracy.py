"""Accuracy of the embedded engine: its passes, and the terms that they are weighed by, side by side.

    python -m benchmarks.accuracy speech/manifest.tsv --language ko

Korean: CER without spaces and punctuation, numerals and Latin letters normalised (kocer). Others: WER of lower-case
words without punctuation (jiwer), CER where words are not written apart.
"""

import argparse
import asyncio
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import jiwer
import kocer

from benchmarks.engine_run import Recording, read_manifest, recognise
from server.engines.base import Engine
from server.engines.local.choice import Weights
from server.engines.local.engine import LocalEngine
from server.engines.registry import load_engines
from server.models import Final, SessionConfig
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


@dataclass(frozen=True, slots=True)
class Run:
    """One line of the table: what recognises, and how the texts of the second pass are weighed."""

    name: str
    config: SessionConfig
    weights: Weights = Weights()


def runs(language: str) -> list[Run]:
    """What to compare: for Korean the two passes, the terms of their mix one by one, and the first pass alone."""
    asked = SessionConfig(language=language)
    if language != "ko":
        return [Run("whisper", asked)]
    one_pass = SessionConfig(language=language, two_pass=False)
    return [
        Run("two passes", asked),
        Run("mix, no voting", asked, Weights(voting=False)),
        Run("Whisper, language model", asked, Weights(sound=0.0, voting=False)),
        Run("Whisper, first pass", asked, Weights(language=0.0, voting=False)),
        Run("Whisper alone", asked, Weights(language=0.0, sound=0.0, voting=False)),
        Run("first pass", one_pass),
        Run("first pass, raw", SessionConfig(language=language, two_pass=False, smart_format=False)),
    ]


@contextmanager
def weighed(engine: Engine, weights: Weights) -> Iterator[None]:
    """The embedded engine with other weights; another engine stays as it is."""
    models = engine._models if isinstance(engine, LocalEngine) else None
    if isinstance(engine, LocalEngine) and models is not None:
        engine._models = replace(models, weights=weights)
    try:
        yield
    finally:
        if isinstance(engine, LocalEngine):
            engine._models = models


@dataclass(slots=True)
class Measured:
    """What was heard in the recordings, one after the other, and what it cost."""

    texts: list[str] = field(default_factory=list)
    finals: list[tuple[Final, str]] = field(default_factory=list)
    """With the transcript of its recording, where that has one final only."""
    cpu_seconds: float = 0.0
    audio_seconds: float = 0.0
    uncovered_seconds: float = 0.0


async def measure(engine: Engine, run: Run, recordings: Sequence[Recording]) -> Measured:
    measured = Measured()
    with weighed(engine, run.weights):
        for recording in recordings:
            heard = await recognise(engine, run.config, recording.pcm())
            measured.texts.append(heard.text)
            measured.cpu_seconds += heard.cpu_seconds
            measured.audio_seconds += heard.audio_seconds
            measured.uncovered_seconds += sum(final.uncovered for final in heard.finals)
            if len(heard.finals) == 1:
                measured.finals.append((heard.finals[0], recording.transcript))
    return measured


def report(run: Run, recordings: Sequence[Recording], measured: Measured) -> None:
    language = run.config.language
    name, rate = error_rate(language, [each.transcript for each in recordings], measured.texts)
    cost = measured.cpu_seconds / measured.audio_seconds
    amount = f"{len(recordings)} recordings, {measured.audio_seconds:.0f} s"
    print(
        f"{language:5} {run.name:24} {name} {rate * 100:5.1f} %   {cost:.3f} CPU s per second"
        f"   ({amount}, {measured.uncovered_seconds:.1f} s uncovered)",
        flush=True,
    )


def report_confidence(language: str, finals: Sequence[tuple[Final, str]]) -> None:
    """Error rate of the finals by tenths of their number, the least confident first."""
    ordered = sorted(finals, key=lambda each: each[0].confidence or 0.0)
    tenths = [ordered[n * len(ordered) // 10 : (n + 1) * len(ordered) // 10] for n in range(10)]
    halves = [ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :]]
    for group in [each for each in [*tenths, *halves] if each]:
        name, rate = error_rate(language, [text for _, text in group], [final.text for final, _ in group])
        least, most = (group[at][0].confidence or 0.0 for at in (0, -1))
        print(f"{language:5} confidence {least:.2f} to {most:.2f}   {name} {rate * 100:5.1f} %   ({len(group)} finals)")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--engine", default="local")
    parser.add_argument("--language", default="ko")
    parser.add_argument("--every", type=int, default=1, help="only every n-th recording")
    parser.add_argument("--from", type=int, default=0, dest="first", help="number of the first recording, from 0")
    parser.add_argument("--best", action="store_true", help="only the engine as it is, nothing beside it")
    parser.add_argument("--show", action="store_true", help="print the texts")
    arguments = parser.parse_args()
    engine = load_engines(Settings(engines=arguments.engine))[arguments.engine]
    await engine.prewarm()
    recordings = list(read_manifest(arguments.manifest, arguments.language))[arguments.first :: arguments.every]
    for run in runs(arguments.language)[: 1 if arguments.best else None]:
        measured = await measure(engine, run, recordings)
        if arguments.show:
            for recording, text in zip(recordings, measured.texts, strict=True):
                print(f"{recording.path.name}\t{recording.transcript}\t{text}")
        report(run, recordings, measured)
        if run.weights == Weights() and run.config.two_pass is None:
            report_confidence(arguments.language, measured.finals)
    await engine.aclose()


if __name__ == "__main__":
    asyncio.run(main())
