"""What is a container and what is not, and what is said of one that is not taken."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.audio.containers.frames import frame_length
from server.engines.base import SAMPLE_RATE
from server.errors import AudioError
from tests.support.container_kinds import KINDS, SLICE, decoded, whole
from tests.support.recordings import NO_NOISE, korean, recording


def test_samples_that_look_like_one_frame_of_mp3_are_samples() -> None:
    head = KINDS["mp3 without a tag"]()[:4]
    for length in (4, 100, 1000, 5000):
        pcm = head + korean()[:length]
        assert decoded(pcm, range(0, length, 7)) == pcm


@given(head=st.binary(min_size=8, max_size=8).map(lambda tail: b"\xff" + tail), body=st.binary(max_size=50))
@example(head=b"\xff\xf1\x50\x80\x02\x1f\xfc\x00", body=bytes(50))
@example(head=b"\xff\xfb\x90\x64\0\0\0\0", body=bytes(50))
def test_one_frame_alone_is_never_believed(head: bytes, body: bytes) -> None:
    length = frame_length(head) or 0
    pcm = (head + body + bytes(20_000 + length))[: 20_000 + length // 2 * 2]
    assert decoded(pcm) == pcm


def test_a_tag_with_a_picture_is_passed_over() -> None:
    picture = b"ID3\4\0\0\0\x0c\0\0" + bytes(12 << 14)
    mp3 = KINDS["mp3 without a tag"]
    assert decoded(picture + mp3(), range(0, 300_000, SLICE)) == whole(mp3)


def test_a_file_whose_index_comes_last_is_decoded_when_it_has_come() -> None:
    late = recording("aac", "mp4", 44_100, encoder=NO_NOISE)
    assert late.index(b"mdat") < late.index(b"moov")
    assert decoded(late, range(0, len(late), SLICE)) == whole(KINDS["mp4 file"])


def test_a_file_that_ends_before_its_index_says_so() -> None:
    late = recording("aac", "mp4")
    with pytest.raises(AudioError, match="before its index"):
        decoded(late[: len(late) // 2])


@pytest.mark.parametrize(
    ("upload", "reason"),
    [
        (lambda: recording("pcm_s16le", "mov", muxer={"movflags": "faststart"}), "sowt.*ffmpeg -i"),
        (lambda: recording("tta", "matroska", SAMPLE_RATE), "A_TTA1.*not supported"),
    ],
)
def test_a_codec_that_is_not_taken_is_named(upload: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(AudioError, match=reason):
        decoded(upload())
