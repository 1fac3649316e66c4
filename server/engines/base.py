"""The contract between the recognition half and an engine."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from server.languages import bare
from server.models import Recognition, SessionConfig

SAMPLE_RATE = 16_000
"""Hz of every ``pcm`` that reaches an engine: 16-bit little-endian mono."""

BYTES_PER_SECOND = SAMPLE_RATE * 2


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do. ``languages`` are BCP-47 tags; a bare tag covers its regional ones (``ko-KR``).

    ``models`` are those that a session may choose among; an engine without any does not read the field ``model``.
    ``max_sessions`` is the number of sessions that it can carry at once without falling behind; ``None``: no bound.
    """

    languages: frozenset[str]
    interim_results: bool = True
    word_times: bool = True
    keywords: bool = False
    diarize: bool = False
    two_pass_languages: frozenset[str] = frozenset()
    utterance_end: bool = False
    punctuate: bool = False
    models: frozenset[str] = frozenset()
    max_sessions: int | None = None

    def refusals(self, config: SessionConfig) -> dict[str, str]:
        """The fields of ``config`` that this engine can't serve, each with the reason."""
        asked = {
            "keywords": (bool(config.keywords), self.keywords),
            "diarize": (config.diarize, self.diarize),
            "two_pass": (config.two_pass is True, _covers(self.two_pass_languages, config.language)),
            "utterance_end_ms": (config.utterance_end_ms is not None, self.utterance_end),
        }
        refused = {field: "this engine can't do it" for field, (wanted, able) in asked.items() if wanted and not able}
        if not self.speaks(config.language):
            refused["language"] = f"supported: {', '.join(sorted(self.languages))}"
        return refused

    def speaks(self, language: str) -> bool:
        """Whether the tag, or the bare language of it, is supported."""
        return _covers(self.languages, language)


def able_engines(config: SessionConfig, capabilities: Mapping[str, Capabilities]) -> list[str]:
    """The engines that can serve a session, in their order. An engine that the client names is the only one."""
    names = capabilities if config.engine == "auto" else [config.engine]
    return [name for name in names if name in capabilities and not capabilities[name].refusals(config)]


def _covers(languages: frozenset[str], language: str) -> bool:
    return language in languages or bare(language) in languages


class Recognizer(Protocol):
    """One audio stream inside an engine; holds everything that belongs to that stream alone.

    Iterating gives the recognitions in order and ends after :meth:`finish` once the last final is out.

    A recognizer that fails stays failed. Iterating gives what was settled before the failure, then raises it as
    :class:`EngineError`; from then on every call raises it.
    """

    async def send_audio(self, pcm: bytes) -> None:
        """Take ``pcm`` (16 kHz mono). Returns when the recognizer can take more: this is the backpressure."""

    async def flush(self) -> None:
        """The final of what was sent, now; the stream goes on with the next sample.

        The answer is exactly one :class:`Final` that is ``flushed``, after all recognitions of the audio before it, and
        within two seconds of that audio's recognition. Its ``through`` is the end of that audio, its text is empty if
        nothing was said since the final before it.
        """

    async def finish(self) -> None:
        """No more audio; the last finals still come."""

    def __aiter__(self) -> AsyncIterator[Recognition]: ...


@dataclass(slots=True)
class Usage:
    """What one recognizer has cost at a service that is paid for."""

    sent_seconds: float = 0.0
    """Seconds of audio that were sent, including those sent again after a failure."""
    connected_seconds: float = 0.0

    def add(self, other: "Usage") -> None:
        self.sent_seconds += other.sent_seconds
        self.connected_seconds += other.connected_seconds


@runtime_checkable
class Metered(Protocol):
    """What a recognizer that costs money also has. The figures are complete once it is closed."""

    usage: Usage


class Engine(Protocol):
    """A recognition backend, loaded once and shared by all sessions. Holds nothing that belongs to a session."""

    capabilities: Capabilities

    async def prewarm(self) -> None:
        """Load what the first session would otherwise wait for. Raises :class:`EngineError`."""

    def open(self, config: SessionConfig, start: float) -> AbstractAsyncContextManager[Recognizer]:
        """A recognizer whose first sample is at ``start`` seconds on the session's audio clock."""

    def status(self) -> dict[str, Any]:
        """What ``/health`` shows of it: at least ``{"ready": bool}``, never a secret."""

    async def aclose(self) -> None:
        """Free the model."""


def status_of(engine: Engine) -> dict[str, Any]:
    """What the engine tells of itself. One that cannot even do that is not ready, and harms nobody else."""
    try:
        return engine.status()
    except Exception as exc:  # noqa: BLE001 - an engine may fail in any way; the others go on
        return {"ready": False, "detail": f"its status cannot be read: {type(exc).__name__}"}
