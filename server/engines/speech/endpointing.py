"""Endpointing: cuts a stream of audio into utterances by the probability of speech in each frame. Pure: no I/O."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from server.engines.base import BYTES_PER_SECOND
from server.engines.speech.frames import FRAME_BYTES, FRAME_SECONDS
from server.languages import bare
from server.models import SessionConfig

DEFAULT_ENDPOINTING_MS = {"ko": 800}
"""Korean speakers pause long before a sentence's last verb; 0.5 s would cut most sentences in two."""
FALLBACK_ENDPOINTING_MS = 600

ONSET_PROBABILITY = 0.5
OFFSET_PROBABILITY = 0.35
ONSET_FRAMES = 3
"""Speech frames in a row that begin an utterance: a click is shorter."""
PRE_ROLL_SECONDS = 0.3
QUIET_SECONDS = 1.0
"""Seconds of new silence after which silence is reported."""
LONG_UTTERANCE_SECONDS = 12.0
"""An utterance that is longer than this ends at ever shorter pauses, so that a cut at the limit is rare."""
SHORTEST_PAUSE_SECONDS = 0.1
PAUSE_SECONDS = 0.35
"""Seconds of silence after which the utterance may well be over: its final can be prepared."""


def endpointing_seconds(config: SessionConfig, default_ms: int | None) -> float:
    """Silence that ends an utterance: the session's wish, else the server's, else the language's habit."""
    language = bare(config.language)
    by_language = DEFAULT_ENDPOINTING_MS.get(language, FALLBACK_ENDPOINTING_MS)
    return (config.endpointing_ms or default_ms or by_language) / 1000


@dataclass(frozen=True, slots=True)
class Started:
    """An utterance begins: speech at ``start``; its audio begins at ``audio_start``, a pre-roll earlier.

    ``continued``: the utterance before was cut because of its length, nobody stopped speaking.
    """

    start: float
    audio_start: float
    continued: bool = False


@dataclass(frozen=True, slots=True)
class Speech:
    """Audio of the utterance. ``spoken``: somebody speaks in it; else it is what lies before, between or behind."""

    pcm: bytes
    spoken: bool = False


@dataclass(frozen=True, slots=True)
class Paused:
    """Nobody has spoken since ``end``, for ``PAUSE_SECONDS``; reported once in each pause."""

    end: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The utterance's last speech was at ``end``; all audio before ``through`` is accounted for.

    ``cut``: it was ended by its length.
    """

    end: float
    through: float
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Quiet:
    """All audio before ``through`` is accounted for: whatever speech it held has been reported."""

    through: float


Segment = Started | Speech | Paused | Ended | Quiet


class Endpointer:
    """Feed PCM in any cuts with ``push``; ``flush`` ends what is under way. Both yield segments in order.

    ``probabilities`` gives the speech probability of each frame of a whole number of frames. ``start`` is the time of
    the first sample. The result depends on the audio and on where it was flushed, never on how it was cut.
    """

    def __init__(
        self,
        probabilities: Callable[[bytes], Sequence[float]],
        *,
        start: float,
        endpointing: float,
        longest: float,
    ) -> None:
        self._probabilities = probabilities
        self._endpointing = endpointing
        self._longest = longest
        self._start = start
        self._taken_bytes = 0
        self._accounted = start
        self._rest = b""
        self._recent: deque[bytes] = deque(maxlen=ONSET_FRAMES + round(PRE_ROLL_SECONDS / FRAME_SECONDS))
        self._onset = 0
        self._began: float | None = None
        self._last_speech = start
        self._paused = False

    def push(self, pcm: bytes) -> Iterator[Segment]:
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % FRAME_BYTES
        self._rest = pcm[whole:]
        for index, probability in enumerate(self._probabilities(pcm[:whole])):
            frame = pcm[index * FRAME_BYTES : (index + 1) * FRAME_BYTES]
            self._taken_bytes += FRAME_BYTES
            yield from self._silent(frame, probability) if self._began is None else self._speaking(frame, probability)

    def flush(self) -> Iterator[Segment]:
        """Account for all audio so far: the last segment is ``Ended`` if an utterance was under way, else ``Quiet``.

        More audio may follow: its first sample begins a new frame, and nothing before it becomes its pre-roll.
        """
        rest, self._rest = self._rest, b""
        self._taken_bytes += len(rest)
        self._recent.clear()
        if self._began is not None:
            yield Speech(rest)
            yield self._end(self._now)
        else:
            self._accounted = self._now
            self._onset = 0
            yield Quiet(self._now)

    @property
    def _now(self) -> float:
        """Time of the next frame."""
        return self._ago(0)

    def _ago(self, frames: int) -> float:
        """Time at which the newest ``frames`` began."""
        return self._start + (self._taken_bytes - frames * FRAME_BYTES) / BYTES_PER_SECOND

    def _silent(self, frame: bytes, probability: float) -> Iterator[Segment]:
        self._recent.append(frame)
        self._onset = self._onset + 1 if probability >= ONSET_PROBABILITY else 0
        if self._onset >= ONSET_FRAMES:
            yield from self._begin()
        elif self._quiet_from() - self._accounted >= QUIET_SECONDS:
            self._accounted = self._quiet_from()
            yield Quiet(self._accounted)

    def _quiet_from(self) -> float:
        """End of the silence: what may still become a pre-roll is left out."""
        return self._ago(len(self._recent))

    def _begin(self) -> Iterator[Segment]:
        audio_start = max(self._accounted, self._quiet_from())
        skip = round((audio_start - self._quiet_from()) / FRAME_SECONDS)
        self._began = self._ago(self._onset)
        self._last_speech = self._now
        self._paused = False
        yield Started(self._began, audio_start)
        recent = list(self._recent)
        yield Speech(b"".join(recent[skip : -self._onset]))
        yield Speech(b"".join(recent[max(skip, len(recent) - self._onset) :]), spoken=True)
        self._recent.clear()
        self._onset = 0

    def _speaking(self, frame: bytes, probability: float) -> Iterator[Segment]:
        assert self._began is not None
        yield Speech(frame, spoken=probability >= ONSET_PROBABILITY)
        self._recent.append(frame)
        if probability >= OFFSET_PROBABILITY:
            self._last_speech = self._now
            self._paused = False
        length = self._now - self._began
        silence = self._now - self._last_speech + FRAME_SECONDS / 2
        if silence >= PAUSE_SECONDS and not self._paused:
            self._paused = True
            yield Paused(self._last_speech)
        if silence >= self._pause(length):
            yield self._end(max(self._last_speech, self._quiet_from()))
        elif length >= self._longest - FRAME_SECONDS / 2:
            yield Ended(self._now, self._now, cut=True)
            self._accounted = self._began = self._last_speech = self._now
            self._paused = False
            yield Started(self._now, self._now, continued=True)

    def _pause(self, length: float) -> float:
        """Silence that ends an utterance of this length."""
        over = max(0.0, length - LONG_UTTERANCE_SECONDS) / max(1.0, self._longest - LONG_UTTERANCE_SECONDS)
        return max(SHORTEST_PAUSE_SECONDS, self._endpointing * (1 - over))

    def _end(self, through: float) -> Ended:
        ended = Ended(self._last_speech, through)
        self._began = None
        self._accounted = through
        self._onset = 0
        return ended
