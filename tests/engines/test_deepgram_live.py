"""The real Deepgram, with the key in ``DEEPGRAM_API_KEY``: costs about a minute of audio. ``make test-deepgram``."""

import asyncio
from collections.abc import Awaitable, Callable
from difflib import SequenceMatcher
from typing import Any

import pytest

from server.engines.deepgram.engine import DeepgramEngine
from server.models import Interim, SpeechStarted
from tests.support.deepgram_recognition import Outcome, recognise
from tests.support.engine_settings import deepgram_engine
from tests.support.servers import LIVE_DEEPGRAM_KEY, LIVE_DEEPGRAM_URL

pytestmark = [
    pytest.mark.deepgram,
    pytest.mark.skipif(
        not LIVE_DEEPGRAM_KEY, reason="NOT CHECKED AGAINST THE REAL DEEPGRAM: there is no DEEPGRAM_API_KEY"
    ),
]

SECOND = 32_000
SENTENCE = "그는 이리저리 피하면서 길 한 옆으로 걸어갔다"
LONGER_THAN_DEEPGRAM_WAITS = 12.0


def engine(key: str = LIVE_DEEPGRAM_KEY) -> DeepgramEngine:
    return deepgram_engine(deepgram_api_key=key, deepgram_base_url=LIVE_DEEPGRAM_URL)


async def hear(pcm: bytes, meanwhile: Callable[[], Awaitable[object]] | None = None, **config: Any) -> Outcome:
    return await recognise(engine(), pcm + bytes(2 * SECOND), start=100.0, meanwhile=meanwhile, **config)


def is_the_sentence(text: str) -> bool:
    """Near enough: spaces and punctuation do not count."""
    syllables = "".join(each for each in text if each.isalnum())
    return SequenceMatcher(None, syllables, SENTENCE.replace(" ", "")).ratio() > 0.5


@pytest.mark.parametrize("model", ["nova-2", "nova-3"])
async def test_korean_is_heard(korean_pcm: bytes, model: str) -> None:
    outcome = await hear(korean_pcm, model=model)
    assert outcome.error is None
    assert is_the_sentence(" ".join(outcome.texts))
    assert any(isinstance(each, Interim) for each in outcome.recognitions)
    assert isinstance(outcome.recognitions[0], SpeechStarted)
    spoken = [final for final in outcome.finals if final.text]
    assert 100.0 <= spoken[0].start < spoken[-1].end <= 104.5
    assert all(final.words and final.confidence and 0 < final.confidence <= 1 for final in spoken)
    assert outcome.through == pytest.approx(100.0 + (len(korean_pcm) + 2 * SECOND) / SECOND, abs=0.5)


async def test_a_pause_in_the_upload_settles_the_words_and_keeps_the_stream_open(korean_pcm: bytes) -> None:
    async def pause() -> None:
        await asyncio.sleep(LONGER_THAN_DEEPGRAM_WAITS)

    outcome = await hear(korean_pcm, meanwhile=pause)
    assert outcome.error is None
    assert is_the_sentence(" ".join(outcome.texts))


async def test_a_bad_key_is_refused_in_one_sentence() -> None:
    bad = engine("0" * 40)
    await bad.prewarm()
    assert bad.status()["detail"] == "Deepgram refuses the API key (401)."


async def test_a_model_that_does_not_exist_is_refused_for_this_session_alone(korean_pcm: bytes) -> None:
    outcome = await hear(korean_pcm, model="00000000-0000-0000-0000-000000000000")
    assert outcome.error is not None
    assert outcome.error.retryable is False
