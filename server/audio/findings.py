"""What decoding finds that a client is to be told while the session goes on. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """``code`` of the ``error`` event, ``at`` in seconds on the audio clock; ``seconds`` of audio that are missing."""

    code: str
    message: str
    at: float
    seconds: float | None = None


def gap(container: str, seconds: float, at: float) -> Finding:
    """A part of the upload is missing or can't be read."""
    length = f"{seconds:.1f} s of it are missing" if seconds else "some of it is missing"
    return Finding("audio_gap", f"The {container} audio has a gap at {at:.1f} s: {length}.", at, round(seconds, 3))


def unreadable(container: str, at: float) -> Finding:
    """From here on nothing could be read, so far."""
    return Finding("audio_gap", f"The {container} audio can't be read from {at:.1f} s on.", at)
