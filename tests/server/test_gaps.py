"""A recording with a piece lost, doubled or swapped goes on, tells the gap, and keeps its clock."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from server.audio.decoder import AudioDecoder
from server.audio.findings import Finding
from server.engines.base import SAMPLE_RATE
from server.errors import AudioError
from server.session_log.base import Checkpoint
from tests.support.container_kinds import AUTO, SLICE, samples
from tests.support.recordings import FRAGMENTED, NO_NOISE, korean, recording

SECOND = 2 * SAMPLE_RATE
PCM = korean() * 3
KINDS = {
    "webm": recording("libopus", "webm", pcm=PCM, muxer={"live": "1", "cluster_time_limit": "500"}),
    "ogg": recording("libopus", "ogg", pcm=PCM, muxer={"page_duration": "200000"}),
    "mp4": recording("aac", "mp4", pcm=PCM, encoder=NO_NOISE, muxer=FRAGMENTED),
}
LOUD = 50
over_kinds = pytest.mark.parametrize("upload", KINDS.values(), ids=KINDS)


def heard(upload: bytes) -> tuple[bytes, list[Finding]]:
    decoder, pcm, found = AudioDecoder(AUTO, Checkpoint()), b"", []
    for start in range(0, len(upload), SLICE):
        pcm += decoder.decode(upload[start : start + SLICE])
        while decoder.pending:
            pcm += decoder.decode(b"")
        found += decoder.findings()
    pcm += decoder.flush()
    return pcm, found + decoder.findings()


def lost(upload: bytes) -> bytes:
    at = len(upload) // 3
    return upload[:at] + upload[at + len(upload) // 10 :]


def doubled(upload: bytes) -> bytes:
    at, until = len(upload) // 3, len(upload) // 3 + len(upload) // 10
    return upload[:until] + upload[at:]


def swapped(upload: bytes) -> bytes:
    at, size = len(upload) // 3, len(upload) // 10
    return upload[:at] + upload[at + size : at + 2 * size] + upload[at : at + size] + upload[at + 2 * size :]


def overwritten(upload: bytes) -> bytes:
    at, size = len(upload) // 3, len(upload) // 50
    return upload[:at] + np.random.default_rng(1).bytes(size) + upload[at + size :]


def envelope(pcm: bytes) -> npt.NDArray[np.float64]:
    """Loudness by the hundredth of a second."""
    loud = np.abs(samples(pcm))
    hundredths: npt.NDArray[np.float64] = loud[: len(loud) // 160 * 160].reshape(-1, 160).mean(axis=1)
    return hundredths


@over_kinds
@pytest.mark.parametrize("damage", [lost, doubled, swapped, overwritten])
def test_behind_the_damage_the_recording_goes_on_at_its_time(upload: bytes, damage: Callable[[bytes], bytes]) -> None:
    whole, none = heard(upload)
    assert not none
    pcm, found = heard(damage(upload))
    assert [finding.code for finding in found] and {finding.code for finding in found} == {"audio_gap"}
    assert len(pcm) == pytest.approx(len(whole), abs=0.6 * SECOND)
    assert np.sum(envelope(pcm) > LOUD) > 0.6 * np.sum(envelope(whole) > LOUD)


@pytest.mark.parametrize("name", ["webm", "mp4"])
def test_a_gap_tells_its_seconds_and_the_clock_jumps_over_it(name: str) -> None:
    upload = KINDS[name]
    whole, _ = heard(upload)
    pcm, found = heard(lost(upload))
    assert sum(finding.seconds or 0 for finding in found) == pytest.approx(1.5, abs=1.0)
    assert len(pcm) == pytest.approx(len(whole), abs=0.1 * SECOND)
    assert np.corrcoef(envelope(pcm)[-300:-20], envelope(whole)[-300:-20])[0, 1] > 0.9


@over_kinds
def test_a_checkpoint_behind_a_gap_is_at_its_time(upload: bytes) -> None:
    damaged = lost(upload)
    whole, _ = heard(damaged)
    decoder = AudioDecoder(AUTO, Checkpoint())
    for start in range(0, len(damaged), SLICE):
        decoder.decode(damaged[start : start + SLICE])
        while decoder.pending:
            decoder.decode(b"")
    for seconds in (2.0, 7.5, 10.0):
        checkpoint = decoder.checkpoint_at(seconds)
        rest = AudioDecoder(AUTO, checkpoint)
        pcm = rest.decode(damaged[checkpoint.offset :])
        while rest.pending:
            pcm += rest.decode(b"")
        pcm += rest.flush()
        assert len(pcm) == pytest.approx(len(whole) - seconds * SECOND, abs=0.3 * SECOND if seconds < 6 else 8)


@over_kinds
def test_junk_up_to_the_end_is_told(upload: bytes) -> None:
    _, found = heard(upload[: len(upload) // 2] + np.random.default_rng(1).bytes(30_000))
    assert "audio_gap" in [finding.code for finding in found]


def test_a_length_from_the_middle_of_audio_is_not_waited_for() -> None:
    """Behind a lost piece a block says that it is 3 MB long."""
    upload = KINDS["webm"]
    cluster = upload.index(b"\x1f\x43\xb6\x75", len(upload) // 2)
    damaged = upload[: cluster - 100] + b"\xa3\x10\x30\x00\x00\x81" + upload[cluster:]
    whole, _ = heard(upload)
    try:
        pcm, _ = heard(damaged)
    except AudioError:
        pytest.fail("it goes on")
    assert len(pcm) > 0.9 * len(whole)


def test_times_that_are_wrong_cost_nothing_where_nothing_is_lost() -> None:
    """FFmpeg's own Vorbis in Ogg has times that run too slowly."""
    upload = recording("vorbis", "ogg", 44_100, 2, pcm=PCM, encoder=("strict", "-2"), muxer={"page_duration": "200000"})
    pcm, found = heard(upload)
    assert len(pcm) == pytest.approx(len(PCM), rel=0.02)
    assert not found
