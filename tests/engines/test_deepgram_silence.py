"""The Deepgram engine against the peer: silence that is not sent, and streams that are kept open through it."""

import asyncio
from collections.abc import Sequence

import pytest

from server.engines.deepgram import engine as deepgram
from server.engines.deepgram.recognizer import DeepgramRecognizer
from server.engines.speech.frames import FRAME_BYTES as VAD_FRAME_BYTES
from server.models import Final
from tests.support.deepgram_peer import DeepgramPeer
from tests.support.deepgram_recognition import SECOND, SENTENCES, SPEECH, Outcome, engine_for, recognise
from tests.support.deepgram_speech import coded_speech, coded_text
from tests.support.deepgram_stream import Trouble


class AnySound:
    """Holds everything for speech that is not zero: coded speech is no speech to the real detector."""

    def stream(self) -> "AnySound":
        return self

    def probabilities(self, pcm: bytes) -> Sequence[float]:
        return [float(any(pcm[at : at + VAD_FRAME_BYTES])) for at in range(0, len(pcm), VAD_FRAME_BYTES)]


async def test_silence_is_not_sent_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepgram, "VoiceActivityDetector", AnySound)
    pcm = bytes(5 * SECOND) + coded_speech(*SENTENCES, pause=4.0)
    async with DeepgramPeer() as peer:
        all_of_it = await recognise(engine_for(peer), pcm, start=7.0)
        engine = engine_for(peer, deepgram_skip_silence=True)
        await engine.prewarm()
        outcome = await recognise(engine, pcm, start=7.0)
        stream = peer.streams[1]
    assert outcome.texts == all_of_it.texts == coded_text(*SENTENCES)
    for skipped, sent in zip(_spoken(outcome), _spoken(all_of_it), strict=True):
        assert [skipped.start, skipped.end] == pytest.approx([sent.start, sent.end], abs=0.1)
    assert outcome.through == pytest.approx(7.0 + len(pcm) / SECOND, abs=0.1)
    assert outcome.usage.sent_seconds == pytest.approx(stream.seconds)
    assert stream.seconds < len(pcm) / SECOND - 10
    assert stream.count("Finalize") == len(SENTENCES)


def _spoken(outcome: Outcome) -> list[Final]:
    return [final for final in outcome.finals if final.text]


async def test_a_session_of_silence_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepgram, "VoiceActivityDetector", AnySound)
    async with DeepgramPeer() as peer:
        engine = engine_for(peer, deepgram_skip_silence=True)
        await engine.prewarm()
        outcome = await recognise(engine, bytes(5 * SECOND))
        assert peer.handshakes == []
    assert outcome.through == pytest.approx(5.0, abs=0.1)


async def test_a_stream_is_kept_open_through_silence_that_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepgram, "VoiceActivityDetector", AnySound)
    async with DeepgramPeer(hungry_seconds=1.0) as peer:
        engine = engine_for(peer, deepgram_skip_silence=True, deepgram_keepalive_seconds=0.02)
        await engine.prewarm()

        async def idle() -> None:
            await peer.until(lambda peer: peer.streams[0].count("KeepAlive") >= 2)

        outcome = await recognise(engine, SPEECH, meanwhile=idle)
    assert (outcome.texts, outcome.error) == (coded_text(*SENTENCES), None)


async def test_a_stream_is_kept_open_while_silence_arrives_that_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """An open microphone in a quiet room: audio comes all the time, none of it is for Deepgram."""
    monkeypatch.setattr(deepgram, "VoiceActivityDetector", AnySound)
    async with DeepgramPeer(hungry_seconds=1.0) as peer:
        engine = engine_for(peer, deepgram_skip_silence=True, deepgram_keepalive_seconds=0.05)
        await engine.prewarm()

        async def quiet_room(recognizer: DeepgramRecognizer) -> None:
            while peer.streams[0].count("KeepAlive") < 3:
                await recognizer.send_audio(bytes(2 * SECOND))
                await asyncio.sleep(0.01)

        outcome = await recognise(engine, SPEECH, then=quiet_room)
    assert (outcome.texts, outcome.error) == (coded_text(*SENTENCES), None)


async def test_a_finalize_that_is_not_answered_is_no_silence_of_the_far_end() -> None:
    async with DeepgramPeer([Trouble(ignores=("Finalize",))], hungry_seconds=2.0) as peer:
        engine = engine_for(peer, deepgram_keepalive_seconds=0.05, deepgram_silence_seconds=0.3)

        async def pause(recognizer: DeepgramRecognizer) -> None:
            await peer.until(lambda peer: bool(peer.streams) and len(peer.streams[0].said) >= 3)
            await recognizer.send_audio(bytes(SECOND // 10))  # too little for a word from the far end
            await peer.until(lambda peer: peer.streams[0].count("KeepAlive") >= 12)

        outcome = await recognise(engine, coded_speech([1, 2], pause=0), then=pause)
    assert (outcome.texts, outcome.error) == (["w1 w2"], None)
