"""Whisper with its real base model, on real recordings."""

from itertools import pairwise
from pathlib import Path

import pytest

from server.engines.base import BYTES_PER_SECOND
from server.engines.local.choice import best
from server.engines.local.phantom import agreement
from server.engines.local.transcription import Heard, Hypothesis
from server.engines.local.whisper import (
    FINAL_BEAM,
    FULL_WINDOW_SECONDS,
    SHORTEST_WINDOW_SECONDS,
    SILENCE_SECONDS,
    Whisper,
    repeats_itself,
)
from server.errors import EngineError
from tests.support.engine_settings import local_settings
from tests.support.local_engine import load_local_engine, read_pcm, silence

KOREAN = "그는 이리저리 피하면서 길 한 옆으로 걸어갔다"
KENNEDY = "ask not what your country can do for you, ask what you can do for your country"
QUILTER = "Mr. Quilter is the apostle of the middle classes and we are glad to welcome his gospel"
SHORT, LONGER = SHORTEST_WINDOW_SECONDS, SHORTEST_WINDOW_SECONDS + 4.0


@pytest.fixture(scope="session")
def whisper() -> Whisper:
    return load_local_engine().models.whisper


@pytest.fixture(scope="session")
def kennedy(speech_dir: Path) -> bytes:
    return read_pcm(speech_dir / "en" / "misc" / "jfk.wav")


@pytest.fixture(scope="session")
def quilter(speech_dir: Path) -> bytes:
    return read_pcm(speech_dir / "en" / "leopard" / "test.wav")


@pytest.mark.speech
def test_english_is_understood(whisper: Whisper, kennedy: bytes, quilter: bytes) -> None:
    assert agreement(whisper.transcribe(kennedy, "en").text, f"And so my fellow Americans, {KENNEDY}") > 0.97
    assert agreement(whisper.transcribe(quilter, "en").text, QUILTER) > 0.97


def test_korean_is_understood(whisper: Whisper, korean_pcm: bytes) -> None:
    found = whisper.transcribe(korean_pcm, "ko")
    assert agreement(found.text, KOREAN) > 0.8
    assert (found.language, found.looped) == ("ko", False)


@pytest.mark.speech
@pytest.mark.parametrize(
    ("recording", "language"),
    [
        ("en/misc/jfk.wav", "en"),
        ("ko/leopard/test_ko.wav", "ko"),
        ("de/leopard/test_de.wav", "de"),
        ("zh/aishell/BAC009S0724W0121.wav", "zh"),
        ("ja/leopard/test_ja.wav", "ja"),
        ("es/leopard/test_es.wav", "es"),
    ],
)
def test_the_language_is_found_out(whisper: Whisper, speech_dir: Path, recording: str, language: str) -> None:
    assert whisper.transcribe(read_pcm(speech_dir / recording), None).language == language


def test_the_base_model_knows_about_a_hundred_languages(whisper: Whisper) -> None:
    assert {"ko", "en", "ja", "zh", "de", "es", "fr", "pt"} < whisper.languages
    assert len(whisper.languages) > 90


def test_a_short_window_hears_the_same_korean_as_the_full_one(whisper: Whisper, korean_pcm: bytes) -> None:
    short = whisper.transcribe(korean_pcm, "ko")
    full = whisper.transcribe(korean_pcm, "ko", shortest_window=FULL_WINDOW_SECONDS)
    assert agreement(short.text, full.text) > 0.9


@pytest.mark.speech
def test_a_short_window_hears_the_same_english_as_the_full_one(whisper: Whisper, kennedy: bytes) -> None:
    short = whisper.transcribe(kennedy, "en")
    full = whisper.transcribe(kennedy, "en", shortest_window=FULL_WINDOW_SECONDS)
    assert agreement(short.text, full.text) > 0.97


def windows_used(whisper: Whisper, monkeypatch: pytest.MonkeyPatch, looped: dict[float, bool]) -> list[float]:
    used: list[float] = []

    def decode(pcm: bytes, window: float, *_: object) -> Heard:
        used.append(window)
        return Heard((Hypothesis(f"{window:g}", -0.1, looped=looped[window]),), "ko", 0.0)

    monkeypatch.setattr(whisper, "_decode", decode)
    return used


@pytest.mark.parametrize(
    ("seconds", "beam", "looped", "expected"),
    [
        (1.0, FINAL_BEAM, {SHORT: False}, [SHORT]),
        (LONGER - SILENCE_SECONDS, FINAL_BEAM, {LONGER: False}, [LONGER]),
        (1.0, FINAL_BEAM, {SHORT: True, FULL_WINDOW_SECONDS: False}, [SHORT, FULL_WINDOW_SECONDS]),
        (1.0, FINAL_BEAM, {SHORT: True, FULL_WINDOW_SECONDS: True}, [SHORT, FULL_WINDOW_SECONDS]),
        (1.0, 1, {SHORT: True}, [SHORT]),  # an interim is not worth it
        (29.0, FINAL_BEAM, {FULL_WINDOW_SECONDS: True}, [FULL_WINDOW_SECONDS]),
    ],
)
def test_what_loops_in_the_short_window_is_done_again_in_the_full_one(
    whisper: Whisper,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    beam: int,
    looped: dict[float, bool],
    expected: list[float],
) -> None:
    used = windows_used(whisper, monkeypatch, looped)
    (found,) = whisper.hear(silence(seconds), "ko", beam=beam).hypotheses
    assert used == expected
    assert found.text == f"{expected[-1]:g}"
    assert found.looped is looped[expected[-1]]


def test_a_circle_in_the_beam_is_no_matter_if_something_else_is_likelier(
    whisper: Whisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = Hypothesis("어디예요?", -0.4, (1, 2))
    again = Hypothesis("어디예요? 어디예요?", -0.35, (1, 2, 1, 2), looped=True)
    windows: list[float] = []

    def decode(pcm: bytes, window: float, *_: object) -> Heard:
        windows.append(window)
        return Heard((again, once), "ko", 0.0)

    monkeypatch.setattr(whisper, "_decode", decode)
    assert best(whisper.hear(silence(1.0), "ko").hypotheses) is once
    assert windows == [SHORT]


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("", False),
        (KOREAN, False),
        (KENNEDY, False),
        ("하나 둘 하나 둘", False),  # too short to be told from what people say
        ("네, 네, 네.", False),
        ("정말 정말 좋다", False),
        (f"{KOREAN} {KOREAN}", True),
        (f"And then {QUILTER}. {QUILTER}. The end", True),
        ("감사합니다 감사합니다", True),  # for the full window to decide
        ("하하" * 60, True),
        ("1,2,1,2,1", True),
        ("1, 2, 3, 4, 4, 4, 4, 4", True),
        ("010-1234-5678", False),
        ("1,000,000원", False),
        ("1, 2, 3, 4, 5", False),
        ("가 나 다 라 마 바 사 " * 12, True),
    ],
)
def test_text_that_goes_round_in_a_circle_is_noticed(text: str, repeats: bool) -> None:
    assert repeats_itself(text) is repeats


def test_a_keyword_gives_a_term_its_spelling(whisper: Whisper, korean_pcm: bytes) -> None:
    assert "이리저리" not in whisper.transcribe(korean_pcm, "ko").text
    assert "이리저리" in whisper.transcribe(korean_pcm, "ko", keywords=["이리저리"]).text


def test_any_number_of_keywords_finds_room(whisper: Whisper, korean_pcm: bytes) -> None:
    found = whisper.transcribe(korean_pcm, "ko", keywords=["이리저리", *(f"회사{number}" for number in range(99))])
    assert agreement(found.text, KOREAN) > 0.8


def test_word_times_follow_one_another_on_the_clock(whisper: Whisper, korean_pcm: bytes) -> None:
    found = whisper.transcribe(korean_pcm, "ko", start=100.0)
    assert " ".join(word.word for word in found.words) == found.text
    times = [each for word in found.words for each in (word.start, word.end)]
    assert times[0] >= 100.0
    assert all(before <= after for before, after in pairwise(times))
    assert times[-1] <= 100.0 + len(korean_pcm) / BYTES_PER_SECOND
    assert all(word.confidence is not None and 0 < word.confidence <= 1 for word in found.words)


def test_words_are_timed_only_where_they_are_asked_for(whisper: Whisper, korean_pcm: bytes) -> None:
    assert whisper.transcribe(korean_pcm, "ko", word_times=False).words == ()


def test_the_confidence_is_between_0_and_1(whisper: Whisper, korean_pcm: bytes) -> None:
    sure = whisper.transcribe(korean_pcm, "ko").confidence
    wrong_language = whisper.transcribe(korean_pcm, "fi").confidence
    assert 0 < wrong_language < sure <= 1


@pytest.mark.parametrize("samples", [0, 1, 160])
def test_hardly_any_audio_is_no_error(whisper: Whisper, samples: int) -> None:
    assert whisper.transcribe(bytes(2 * samples), "ko").language == "ko"


def test_audio_longer_than_the_window_is_cut(whisper: Whisper, korean_pcm: bytes) -> None:
    found = whisper.transcribe(korean_pcm + silence(40), "ko")
    assert all(word.end <= FULL_WINDOW_SECONDS for word in found.words)


def test_a_folder_without_a_model_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=str(tmp_path)) as caught:
        Whisper(local_settings(whisper_model=str(tmp_path), whisper_device="cpu"), parallel=1)
    assert caught.value.retryable is False
