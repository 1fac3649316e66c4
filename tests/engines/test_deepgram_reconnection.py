"""Sessions on Deepgram from the client's side: those that outlive their connections."""

from itertools import pairwise

import pytest

from server.engines.base import Engine
from tests.support.deepgram_peer import DeepgramPeer
from tests.support.deepgram_sessions import (  # noqa: F401
    PERIOD,
    SENTENCES,
    SPEECH,
    SPOKEN,
    assert_times_are_monotone,
    codes,
    embedded_engine_fixture,
    play,
    serving,
    with_pauses,
    words_of,
)
from tests.support.deepgram_speech import coded_speech, coded_text, embedded
from tests.support.deepgram_stream import Misfortune, NeverAnswer, Refuse, Trouble
from tests.support.wire import finals

EVERYTHING: list[Misfortune] = [
    Trouble(close_after=2.35),
    Trouble(close_after=4.15, code=None),
    Refuse(503),
    Trouble(deaf_after=3.3),
    Refuse(429),
    Trouble(close_after=5.05, reason=""),
]


async def test_every_word_comes_once_whatever_happens_to_the_connection() -> None:
    async with DeepgramPeer(EVERYTHING) as peer, serving(peer) as http:
        events = await play(http, SPEECH)
        assert len(peer.handshakes) == len(EVERYTHING) + 1
    assert words_of(events) == " ".join(coded_text(*SENTENCES)).split()
    assert_times_are_monotone(events)
    assert codes(events) == ["engine_restarted"] * len(EVERYTHING)
    assert events[-1].data["reason"] == "finished"
    starts = [event for event in events if event.type == "speech_start"]
    ends = [event for event in events if event.type == "speech_end"]
    assert len(starts) == len(ends)


async def test_nothing_that_is_settled_is_sent_again_and_everything_else_is() -> None:
    async with DeepgramPeer([Trouble(close_after=7.05)]) as peer, serving(peer) as http:
        await play(http, SPEECH)
        first, second = peer.streams
    settled = [message for message in first.said if message.get("is_final")][-1]
    through = round((settled["start"] + settled["duration"]) * 32_000)
    assert 0 < through < len(first.audio)
    assert bytes(second.audio) == SPEECH[through:]


@pytest.mark.parametrize("silent", [NeverAnswer(), Trouble(mute_after=2.0)], ids=["handshake", "stream"])
async def test_silence_from_the_far_end_is_not_waited_for(silent: NeverAnswer | Trouble) -> None:
    async with DeepgramPeer([silent]) as peer, serving(peer) as http:
        events = await play(http, SPEECH)
    assert words_of(events) == " ".join(coded_text(*SENTENCES)).split()
    assert codes(events) == ["engine_restarted"]


async def test_the_connection_may_break_at_the_very_end() -> None:
    plan = [Trouble(ignores=("CloseStream",))]
    async with DeepgramPeer(plan) as peer, serving(peer, deepgram_finish_seconds=0.3) as http:
        events = await play(http, coded_speech(*SENTENCES, pause=0.1))
    assert words_of(events) == " ".join(coded_text(*SENTENCES)).split()


async def test_real_speech_survives_everything(korean_pcm: bytes, embedded_engine: Engine) -> None:
    """A minute of it: three closes in the middle of a word, a socket that is not read, two refusals."""
    plan: list[Misfortune] = [
        Trouble(close_after=2.0),
        Refuse(503),
        Trouble(close_after=7.6),
        Trouble(deaf_after=7.0),
        Refuse(429),
        Trouble(close_after=18.2, code=None),
    ]
    sentences = 11
    async with (
        DeepgramPeer(plan, transcriber=embedded(embedded_engine)) as peer,
        serving(peer, {"local": embedded_engine}, **SPOKEN) as http,
    ):
        events = await play(http, with_pauses(korean_pcm, sentences))
        assert len(peer.handshakes) == len(plan) + 1
    assert len(finals(events)) == "".join(finals(events)).count("걸어갔다") == sentences
    assert_times_are_monotone(events)
    starts = [event.data["start"] for event in events if event.type == "final"]
    assert [after - before for before, after in pairwise(starts)] == pytest.approx([PERIOD] * (sentences - 1), abs=0.5)
    assert codes(events) == ["engine_restarted"] * len(plan)
    assert {event.data["engine"] for event in events if event.type == "final"} == {"deepgram"}
