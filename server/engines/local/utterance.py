"""One utterance while it is spoken and until its final is out, and what a worker thread tells the event loop of it."""

from concurrent.futures import Future
from dataclasses import dataclass, field

from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE
from server.engines.local.agreement import LocalAgreement
from server.engines.local.coverage import Spoken
from server.engines.local.refinement import Refinement
from server.engines.local.second_pass import Reading
from server.engines.local.vosk import VoskUtterance
from server.engines.local.workers import Priority
from server.engines.speech.endpointing import PAUSE_SECONDS, Ended, Speech, Started
from server.models import Final, Interim, Recognition


@dataclass(slots=True)
class Utterance:
    """Speech between a start and an end. ``second``: its second pass, up to a pause at ``second_at`` seconds."""

    started: Started
    first: VoskUtterance | None
    audio: bytearray = field(default_factory=bytearray)
    heard: LocalAgreement = field(default_factory=LocalAgreement)
    decoded_bytes: int = 0
    spoken: Spoken = field(default_factory=Spoken)
    shown: Interim | None = None
    guess: Interim | None = None
    """The newest interim of the first pass."""
    told: str = ""
    """The newest interim that was published, of an utterance that has a first pass."""
    refinement: Refinement = field(default_factory=Refinement)
    second: Future[Reading] | None = None
    second_at: float = -1.0
    second_priority: Priority = Priority.INTERIM
    ended: bool = False

    def take(self, speech: Speech) -> None:
        start = self.started.audio_start + len(self.audio) / BYTES_PER_SECOND
        self.audio += speech.pcm
        if speech.spoken:
            self.spoken.add(start, start + len(speech.pcm) / BYTES_PER_SECOND)

    def until(self, end: float) -> bytes:
        """The audio up to a little after the last speech: the same whether or not more silence has come since."""
        seconds = end + PAUSE_SECONDS - self.started.audio_start
        return bytes(self.audio[: round(seconds * SAMPLE_RATE) * 2])


@dataclass(frozen=True, slots=True)
class Over:
    """The utterance is over; ``first`` is what the first pass made of it."""

    utterance: Utterance
    ended: Ended
    first: Final | None
    flushed: bool


@dataclass(frozen=True, slots=True)
class MayBeOver:
    """Nobody has spoken since ``end``."""

    utterance: Utterance
    end: float


@dataclass(frozen=True, slots=True)
class Grown:
    """There is enough new speech for another interim of Whisper."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Guessed:
    """The first pass has a new interim."""

    utterance: Utterance
    interim: Interim


Step = Recognition | Over | MayBeOver | Grown | Guessed
