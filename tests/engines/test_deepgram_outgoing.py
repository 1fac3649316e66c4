"""What goes out to Deepgram: frames, no faster than is allowed, and without silence."""

import pytest

from server.engines.deepgram.outgoing import FRAME_BYTES, Item, Order, Pacer, SilenceGate, Skip, frames
from server.engines.deepgram.utterances import Clock
from server.engines.speech.endpointing import Endpointer, Quiet
from server.engines.speech.frames import FRAME_BYTES as VAD_FRAME_BYTES

SECOND = 32_000


def test_audio_goes_out_in_pieces_of_a_tenth_of_a_second_and_none_is_empty() -> None:
    pcm = bytes(range(250)) * 40
    assert b"".join(frames(pcm)) == pcm
    assert [len(piece) for piece in frames(pcm)] == [FRAME_BYTES, FRAME_BYTES, FRAME_BYTES, len(pcm) - 3 * FRAME_BYTES]
    assert list(frames(b"")) == []


def test_a_backlog_goes_out_no_faster_than_is_allowed() -> None:
    pacer, now = Pacer(1.25, 0.0), 0.0
    for _ in range(100):
        now += pacer.wait(0.1, now)
    assert 10.0 / now <= 1.25
    assert 10.0 / now == pytest.approx(1.25)


def test_audio_that_was_waited_for_goes_out_at_once() -> None:
    pacer = Pacer(1.25, 0.0)
    assert pacer.wait(1.0, 1.0) == 0.0
    assert pacer.wait(1.0, 100.0) == 0.0  # but no more than a second of it
    assert pacer.wait(0.5, 100.0) == pytest.approx(0.4)


def gate(start: float = 0.0) -> SilenceGate:
    """Holds a VAD frame for speech if its first byte is not 0; 0.256 s of silence end an utterance."""

    def probabilities(pcm: bytes) -> list[float]:
        return [float(pcm[at] > 0) for at in range(0, len(pcm), VAD_FRAME_BYTES)]

    return SilenceGate(Endpointer(probabilities, start=start, endpointing=0.256, longest=28), start)


def sound(vad_frames: int, speech: bool) -> bytes:
    return bytes([1 if speech else 0]) * (vad_frames * VAD_FRAME_BYTES)


def test_the_gate_lets_speech_through_with_its_time_and_asks_to_settle_it() -> None:
    items = gate(start=5.0).push(sound(50, False) + sound(20, True) + sound(20, False))
    passed = b"".join(item for item in items if isinstance(item, bytes))
    (skip,) = [item for item in items if isinstance(item, Skip)]
    lead_in = round((5.0 + 50 * 0.032 - skip.to) / 0.032)
    assert 0 < lead_in <= 12
    assert passed == sound(lead_in, False) + sound(20, True) + sound(8, False)
    assert [item for item in items if isinstance(item, Order)] == [Order.FINALIZE]
    assert [type(item) for item in items][0] is Quiet


def test_the_gate_sends_no_audio_twice() -> None:
    """The silence that ended an utterance is the lead-in of the next one."""
    pcm = sound(20, True) + sound(10, False) + sound(20, True) + sound(40, False)
    clock = Clock(0.0)
    sent = bytearray()
    for item in gate().push(pcm):
        if isinstance(item, bytes):
            assert pcm[round(clock.now * SECOND) :].startswith(item)
            sent += item
            clock.advance(len(item))
        elif isinstance(item, Skip):
            clock.skip_to(item.to)
    assert len(sent) == (20 + 10 + 20 + 8) * VAD_FRAME_BYTES


def test_the_gate_passes_the_end_of_an_utterance_that_is_cut_off() -> None:
    silent: list[Item] = gate().flush()
    assert [type(item) for item in silent] == [Quiet]
    speaking = gate()
    sent = [*speaking.push(sound(20, True)), *speaking.flush()]
    assert sent[-1] is Order.FINALIZE
