"""Formats times ways of arriving: each gives the sound, or a refusal that names the format."""

import random
import threading

import numpy as np
import pytest

from server.audio.decoder import AudioDecoder
from server.engines.base import SAMPLE_RATE
from server.errors import AudioError
from server.session_log.base import Checkpoint
from tests.support.container_kinds import AUTO, all_of, decoded, rest_of, samples
from tests.support.foreign_kinds import FOREIGN, REFUSED, foreign
from tests.support.recordings import korean

over_formats = pytest.mark.parametrize("name", FOREIGN)


def likeness(heard: bytes, original: bytes) -> float:
    """How alike two sounds are at best, whatever the delay: 1 for the same, about 0 for different ones."""
    a, b = samples(heard), samples(original)
    size = 1 << (len(a) + len(b)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)))
    return float(correlation.max() / np.linalg.norm(a) / np.linalg.norm(b))


@over_formats
def test_each_format_gives_the_sound_that_went_in(name: str) -> None:
    pcm = decoded(foreign(name))
    assert len(pcm) / 2 / SAMPLE_RATE == pytest.approx(len(korean()) / 2 / SAMPLE_RATE, abs=0.25)
    assert likeness(pcm, korean()) > (0.6 if "amr" in name else 0.9)  # AMR is made for ears, not for figures


@over_formats
def test_cuts_change_nothing(name: str) -> None:
    upload, places = foreign(name), random.Random(name)
    for _ in range(3):
        cuts = [places.randrange(len(upload)) for _ in range(20)] + [places.randrange(200) for _ in range(5)]
        assert decoded(upload, cuts) == decoded(upload)


@over_formats
def test_after_a_checkpoint_the_audio_goes_on_at_its_time(name: str) -> None:
    upload, whole = foreign(name), decoded(foreign(name))
    decoder = AudioDecoder(AUTO, Checkpoint(engine="local"))
    fed = 0
    for seconds in (0.4, 1.3, 2.7):
        until = min(len(upload), round(len(upload) * (seconds + 1) / 3.9))
        all_of(decoder, upload[fed:until])
        fed = until
        checkpoint = decoder.checkpoint_at(seconds)
        rest = AudioDecoder(AUTO, checkpoint)
        pcm = all_of(rest, upload[checkpoint.offset :]) + rest_of(rest)
        expected = whole[round(seconds * SAMPLE_RATE) * 2 :]
        assert len(pcm) == len(expected)
        assert likeness(pcm, expected) > 0.99  # AAC and AC-3 make up noise, a decoder each its own


@pytest.mark.parametrize("name", REFUSED)
def test_a_format_that_cannot_be_decoded_is_refused_by_its_name_with_the_way_out(name: str) -> None:
    with pytest.raises(AudioError, match=f"{REFUSED[name][3]}.*ffmpeg -i INPUT"):
        decoded(foreign(name))


@over_formats
def test_what_breaks_off_has_the_audio_that_came_or_is_an_error(name: str) -> None:
    upload = foreign(name)
    try:
        pcm = decoded(upload[: len(upload) * 2 // 3])
    except AudioError:
        assert "index last" in name
    else:
        assert len(pcm) > len(korean()) * 0.5


def test_a_decoder_that_is_closed_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    decoder = AudioDecoder(AUTO, Checkpoint())
    decoder.decode(foreign("flv aac")[:10_000])
    (thread,) = set(threading.enumerate()) - before
    decoder.close()
    thread.join(10)
    assert not thread.is_alive()
