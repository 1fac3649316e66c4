"""Uploads of every format become 16 kHz mono PCM, whatever their cuts, and can be taken up again at any time."""

import contextlib
import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.audio.decoder import AudioDecoder
from server.audio.formats import MAX_WAV_HEADER_BYTES, container_of, raw_format, upload_format
from server.audio.signatures import foreign_in, no_audio_in
from server.engines.base import SAMPLE_RATE
from server.errors import AudioError
from server.models import SessionConfig
from server.session_log.base import HEAD_BYTES, Checkpoint

Samples = npt.NDArray[np.float64]
AUTO = SessionConfig()
economical = settings(max_examples=60, deadline=None)


def wav_header(form: bytes = b"RIFF") -> bytes:
    return form + b"\xff\xff\xff\xffWAVE"


def riff_chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return struct.pack("<4sI", name, len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def fmt(
    tag: int = 1, bits: int = 16, channels: int = 1, rate: int = SAMPLE_RATE, frame_bytes: int | None = None
) -> bytes:
    width = channels * bits // 8 if frame_bytes is None else frame_bytes
    return riff_chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * width, width, bits))


def extensible_fmt(tag: int, bits: int, channels: int = 1, rate: int = SAMPLE_RATE) -> bytes:
    width = channels * bits // 8
    sub_format = struct.pack("<H", tag) + bytes.fromhex("000000001000800000aa00389b71")
    body = struct.pack("<HHIIHHHHI", 0xFFFE, channels, rate, rate * width, width, bits, 22, bits, 0) + sub_format
    return riff_chunk(b"fmt ", body)


def wav(audio: bytes, form: bytes | None = None, *, before: bytes = b"", after: bytes = b"") -> bytes:
    return wav_header() + (form or fmt()) + before + riff_chunk(b"data", audio) + after


def pieces(upload: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    bounds = [0, *sorted(min(cut, len(upload)) for cut in cuts), len(upload)]
    return (upload[a:b] for a, b in pairwise(bounds))


def decoded(upload: bytes, config: SessionConfig = AUTO, cuts: Sequence[int] = ()) -> bytes:
    decoder = AudioDecoder(config, Checkpoint())
    return b"".join(decoder.decode(piece) for piece in pieces(upload, cuts)) + decoder.flush()


def tone(hz: float, seconds: float = 0.25, rate: int = SAMPLE_RATE) -> Samples:
    samples: Samples = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return samples


def pcm16(samples: Samples) -> bytes:
    return np.asarray(np.round(samples * 32767), "<i2").tobytes()


def heard(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2") / 32768.0


def noise(size: int) -> bytes:
    return np.random.default_rng(1).bytes(size)


def quiet(size: int) -> bytes:
    """Noise as of a room: samples at once, no bytes of something compressed."""
    return np.random.default_rng(1).integers(-1500, 1500, size // 2 + 1).astype("<i2").tobytes()[:size]


def mulaw_table() -> Samples:
    """ITU-T G.711: what each byte means, as 16-bit samples."""
    codes = ~np.arange(256) & 0xFF
    magnitude = (((codes & 15) << 3) + 0x84 << ((codes >> 4) & 7)) - 0x84
    return np.where(codes & 0x80, -magnitude, magnitude).astype(float)


def alaw_table() -> Samples:
    codes = np.arange(256) ^ 0x55
    exponent, mantissa = (codes >> 4) & 7, (codes & 15) << 4
    magnitude = np.where(exponent == 0, mantissa + 8, mantissa + 0x108 << np.maximum(exponent - 1, 0))
    return np.where(codes & 0x80, magnitude, -magnitude).astype(float)


def encoded(samples: Samples, codec: str) -> bytes:
    wide = np.asarray(samples * 2**31, "<i4")
    match codec:
        case "pcm_u8":
            return bytes(np.asarray(np.round(samples * 127) + 128, np.uint8))
        case "pcm_s16le":
            return pcm16(samples)
        case "pcm_s24le":
            return bytes(wide.view(np.uint8).reshape(-1, 4)[:, 1:])
        case "pcm_s32le":
            return bytes(wide)
        case "pcm_f32le":
            return bytes(np.asarray(samples, "<f4"))
    table = {"pcm_alaw": alaw_table(), "pcm_mulaw": mulaw_table()}[codec]
    return bytes(np.abs(table[None, :] - samples[:, None] * 32768).argmin(axis=1).astype(np.uint8))


# --- formats --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_fmt", [fmt, extensible_fmt])
@pytest.mark.parametrize(
    ("tag", "bits", "codec"),
    [
        (1, 8, "pcm_u8"),
        (1, 16, "pcm_s16le"),
        (1, 24, "pcm_s24le"),
        (1, 32, "pcm_s32le"),
        (3, 32, "pcm_f32le"),
        (6, 8, "pcm_alaw"),
        (7, 8, "pcm_mulaw"),
    ],
)
def test_each_wav_format_gives_the_same_sound(tag: int, bits: int, codec: str, make_fmt: Any) -> None:
    samples = tone(440)
    pcm = decoded(wav(encoded(samples, codec), make_fmt(tag, bits)))
    assert len(heard(pcm)) == len(samples)
    assert np.abs(heard(pcm) - samples).max() < (0.02 if bits == 8 else 0.0001)


@pytest.mark.parametrize(("encoding", "table"), [("mulaw", mulaw_table()), ("alaw", alaw_table())])
def test_telephone_bytes_mean_what_g711_says(encoding: str, table: Samples) -> None:
    config = SessionConfig.model_validate({"encoding": encoding, "sample_rate": SAMPLE_RATE})
    assert np.frombuffer(decoded(bytes(range(256)), config), "<i2").tolist() == table.tolist()


@pytest.mark.parametrize(
    ("encoding", "codec"), [("mulaw", "pcm_mulaw"), ("alaw", "pcm_alaw"), ("linear16", "pcm_s16le")]
)
def test_telephone_audio_at_8_khz_keeps_its_tone_and_length(encoding: str, codec: str) -> None:
    config = SessionConfig.model_validate({"encoding": encoding, "sample_rate": 8000})
    assert_tone(decoded(encoded(tone(440, 1, 8000), codec), config), 440, 1)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000])
def test_resampling_keeps_tone_and_length(rate: int, channels: int) -> None:
    config = SessionConfig.model_validate({"sample_rate": rate, "channels": channels})
    samples = np.repeat(tone(440, 1, rate), channels)
    assert_tone(decoded(pcm16(samples), config), 440, 1)


def assert_tone(pcm: bytes, hz: float, seconds: float) -> None:
    """The PCM is ``tone(hz)`` of this length, neither shifted nor stretched."""
    samples = heard(pcm)
    assert abs(len(samples) - seconds * SAMPLE_RATE) <= 2
    middle = slice(len(samples) // 10, -len(samples) // 10)
    error = (samples - 0.5 * np.sin(2 * np.pi * hz * np.arange(len(samples)) / SAMPLE_RATE))[middle]
    assert np.abs(error).max() < 0.02


def test_two_channels_are_mixed_down() -> None:
    left, right = tone(440), tone(1000)
    config = SessionConfig(sample_rate=SAMPLE_RATE, channels=2)
    mixed = heard(decoded(pcm16(np.column_stack([left, right]).ravel()), config))
    assert np.abs(mixed - (left + right) / 2).max() < 0.001


def test_a_session_that_names_its_encoding_gets_no_detection() -> None:
    upload = wav(noise(100))
    assert decoded(upload, SessionConfig(encoding="linear16")) == upload


def nothing_else(upload: bytes) -> bool:
    return not (container_of(upload) or no_audio_in(upload) or foreign_in(upload))


@given(upload=st.binary(max_size=11).filter(nothing_else))
@example(upload=b"RIFF\0\0\0\0WAV")
@example(upload=b"\xff\xfb\x90\0" + noise(10))
@example(upload=b"\xff\xfb\x90\0" + noise(3000))
def test_an_upload_that_is_nothing_else_for_certain_is_pcm(upload: bytes) -> None:
    assert decoded(upload) == upload[: len(upload) // 2 * 2]


def test_half_a_sample_at_the_end_is_dropped() -> None:
    audio = noise(1001)
    assert decoded(audio) == audio[:1000]
    assert decoded(wav(audio)) == audio[:1000]


@pytest.mark.parametrize("encoding", ["auto", "mulaw", "alaw"])
@pytest.mark.parametrize("rate", [8000, SAMPLE_RATE])
def test_no_upload_in_any_encoding_is_no_audio(encoding: str, rate: int) -> None:
    assert decoded(b"", SessionConfig.model_validate({"encoding": encoding, "sample_rate": rate})) == b""


# --- WAV headers ----------------------------------------------------------------------------------------------------

AUDIO = quiet(3000)
LIST = riff_chunk(b"LIST", b"INFOISFT\x0e\0\0\0Lavf61.1.100\0\0")


READABLE = {
    "plain": wav(AUDIO),
    "list": wav(AUDIO, before=LIST),
    "odd": wav(AUDIO, before=riff_chunk(b"odd ", b"abc")),
    "several": wav(AUDIO, before=riff_chunk(b"fact", b"\0\0\0\0") + LIST + riff_chunk(b"odd ", b"a")),
    "junk": wav(AUDIO, before=riff_chunk(b"JUNK", bytes(60_000))),
    "list first": wav(AUDIO, LIST + fmt()),
    "extensible": wav(AUDIO, extensible_fmt(1, 16)),
    "streamed": wav_header() + fmt() + riff_chunk(b"data", AUDIO, 0),
    "rf64": wav_header(b"RF64") + riff_chunk(b"ds64", bytes(28)) + fmt() + riff_chunk(b"data", AUDIO, 0xFFFF_FFFF),
}


@pytest.mark.parametrize("upload", READABLE.values(), ids=READABLE)
def test_chunks_before_the_data_are_passed_over(upload: bytes) -> None:
    assert decoded(upload) == AUDIO
    assert decoded(upload, cuts=range(0, len(upload), 13)) == AUDIO


def test_what_follows_the_data_is_no_audio() -> None:
    upload = wav(AUDIO, after=LIST + riff_chunk(b"id3 ", noise(500)))
    assert decoded(upload) == AUDIO
    assert decoded(upload, cuts=range(len(upload))) == AUDIO


@pytest.mark.parametrize("size", [0, 0x7FFF_FFFF, 0xFFFF_FF00, 0xFFFF_FFFF])
def test_a_streamed_wav_may_be_longer_than_a_header_can_say(size: int) -> None:
    header = wav_header() + fmt() + riff_chunk(b"data", b"", size)
    assert AudioDecoder(AUTO, Checkpoint(offset=2**33, seconds=2**28, prelude=header)).decode(AUDIO) == AUDIO


def test_a_wav_that_breaks_off_has_as_much_audio_as_came() -> None:
    assert decoded(wav(AUDIO)[:-500]) == AUDIO[:-500]


UNREADABLE = {
    "no format": riff_chunk(b"data", AUDIO),
    "short format": riff_chunk(b"fmt ", b"\1\0\1\0"),
    "adpcm": fmt(tag=2, bits=4),
    "12 bits": fmt(bits=12),
    "no channel": fmt(channels=0),
    "9 channels": fmt(channels=9),
    "0 Hz": fmt(rate=0),
    "3 MHz": fmt(rate=3_000_000),
    "frame size": fmt(frame_bytes=3),
    "no sub-format": riff_chunk(b"fmt ", struct.pack("<HHIIHH", 0xFFFE, 1, 16000, 32000, 2, 16)),
}


@pytest.mark.parametrize("header", UNREADABLE.values(), ids=UNREADABLE)
def test_a_wav_that_cannot_be_read_is_refused(header: bytes) -> None:
    with pytest.raises(AudioError):
        decoded(wav_header() + header + riff_chunk(b"data", AUDIO))


def test_junk_before_the_data_has_a_limit_that_is_told_before_it_has_come() -> None:
    decoder = AudioDecoder(AUTO, Checkpoint())
    with pytest.raises(AudioError, match=str(MAX_WAV_HEADER_BYTES)):
        decoder.decode(wav_header() + fmt() + struct.pack("<4sI", b"JUNK", 70_000))


@pytest.mark.parametrize(
    ("head", "name"), [(b"OggS", "Ogg"), (b"\x1aE\xdf\xa3", "WebM"), (b"fLaC", "FLAC"), (b"ID3", "MP3")]
)
def test_a_damaged_upload_in_a_container_is_an_error_that_names_it(head: bytes, name: str) -> None:
    with pytest.raises(AudioError, match=name):
        decoded(head + bytes(20))


@pytest.mark.parametrize("length", [12, 19, 36, 43])
def test_an_upload_that_ends_in_its_header_is_an_error(length: int) -> None:
    with pytest.raises(AudioError, match="ended inside its header"):
        decoded(wav(AUDIO)[:length])


@economical
@given(st.sampled_from([b"fmt ", b"data"]), st.integers(0, 60) | st.integers(0, 2**32 - 1), st.binary(max_size=60))
def test_whatever_a_header_says_is_decoded_or_an_audio_error(name: bytes, size: int, body: bytes) -> None:
    with contextlib.suppress(AudioError):
        assert len(decoded(wav(AUDIO, riff_chunk(name, body, size)))) % 2 == 0


# --- cuts, checkpoints ----------------------------------------------------------------------------------------------

STEREO = SessionConfig(sample_rate=48_000, channels=2)
UPLOADS = {
    "pcm": (quiet(4001), AUTO),
    "stereo at 48 kHz": (quiet(8003), STEREO),
    "mu-law at 8 kHz": (noise(2000), SessionConfig(encoding="mulaw", sample_rate=8000)),
    "wav": (wav(noise(4001), before=LIST, after=LIST), AUTO),
    "wav of 24 bits, 3 channels at 44.1 kHz": (wav(noise(9000), extensible_fmt(1, 24, 3, 44_100)), AUTO),
    "wav of floats": (wav(encoded(tone(440, 0.1, 32_000), "pcm_f32le"), fmt(3, 32, 1, 32_000)), AUTO),
}
over_uploads = pytest.mark.parametrize(("upload", "config"), UPLOADS.values(), ids=UPLOADS)


@over_uploads
@economical
@given(cuts=st.lists(st.integers(0, 9100), max_size=20))
def test_cuts_change_nothing(upload: bytes, config: SessionConfig, cuts: list[int]) -> None:
    assert decoded(upload, config, cuts) == decoded(upload, config)


@over_uploads
def test_the_format_that_a_head_tells_is_the_one_that_is_decoded(upload: bytes, config: SessionConfig) -> None:
    decoder = AudioDecoder(config, Checkpoint())
    decoder.decode(upload[:1000])
    before = decoder.seconds
    decoder.decode(upload[1000:1600])
    assert decoder.seconds - before == pytest.approx(600 / upload_format(config, upload[:1000]).bytes_per_second)


@pytest.mark.parametrize(
    "header", [extensible_fmt(1, 16, 2, 48_000) + LIST, fmt(1, 16, 2, 48_000) + LIST], ids=["extensible", "list"]
)
def test_the_bytes_that_are_kept_as_head_tell_the_format(header: bytes) -> None:
    head = (wav_header() + header + riff_chunk(b"data", AUDIO))[:HEAD_BYTES]
    assert upload_format(AUTO, head).bytes_per_second == 48_000 * 4


def test_a_head_that_is_no_wav_of_ours_tells_the_session_s_own_format() -> None:
    assert upload_format(STEREO, wav_header() + fmt(tag=2)) == raw_format(STEREO)
    assert upload_format(STEREO, b"") == raw_format(STEREO)
    mulaw = SessionConfig(encoding="mulaw")
    assert upload_format(mulaw, wav(b"", fmt(channels=2))) == raw_format(mulaw)


@pytest.mark.parametrize(
    "upload", [AUDIO, wav(AUDIO), wav(AUDIO, before=LIST, after=LIST)], ids=["pcm", "wav", "trailer"]
)
@economical
@given(fed=st.integers(1200, 4000), first=st.integers(0, 500), second=st.integers(0, 500))
def test_a_checkpoint_gives_exactly_the_rest_of_the_audio(upload: bytes, fed: int, first: int, second: int) -> None:
    decoder = AudioDecoder(AUTO, Checkpoint(engine="local"))
    decoder.decode(upload[:fed])
    checkpoint = decoder.checkpoint_at(first / SAMPLE_RATE)
    assert checkpoint.engine == "local"
    decoder = AudioDecoder(AUTO, checkpoint)
    assert decoder.decode(upload[checkpoint.offset :]) + decoder.flush() == AUDIO[first * 2 :]
    checkpoint = decoder.checkpoint_at((first + second) / SAMPLE_RATE)
    decoder = AudioDecoder(AUTO, checkpoint)
    assert decoder.decode(upload[checkpoint.offset :]) + decoder.flush() == AUDIO[(first + second) * 2 :]


@pytest.mark.parametrize("rest", [b"OggS" + AUDIO, wav(AUDIO)], ids=["ogg", "wav"])
def test_samples_in_the_middle_of_an_upload_are_never_taken_for_a_container(rest: bytes) -> None:
    decoder = AudioDecoder(AUTO, Checkpoint(offset=1000, seconds=500 / SAMPLE_RATE))
    assert decoder.decode(rest) + decoder.flush() == rest


@economical
@given(fed=st.integers(0, 8000), seconds=st.floats(0, 1), header=st.booleans())
@example(fed=4002, seconds=1.0, header=False)
def test_a_checkpoint_never_exchanges_channels(fed: int, seconds: float, header: bool) -> None:
    """The channels differ from the same level by the opposite: mixed they are that level, unless off by one sample."""
    left = np.frombuffer(quiet(4000), "<i2")
    audio = np.column_stack([4000 + left, 4000 - left]).astype("<i2").tobytes()
    config, upload = (AUTO, wav(audio, fmt(channels=2, rate=48_000))) if header else (STEREO, audio)
    decoder = AudioDecoder(config, Checkpoint())
    decoder.decode(upload[:fed])
    checkpoint = decoder.checkpoint_at(seconds)
    assert checkpoint.offset <= fed
    rest = AudioDecoder(config, checkpoint)
    mixed = np.frombuffer(rest.decode(upload[checkpoint.offset :]) + rest.flush(), "<i2")
    assert np.abs(mixed[20:-20] - 4000).max(initial=0) <= 2


@pytest.mark.parametrize("seconds", [0.0, 0.1, 1 / 3, 0.9])
@pytest.mark.parametrize(("upload", "config"), [(b"", STEREO), (wav_header() + fmt(3, 32, 2, 44_100), AUTO)])
def test_a_checkpoint_of_resampled_audio_is_on_the_clock(upload: bytes, config: SessionConfig, seconds: float) -> None:
    """A click in every hundredth of a second is where it was."""
    sample_format = upload_format(config, upload + riff_chunk(b"data", b""))
    samples = np.zeros((sample_format.rate, 2))
    samples[:: sample_format.rate // 100] = 0.5
    upload = upload + (riff_chunk(b"data", b"", 0) if upload else b"") + encoded(samples.ravel(), sample_format.codec)
    decoder = AudioDecoder(config, Checkpoint())
    decoder.decode(upload)
    assert decoder.seconds == pytest.approx(1)
    checkpoint = decoder.checkpoint_at(seconds)
    rest = AudioDecoder(config, checkpoint)
    assert rest.seconds == seconds
    pcm = heard(rest.decode(upload[checkpoint.offset :]) + rest.flush())
    assert len(pcm) / SAMPLE_RATE == pytest.approx(1 - seconds, abs=0.003)
    loud = np.flatnonzero(pcm > 0.1) / SAMPLE_RATE + seconds
    assert np.abs(loud * 100 - np.round(loud * 100)).max() < 0.02
    assert rest.seconds == pytest.approx(1)


def test_the_clock_stands_still_while_the_format_is_unknown_and_counts_the_audio_alone() -> None:
    decoder = AudioDecoder(AUTO, Checkpoint())
    upload = wav(AUDIO, before=LIST, after=LIST)
    assert decoder.checkpoint_at(5.0) == Checkpoint()
    decoder.decode(upload[:40])
    assert (decoder.seconds, decoder.position) == (0.0, 40)
    decoder.decode(upload[40:])
    assert decoder.position == len(upload)
    assert math.isclose(decoder.seconds, len(AUDIO) / 2 / SAMPLE_RATE)
