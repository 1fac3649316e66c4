"""What browsers record and what lies on disks: every container gives its sound as it arrives, whatever its cuts."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.audio.decoder import AudioDecoder
from server.audio.formats import container_of
from server.engines.base import SAMPLE_RATE
from server.session_log.base import Checkpoint
from tests.support.container_kinds import (
    AUTO,
    KINDS,
    OPUS_HEAD,
    SLICE,
    Kind,
    decoded,
    economical,
    fed,
    ogg_page,
    over_kinds,
    packets_of,
    samples,
    whole,
)
from tests.support.recordings import korean, recording
from tests.support.servers import wav_of


def likeness(heard: bytes, original: bytes) -> float:
    """How alike two sounds are at best, whatever the delay: 1 for the same, about 0 for different ones."""
    a, b = samples(heard), samples(original)
    size = 1 << (len(a) + len(b)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)))
    return float(correlation.max() / np.linalg.norm(a) / np.linalg.norm(b))


@over_kinds
def test_each_container_gives_the_sound_that_went_in(kind: Kind) -> None:
    pcm = decoded(kind())
    assert container_of(kind()[:64]) == kind.container
    assert abs(len(pcm) - len(korean())) / 2 / SAMPLE_RATE < 0.12  # an encoder may add some silence
    assert likeness(pcm, korean()) > (0.999 if kind.lossless else 0.9)


def test_lossless_audio_comes_out_as_it_went_in() -> None:
    assert decoded(KINDS["flac"]()) == korean()
    assert decoded(KINDS["ogg flac"]()) == korean()


@over_kinds
@economical
@given(cuts=st.lists(st.integers(0, 120_000), max_size=30), beginning=st.lists(st.integers(0, 2000), max_size=20))
def test_cuts_change_nothing(kind: Kind, cuts: list[int], beginning: list[int]) -> None:
    assert decoded(kind(), cuts + beginning) == whole(kind)


@pytest.mark.parametrize("name", ["webm of a browser", "ogg opus", "mp4 of a browser", "mp3 without a tag", "flac"])
def test_an_upload_byte_by_byte_is_the_same(name: str) -> None:
    kind = KINDS[name]
    assert decoded(kind(), range(len(kind()))) == whole(kind)


@over_kinds
def test_audio_is_decoded_as_it_arrives(kind: Kind) -> None:
    decoder, given, longest = AudioDecoder(AUTO, Checkpoint()), 0, len(whole(kind))
    for start in range(0, len(kind()), 256):
        given += len(decoder.decode(kind()[start : start + 256]))
        arrived = longest * (start - 6000) / len(kind())  # a header, and audio is not spread evenly over the bytes
        assert given >= arrived - (kind.held + 0.5) * 2 * SAMPLE_RATE
        assert decoder.seconds == pytest.approx(given / 2 / SAMPLE_RATE)
        assert decoder.position == min(start + 256, len(kind()))


def test_a_chunk_of_a_browser_is_heard_at_once() -> None:
    """Each 250 ms of WebM are decoded to the last packet, without waiting for the next chunk."""
    upload, decoder = KINDS["webm of a browser"](), AudioDecoder(AUTO, Checkpoint())
    clusters = [at for at in range(len(upload)) if upload.startswith(b"\x1f\x43\xb6\x75", at)]
    for number, (start, end) in enumerate(pairwise([0, *clusters[1:], len(upload)]), start=1):
        decoder.decode(upload[start:end])
        if end < len(upload):
            assert decoder.seconds > 0.24 * number - 0.02


def test_vorbis_is_taken_in_ogg_too() -> None:
    ogg, webm = (recording("vorbis", form, 44_100, 2, encoder=("strict", "-2")) for form in ("ogg", "webm"))
    assert decoded(ogg, range(0, len(ogg), 99)) == decoded(webm)


def test_two_recordings_in_one_upload_are_heard_one_after_the_other() -> None:
    for name in ("webm of a browser", "ogg opus", "mp3"):
        first, second = KINDS[name](), KINDS[name].make()  # of another serial number
        assert len(decoded(first + second)) == pytest.approx(2 * len(whole(KINDS[name])), abs=0.05 * 2 * SAMPLE_RATE)


def test_a_packet_of_ogg_may_go_on_in_the_next_page() -> None:
    webm = recording("libopus", "webm", encoder=("b", "256000"))
    upload = ogg_of(webm)
    expected = decoded(webm)
    assert decoded(upload) == expected
    for seconds in (1.0, 1.7, 3.3):
        checkpoint = fed(upload).checkpoint_at(seconds)
        assert checkpoint.offset > 0
        rest = decoded(upload[checkpoint.offset :], checkpoint=checkpoint)
        assert rest == expected[round(seconds * SAMPLE_RATE) * 2 :]


def ogg_of(webm: bytes) -> bytes:
    """The same packets in pages that hardly ever end where a packet does."""
    packets = packets_of(webm)
    data = b"".join(packets)
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    assert max(map(len, packets)) > 2 * 255
    upload, at = ogg_page(2, OPUS_HEAD), 0
    for start in range(0, len(lacing), 40):
        page = lacing[start : start + 40]
        continued = start > 0 and lacing[start - 1] == 255
        upload += ogg_page(int(continued), data[at : at + sum(page)], page)
        at += sum(page)
    return upload


def test_compressed_audio_is_fed_in_small_slices_and_not_on_the_event_loop() -> None:
    assert fed(KINDS["mp3"]()).slice_bytes == SLICE
    assert not fed(KINDS["mp3"]()).is_raw
    assert fed(korean()).is_raw and fed(wav_of(korean())).is_raw
    assert fed(korean()).slice_bytes == 2 * 2 * SAMPLE_RATE
