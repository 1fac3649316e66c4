"""From Deepgram's messages to recognitions: utterances put together, on the session's audio clock. No asyncio, no I/O.

Deepgram's last word on a stretch of audio is its ``is_final`` result. It replaces every interim of that stretch, also
when it is shorter or empty; what it leaves out comes again in the next stretch. An utterance is all finals up to a
pause (``speech_final``), to the answer of a Finalize, or to an ``UtteranceEnd`` when neither came.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace

from server.engines.base import BYTES_PER_SECOND
from server.engines.deepgram.messages import Message, Results, SpeechBegan, UtteranceEnd
from server.languages import space
from server.models import Final, Interim, Recognition, SpeechEnded, SpeechStarted, Word

TOLERANCE_SECONDS = 0.02
"""Deepgram rounds its times."""


class Clock:
    """Converts seconds sent on a connection to the session's audio clock; silence may have been left out."""

    def __init__(self, start: float) -> None:
        self._sent_bytes = 0
        self._spans = [0.0]  # seconds sent before each span of audio without a gap
        self._times = [start]  # the session's time at which it begins

    @property
    def sent(self) -> float:
        """Seconds of audio sent."""
        return self._sent_bytes / BYTES_PER_SECOND

    @property
    def now(self) -> float:
        """The session's time of the next byte to be sent."""
        return self._times[-1] + self.sent - self._spans[-1]

    def advance(self, size: int) -> None:
        """``size`` bytes are sent."""
        self._sent_bytes += size

    def skip_to(self, seconds: float) -> None:
        """Nothing is sent before ``seconds`` of the session."""
        if seconds > self.now:
            self._spans.append(self.sent)
            self._times.append(seconds)

    def begin_of(self, sent: float) -> float:
        """The session's time of something that begins after ``sent`` seconds."""
        return self._at(bisect_right(self._spans, sent + TOLERANCE_SECONDS) - 1, sent)

    def end_of(self, sent: float) -> float:
        """The session's time of something that ends after ``sent`` seconds: before the gap, if one follows."""
        return self._at(max(0, bisect_left(self._spans, sent - TOLERANCE_SECONDS) - 1), sent)

    def _at(self, span: int, sent: float) -> float:
        return self._times[span] + max(0.0, min(sent, self.sent) - self._spans[span])


@dataclass(frozen=True, slots=True)
class _Part:
    """Text of a stretch of audio: settled, or the interim's. Times are the session's."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...]
    confidence: float | None
    language: str | None


class UtteranceAssembler:
    """Takes one connection's messages in order and says what they mean for the session.

    What has no pause for ``longest`` seconds is published all the same: after a failure it would be sent again.
    """

    def __init__(self, clock: Clock, language: str, longest: float) -> None:
        self.clock = clock
        self._space = space(language)
        self._longest = longest
        self._settled = 0.0  # seconds sent that finals have accounted for
        self.heard = 0.0
        """Seconds of the audio sent for which there has been a result, settled or not."""
        self._quiet = 0.0  # the session's time before which nobody spoke that was not sent
        self._published = clock.now
        self._parts: list[_Part] = []
        self._interim: Results | None = None
        self._shown = ""
        self._speaking_since: float | None = None
        self._gap_seen = False

    @property
    def settled(self) -> bool:
        """Whether everything that was sent is accounted for."""
        return self._settled >= self.clock.sent - TOLERANCE_SECONDS

    @property
    def waiting(self) -> bool:
        """Whether a Finalize could bring anything."""
        return bool(self._parts) or not self.settled

    def take(self, message: Message) -> list[Recognition]:
        if isinstance(message, Results):
            self.heard = max(self.heard, message.end)
        return list(self._take(message))

    def quiet(self, through: float) -> list[Recognition]:
        """Nobody has spoken before ``through``, a time of the session; that audio is not sent."""
        self._quiet = through
        return [] if self._parts or not self.settled else list(self._publish(ended=False))

    def settle(self) -> list[Recognition]:
        """No answer came to a Finalize: what was last heard is the best there is."""
        if self._interim is not None:
            self._accept(self._interim)
        elif self.waiting:
            self._settled = self.clock.sent
        else:
            return []
        return list(self._publish(ended=True))

    def flush(self, through: float, answer: Message | None = None) -> list[Recognition]:
        """The final of all that was sent, which ends at ``through``, a time of the session.

        ``answer`` is Deepgram's last word on it; without one, what was last heard is the best there is.
        """
        return list(self._flush(through, answer))

    def close(self) -> list[Recognition]:
        """The connection is over: publish what is settled. What is not has to be recognised again."""
        return list(self._publish(ended=True)) if self._parts or self._speaking_since is not None else []

    def _take(self, message: Message) -> Iterator[Recognition]:
        match message:
            case Results(is_final=True):
                yield from self._take_final(message)
            case Results() if message.end > self._settled + TOLERANCE_SECONDS:
                self._interim = message if message.text else None
                if message.text:
                    yield from self._show()
            case SpeechBegan(at=at):
                yield from self._begin(self.clock.begin_of(at))
            case UtteranceEnd() if self._parts and self._interim is None:
                yield from self._publish(ended=True)
            case UtteranceEnd():
                # its last words may not be settled yet; without any it repeats what a speech_final has said
                self._gap_seen = self._interim is not None
            case _:
                pass

    def _take_final(self, final: Results) -> Iterator[Recognition]:
        heard = self._interim
        new = self._without_repeats(final)
        self._accept(new)
        if new.text:
            yield from self._begin(self._parts[-1].start)
        if not self._parts:
            yield from self._show()
        if final.speech_final or final.from_finalize or (self._gap_seen and new.text):
            yield from self._publish(ended=True)
        elif not self._parts or self._parts[-1].end - self._parts[0].start >= self._longest:
            yield from self._publish(ended=False)
        elif heard is None or heard.end <= final.end + TOLERANCE_SECONDS:
            yield from self._show()

    def _flush(self, through: float, answer: Message | None) -> Iterator[Recognition]:
        for heard in (answer, self._interim):
            if isinstance(heard, Results) and heard.end > self._settled + TOLERANCE_SECONDS:
                new = self._without_repeats(heard)
                self._accept(new)
                if new.text:
                    yield from self._begin(self._parts[-1].start)
        self._interim = None
        self._settled = self.clock.sent
        yield from self._publish(ended=True, flushed=through)

    def _accept(self, final: Results) -> None:
        """Take the text of a stretch as settled; an interim that reaches further stays."""
        if final.text:
            self._parts.append(self._part(final))
        if self._interim is not None and self._interim.end <= final.end + TOLERANCE_SECONDS:
            self._interim = None
        self._settled = max(self._settled, min(final.end, self.clock.sent))

    def _without_repeats(self, final: Results) -> Results:
        """Deepgram says some words twice, rarely: leave out what lies in audio that is settled."""
        if final.start >= self._settled - TOLERANCE_SECONDS:
            return final
        words = tuple(word for word in final.words if (word.start + word.end) / 2 > self._settled)
        if len(words) == len(final.words) and final.end > self._settled + TOLERANCE_SECONDS:
            return final
        return replace(final, text=self._text_after(final, final.words[: len(final.words) - len(words)]), words=words)

    def _text_after(self, final: Results, words: tuple[Word, ...]) -> str:
        """The text behind its first ``words``, as Deepgram has spaced it: Korean can't be put together from words."""
        at = 0
        for word in words:
            at = final.text.find(word.word, at) + len(word.word)
            if at < len(word.word):
                return self._space.join(word.word for word in final.words[len(words) :])
        return final.text[at:].strip()

    def _begin(self, start: float) -> Iterator[SpeechStarted]:
        """Deepgram may say several times that speech began, or never."""
        if self._speaking_since is None:
            self._speaking_since = max(start, self._published)
            yield SpeechStarted(self._speaking_since)

    def _show(self) -> Iterator[Recognition]:
        """An interim of the whole utterance, if its text has changed."""
        interim = [self._part(self._interim)] if self._interim is not None else []
        parts = self._parts + interim
        text = self._space.join(part.text for part in parts)
        if text == self._shown:
            return
        self._shown = text
        if not parts:  # what was shown is withdrawn
            yield Interim("", self._published, self._published)
            return
        yield from self._begin(parts[0].start)
        yield Interim(text, parts[0].start, parts[-1].end, _confidence(parts), _words(parts), _language(parts))

    def _publish(self, *, ended: bool, flushed: float | None = None) -> Iterator[Recognition]:
        """A final, with text or without, that moves the checkpoint; ``ended``: the speaker has paused.

        ``flushed`` is the time of the flush that the final answers. Such a final is published in any case.
        """
        parts = self._parts
        through = self.clock.end_of(self._settled) if flushed is None else flushed
        if self.settled:
            through = max(through, self._quiet)
        text = self._space.join(part.text for part in parts)
        start, end = (parts[0].start, parts[-1].end) if parts else (through, through)
        if ended and self._speaking_since is not None:
            yield SpeechEnded(end if parts else max(self._speaking_since, self._published))
            self._speaking_since = None
        self._parts, self._gap_seen = [], False
        if parts:
            self._shown = ""
        if parts or through > self._published or flushed is not None:
            self._published = max(self._published, through)
            times = (start, end, self._published)
            yield Final(text, *times, _confidence(parts), _words(parts), _language(parts), flushed is not None)

    def _part(self, heard: Results) -> _Part:
        """The result with its times kept within unpublished audio, so that they never run backwards."""
        latest = max(self._published, self.clock.end_of(heard.end))

        def word_of(word: Word) -> Word:
            start = min(max(self._published, self.clock.begin_of(word.start)), latest)
            return replace(word, start=start, end=min(max(start, self.clock.end_of(word.end)), latest))

        words = tuple(word_of(word) for word in heard.words)
        if words:
            start, end = words[0].start, words[-1].end
        else:
            earliest = max(self._published, self.clock.begin_of(heard.start), self._speaking_since or 0.0)
            start, end = min(earliest, latest), latest
        return _Part(heard.text, start, end, words, heard.confidence, heard.language)


def _words(parts: list[_Part]) -> tuple[Word, ...]:
    return tuple(word for part in parts for word in part.words)


def _language(parts: list[_Part]) -> str | None:
    return next((part.language for part in parts if part.language), None)


def _confidence(parts: list[_Part]) -> float | None:
    """The mean of the parts' confidences, weighted by the length of their text."""
    known = [(part.confidence, len(part.text)) for part in parts if part.confidence is not None]
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else None
