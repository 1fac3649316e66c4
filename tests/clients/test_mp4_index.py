"""A recording of a phone is put in an order in which it can be decoded as it arrives."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.audio.decoder import AudioDecoder
from server.models import SessionConfig
from server.session_log.base import Checkpoint
from stt_client.cli.sources import FileSource
from stt_client.mp4_index import index_first
from tests.support.recordings import NO_NOISE, recording

PHONE = recording("aac", "mp4", encoder=NO_NOISE)
INDEXED = recording("aac", "mp4", encoder=NO_NOISE, muxer={"movflags": "faststart"})


def decoded(data: bytes) -> bytes:
    decoder = AudioDecoder(SessionConfig(), Checkpoint())
    return decoder.decode(data) + decoder.flush()


def test_an_index_at_the_end_is_put_first() -> None:
    moved = b"".join(index_first(PHONE))
    assert len(moved) == len(PHONE)
    assert moved.index(b"moov") < moved.index(b"mdat")
    assert decoded(moved) == decoded(INDEXED) != b""


@pytest.mark.parametrize("data", [INDEXED, b"", b"RIFF", PHONE[:-1], PHONE[: len(PHONE) // 2]])
def test_any_other_file_stays_as_it_is(data: bytes) -> None:
    assert b"".join(index_first(data)) == data


@given(st.integers(0, len(PHONE) - 1), st.binary(min_size=1, max_size=8))
def test_a_damaged_file_loses_no_byte(at: int, damage: bytes) -> None:
    damaged = (PHONE[:at] + damage + PHONE[at + len(damage) :])[: len(PHONE)]
    assert sum(map(len, index_first(damaged))) == len(damaged)


async def test_the_command_line_sends_it_so(tmp_path: Path) -> None:
    (tmp_path / "memo.m4a").write_bytes(PHONE)
    sent = [chunk async for chunk in FileSource(tmp_path / "memo.m4a", realtime=False)]
    assert b"".join(sent) == b"".join(index_first(PHONE))
