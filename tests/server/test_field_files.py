"""Files as users of such services send them: each is recognised, or named as what it is."""

from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.servers import FIELD_DIR, KOREAN_TEXT
from tests.support.wire import Event, finish, open_session, read_to_end, upload

PIECE = 4_096


@pytest.fixture(name="field", scope="module")
def field_fixture() -> Path:
    if not FIELD_DIR.is_dir():
        pytest.skip(f"STT_FIELD_DIR: there are no recordings in {FIELD_DIR}")
    return FIELD_DIR


def pieces(data: bytes) -> Iterator[bytes]:
    return (data[start : start + PIECE] for start in range(0, len(data), PIECE))


async def recognised(http: httpx.AsyncClient, data: bytes) -> tuple[dict[str, Any], list[Event]]:
    """The transcript and the errors of a session that gets ``data`` in pieces."""
    session_id = await open_session(http, language="ko")
    for piece in pieces(data):
        answer = await upload(http, session_id, piece)
        if answer.status_code == 409:  # it has ended already, and says why
            break
        assert answer.status_code == 200, answer.text
    transcript = await finish(http, session_id)
    return transcript, [event for event in await read_to_end(http, session_id) if event.type == "error"]


def alike(text: str, expected: str) -> float:
    return SequenceMatcher(None, text.replace(" ", ""), expected.replace(" ", "")).ratio()


@pytest.mark.speech
@pytest.mark.parametrize(
    "name",
    [
        "chunks-each-a-wav.bin",
        "memo.aiff",
        "voice-memo.amr",
        "call.3gp",
        "memo.flv",
        "call-centre-adpcm.wav",
        "tagged.flac",
        "one-microphone-inverted-stereo.wav",
    ],
)
async def test_the_sentence_is_recognised(korean_http: httpx.AsyncClient, field: Path, name: str) -> None:
    transcript, errors = await recognised(korean_http, (field / name).read_bytes())
    assert alike(transcript["text"], KOREAN_TEXT) > 0.8, transcript["text"]
    assert transcript["duration"] == pytest.approx(3.9, abs=0.2)
    assert not errors


@pytest.mark.speech
async def test_a_recording_goes_on_behind_a_lost_piece_on_its_own_clock(
    korean_http: httpx.AsyncClient, field: Path
) -> None:
    whole, none = await recognised(korean_http, (field / "browser.webm").read_bytes())
    assert not none
    damaged, errors = await recognised(korean_http, (field / "browser-piece-lost.webm").read_bytes())
    assert [error.data["code"] for error in errors] == ["audio_gap"]
    assert errors[0].data["recoverable"]
    assert 0.5 < errors[0].data["seconds"] < 2
    assert damaged["duration"] == pytest.approx(whole["duration"], abs=0.1)
    last, last_damaged = whole["segments"][-1], damaged["segments"][-1]
    assert last_damaged["start"] == pytest.approx(last["start"], abs=0.3)
    assert alike(last_damaged["text"], last["text"]) > 0.8


async def test_a_recording_without_its_beginning_is_named(http: httpx.AsyncClient, field: Path) -> None:
    _, errors = await recognised(http, (field / "browser-beginning-lost.webm").read_bytes())
    assert [error.data["code"] for error in errors] == ["undecodable_audio"]
    assert "WebM begins in the middle" in errors[0].data["message"]
