"""Samples that cannot be speech: not read as what they are, or a microphone that gives nothing. Pure."""

import numpy as np
import numpy.typing as npt

from server.audio.findings import Finding
from server.audio.formats import SampleFormat
from server.audio.signatures import QUIET, SMOOTH

Samples = npt.NDArray[np.floating]

LASTING_SECONDS = {"noise": 5, "order": 5, "float": 5, "constant": 30}
"""A sound that is loud and white may be a train; nothing but that for so long is not what it was taken for."""
ORDINARY_SECONDS = 60
"""Seconds without any doubt after which nobody looks any more: a format does not change in the middle."""
LOUD, WHITE = 6_000, 1.2
SAID = {
    "noise": "sounds like white noise",
    "order": "has its bytes in the other order (big-endian)",
    "float": "seems to be 32-bit floating point",
    "constant": "is one value and no sound",
}


class Suspicion:
    """Looks at headerless 16-bit samples by the second; ``seconds`` is the audio clock at their beginning."""

    def __init__(self, sample_format: SampleFormat, seconds: float) -> None:
        self._format = sample_format
        self._seconds = seconds
        self._block = bytearray()
        self._kind = ""
        self._run = 0
        self._ordinary = 0
        self._done = False

    def feed(self, data: bytes) -> Finding | None:
        """What is wrong, once it has lasted; told once."""
        if self._done:
            return None
        self._block += data
        size = self._format.bytes_per_second
        found = None
        while len(self._block) >= size and not self._done:
            found = self._look(bytes(self._block[:size]))
            del self._block[:size]
            self._done = found is not None or self._ordinary >= ORDINARY_SECONDS
        if self._done:
            self._block = bytearray()
        return found

    def _look(self, block: bytes) -> Finding | None:
        self._seconds += 1
        kind = doubtful(block, self._format.channels)
        self._ordinary = 0 if kind else self._ordinary + 1
        self._run = self._run + 1 if kind and kind == self._kind else 1
        self._kind = kind
        if not kind or self._run < LASTING_SECONDS[kind]:
            return None
        message = (
            f"The audio {SAID[kind]}, for {self._run} s now. Is it 16-bit little-endian PCM at {self._format.rate} Hz, "
            f"{self._format.channels} channel{'s' * (self._format.channels > 1)}?"
        )
        return Finding("audio_suspicious", message, self._seconds)


def doubtful(block: bytes, channels: int = 1) -> str:
    """Which of ``SAID`` these bytes are; empty: they may well be speech."""
    samples = np.frombuffer(block[: len(block) // 4 * 4], "<i2")
    if samples.min() == samples.max():
        return "constant"
    if np.sqrt(np.mean(samples.astype(float) ** 2)) < QUIET:
        return ""
    white = _step(samples.astype(float), channels)
    if white < SMOOTH:
        return ""
    with np.errstate(invalid="ignore"):
        floats = samples.view("<f4").astype(float)
    if np.isfinite(floats).all() and 1e-5 < np.mean(np.abs(floats)) < 4 and _step(floats, channels) < SMOOTH:
        return "float"
    if _step(samples.byteswap().astype(float), channels) < SMOOTH:
        return "order"
    return "noise" if white > WHITE and np.sqrt(np.mean(samples.astype(float) ** 2)) > LOUD else ""


def _step(samples: Samples, channels: int) -> float:
    """Mean step from a sample to the next one of its channel, over the mean size."""
    steps = np.abs(samples[channels:] - samples[:-channels]).astype(float)
    return float(steps.mean() / (np.abs(samples).astype(float).mean() + 1e-12))
