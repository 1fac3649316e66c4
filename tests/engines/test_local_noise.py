"""The embedded engine, with its real models, where nobody speaks, and where somebody speaks quietly."""

import numpy as np
import pytest

from server.engines.base import SAMPLE_RATE
from server.engines.local.phantom import agreement
from server.models import Final, Interim, SpeechStarted
from tests.support.local_engine import (
    GAP,
    QUILTER,
    SharedEngine,
    at_level,
    finals,
    load_local_engine,
    recognise,
    silence,
)
from tests.support.servers import KOREAN_TEXT


@pytest.fixture(scope="session")
def engine() -> SharedEngine:
    return load_local_engine()


def noise(kind: str, seconds: float = 20.0) -> bytes:
    dice = np.random.default_rng(7)
    count = round(seconds * SAMPLE_RATE)
    samples = dice.normal(0, 2000, count)
    if kind == "silence":
        samples = np.zeros(count)
    elif kind == "pink":
        spectrum = np.fft.rfft(samples)
        samples = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), count)
        samples *= 2000 / samples.std()
    elif kind == "clicks":
        ring = np.exp(-np.arange(400) / 40)
        strokes = np.zeros(count)
        strokes[dice.integers(0, count - len(ring), 6 * round(seconds))] = 4
        samples = samples * np.convolve(strokes, ring)[:count]
    return bytes(samples.clip(-32768, 32767).astype("<i2").tobytes())


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("kind", ["silence", "white", "pink", "clicks"])
async def test_noise_says_nothing(engine: SharedEngine, kind: str, language: str) -> None:
    recognitions = await recognise(engine, noise(kind), language)
    assert recognitions
    assert all(isinstance(each, Final) and not each.text for each in recognitions)


@pytest.mark.parametrize(("kind", "language"), [("silence", "ko"), ("silence", "en"), ("white", "en")])
async def test_nor_does_noise_that_is_taken_for_speech(
    engine: SharedEngine, monkeypatch: pytest.MonkeyPatch, kind: str, language: str
) -> None:
    monkeypatch.setattr("server.engines.speech.vad.VadStream.probabilities", lambda _, pcm: [0.9] * (len(pcm) // 1024))
    recognitions = await recognise(engine, noise(kind, 6.0), language, every_interim=True)
    assert any(isinstance(each, SpeechStarted) for each in recognitions)
    assert not [each for each in recognitions if isinstance(each, Interim | Final) and each.text]


async def test_quiet_korean_is_heard(engine: SharedEngine, korean_pcm: bytes) -> None:
    (final,) = finals(await recognise(engine, GAP + at_level(korean_pcm, -30) + GAP))
    assert agreement(final.text, KOREAN_TEXT) > 0.8


@pytest.mark.speech
async def test_quiet_english_is_heard(engine: SharedEngine, english_pcm: bytes) -> None:
    (final,) = finals(await recognise(engine, GAP + at_level(english_pcm, -30) + GAP, "en"))
    assert agreement(final.text, QUILTER) > 0.9


@pytest.mark.parametrize("samples", [1, 160])
async def test_a_scrap_of_audio_is_no_failure(
    engine: SharedEngine, monkeypatch: pytest.MonkeyPatch, samples: int
) -> None:
    """An utterance that was cut because of its length goes on, and the audio ends."""
    monkeypatch.setattr("server.engines.speech.vad.VadStream.probabilities", lambda _, pcm: [0.9] * (len(pcm) // 1024))
    monkeypatch.setattr(engine.settings, "max_utterance_seconds", 1.6)
    recognitions = await recognise(engine, silence(1.6 + samples / SAMPLE_RATE), "en")
    assert isinstance(recognitions[-1], Final)
    assert recognitions[-1].through == pytest.approx(1.6 + samples / SAMPLE_RATE)
