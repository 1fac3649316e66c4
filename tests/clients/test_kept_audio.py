"""What an upload holds for a server that may lose it: as much as may be needed, and no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.audio.formats import parse_wav_header
from stt_client.errors import SessionLost
from stt_client.kept_audio import KEPT_SECONDS, KeptAudio
from stt_client.layout import layout_of
from tests.support.servers import wav_of

RATE = 8000
LINEAR = {"encoding": "linear16", "sample_rate": RATE}
SECOND = 2 * RATE


def kept(audio: bytes, config: dict[str, object] = LINEAR, limit_bytes: int = 1 << 25) -> KeptAudio:
    """Taken and confirmed."""
    held = KeptAudio(0, config, limit_bytes)
    held.append(audio)
    held.confirm(len(audio))
    return held


def test_audio_is_held_until_a_final_accounts_for_it() -> None:
    held = kept(bytes(3 * SECOND))
    assert (held.start, held.is_unaccounted) == (0, True)
    held.account(2.0)
    assert (held.start, held.end, held.is_unaccounted) == (2 * SECOND, 3 * SECOND, True)
    held.account(3.0)
    assert (held.start, held.is_unaccounted) == (3 * SECOND, False)


def test_long_silence_has_no_finals_and_is_bounded_all_the_same() -> None:
    held = kept(b"")
    for _ in range(2 * KEPT_SECONDS):
        held.append(bytes(SECOND))
        held.confirm(held.end)
    assert held.end - held.start == KEPT_SECONDS * SECOND
    assert held.rewind() == (KEPT_SECONDS * SECOND, KEPT_SECONDS)
    assert len(kept(bytes(3 * SECOND), limit_bytes=SECOND).read(1)) == 0


def test_what_the_server_has_not_confirmed_is_held_whatever_finals_say() -> None:
    held = KeptAudio(0, LINEAR, 0)
    held.append(bytes(3 * SECOND))
    held.account(2.0)
    assert (held.start, held.unconfirmed) == (0, 3 * SECOND)


@given(st.floats(0, 4), st.integers(0, 50))
def test_a_rewound_upload_begins_with_a_whole_sample_where_the_finals_end(seconds: float, more: int) -> None:
    audio = bytes(range(256)) * 125  # 2 s
    held = kept(audio)
    held.account(seconds)
    held.append(audio[:more])
    offset, begins = held.rewind()
    assert offset % 2 == 0 or offset == held.end
    assert begins == pytest.approx(min(seconds, 2.0), abs=1 / RATE)
    assert held.read(1 << 20) == (audio + audio[:more])[offset:]
    assert held.rewind() == (offset, begins)  # nothing was recognised in between


@given(st.floats(0, 2))
def test_a_rewound_wav_has_a_header_for_the_rest_of_its_sound(seconds: float) -> None:
    pcm = bytes(range(256)) * 125
    held = kept(wav_of(pcm, RATE), {})
    held.account(seconds)
    _, begins = held.rewind()
    sent = held.read(1 << 20)
    header = parse_wav_header(sent)
    assert header and header.format.rate == RATE
    rest = sent[header.length :]
    assert rest == pcm[round(begins * SECOND) :]
    assert header.audio_bytes == max(1, len(rest))


def test_a_wav_of_unknown_length_stays_one() -> None:
    streamed = bytearray(wav_of(bytes(SECOND), RATE))
    streamed[40:44] = b"\xff\xff\xff\xff"
    held = kept(bytes(streamed), {})
    held.account(0.5)
    held.rewind()
    header = parse_wav_header(held.read(1 << 20))
    assert header and header.audio_bytes is None


@pytest.mark.parametrize("head", [b"OggS", b"fLaC", b"\x1aE\xdf\xa3", b"ID3\4", b"\xff\xfb\x90", b"\0\0\0\x20ftyp"])
def test_compressed_audio_is_held_whole_or_given_up(head: bytes) -> None:
    audio = head + bytes(100)
    held = kept(audio, {})
    held.account(5.0)
    assert held.rewind() == (0, 0.0)
    assert held.read(1000) == audio
    with pytest.raises(SessionLost, match="only the server can tell"):
        kept(audio, {}, limit_bytes=10).rewind()


def test_raw_audio_is_told_from_containers_and_declared_when_it_begins_in_the_middle() -> None:
    assert layout_of(bytes(11), {}) is None  # not yet
    held = kept(bytes(SECOND), {"sample_rate": RATE})
    held.account(0.5)
    assert held.rewind() == (RATE, 0.5)
    assert held.raw_encoding == {"encoding": "linear16"}
    assert kept(bytes(SECOND)).raw_encoding == {}


@pytest.mark.parametrize(
    ("encoding", "channels", "rate"), [("linear16", 2, 32_000), ("mulaw", 1, 8000), ("alaw", 2, 16_000)]
)
def test_a_second_is_as_long_as_its_format_says(encoding: str, channels: int, rate: int) -> None:
    layout = layout_of(b"", {"encoding": encoding, "channels": channels, "sample_rate": 8000})
    assert layout and layout.bytes_per_second == rate
    assert layout.seconds_at(layout.offset_of(1.5)) == 1.5
