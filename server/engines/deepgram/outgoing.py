"""What is sent to Deepgram: the pieces, their pace, and which audio is left out as silence. No asyncio, no I/O."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE
from server.engines.speech.endpointing import Ended, Endpointer, Quiet, Segment, Speech, Started

FRAME_BYTES = BYTES_PER_SECOND // 10
"""0.1 s: Deepgram asks for pieces of 20 to 250 ms."""
BURST_SECONDS = 1.0
"""Audio that may be sent at once after Deepgram has waited for it: clients send chunks. After a reconnect Deepgram has
not waited."""


class Order(Enum):
    FINALIZE = "settle what you have"
    FINISH = "no more audio comes"


@dataclass(frozen=True, slots=True)
class Skip:
    """The audio before ``to``, a time of the session, is not sent."""

    to: float


@dataclass(frozen=True, slots=True)
class Flush:
    """A final is due for all audio before ``through``, a time of the session."""

    through: float


Item = bytes | Skip | Quiet | Flush | Order


def frames(pcm: bytes) -> Iterator[bytes]:
    """``pcm`` in pieces to be sent; none is empty: an empty one ends the stream."""
    return (pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES))


class Pacer:
    """Keeps audio to ``speed`` times real time. ``now`` is in seconds of any clock."""

    def __init__(self, speed: float, now: float) -> None:
        self._speed = speed
        self._now = now
        self._credit = 0.0  # seconds of audio that may be sent at once

    def wait(self, seconds: float, now: float) -> float:
        """How long to wait before ``seconds`` of audio are sent."""
        self._credit = min(BURST_SECONDS, self._credit + (now - self._now) * self._speed) - seconds
        self._now = now
        return max(0.0, -self._credit / self._speed)


class SilenceGate:
    """Passes on only what the endpointer takes for speech.

    ``push`` runs a neural network and so must not run on the event loop. ``start`` is the session's time of the first
    sample.
    """

    def __init__(self, endpointer: Endpointer, start: float) -> None:
        self._endpointer = endpointer
        self._sent_until = start
        self._repeated = 0

    def push(self, pcm: bytes) -> list[Item]:
        return list(self._items(self._endpointer.push(pcm)))

    def flush(self) -> list[Item]:
        return list(self._items(self._endpointer.flush()))

    def _items(self, segments: Iterable[Segment]) -> Iterator[Item]:
        speech = bytearray()
        for segment in segments:
            if isinstance(segment, Speech):
                speech += self._unsent(segment.pcm)
                continue
            yield from frames(bytes(speech))
            speech.clear()
            match segment:
                case Started():
                    yield from self._start(segment.audio_start)
                case Ended(cut=False):
                    yield Order.FINALIZE
                case Quiet():
                    yield segment
                case _:
                    pass
        yield from frames(bytes(speech))

    def _start(self, audio_start: float) -> Iterator[Skip]:
        """The end of one utterance may be the lead-in of the next one: it is sent only once."""
        if audio_start >= self._sent_until:
            self._sent_until = audio_start
            yield Skip(audio_start)
        else:
            self._repeated = round((self._sent_until - audio_start) * SAMPLE_RATE) * 2

    def _unsent(self, pcm: bytes) -> bytes:
        new = pcm[self._repeated :]
        self._repeated -= len(pcm) - len(new)
        self._sent_until += len(new) / BYTES_PER_SECOND
        return new
