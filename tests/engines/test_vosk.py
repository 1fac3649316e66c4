"""Korean by Vosk alone, with its real model, on a real recording."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE
from server.engines.local.recognizer import LocalRecognizer, Models
from server.engines.local.recognizer_pool import Lent
from server.engines.local.vosk import Vosk, _with_options, warm_up_speech
from server.engines.local.whisper import Whisper
from server.engines.local.workers import Workers
from server.engines.speech.frames import FRAME_BYTES, FRAME_SECONDS
from server.engines.speech.vad import VadStream, VoiceActivityDetector
from server.errors import EngineError
from server.models import Final, Interim, Recognition, SessionConfig, SpeechEnded, SpeechStarted
from server.settings import Settings
from tests.support.engine_settings import local_settings
from tests.support.local_engine import collected, finals
from tests.support.servers import settings_of

SPEECH = warm_up_speech()
WHOLE = 1 << 30
ONE_PASS = SessionConfig(two_pass=False)


@dataclass(frozen=True)
class Engine:
    """What the embedded engine loads, without Whisper."""

    models: Models
    workers: Workers
    settings: Settings

    def open(self, config: SessionConfig, start: float) -> LocalRecognizer:
        return LocalRecognizer(self.models, self.workers, self.settings, config, start)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One thread and one warm recognizer: jobs come one after the other, and a recognizer that is lost is missed."""
    settings = settings_of()
    workers = Workers(1)
    vosk = Vosk(local_settings(), workers)
    vosk.pool._growing = True  # it stays the only one
    yield Engine(Models(VoiceActivityDetector(), vosk, cast(Whisper, None)), workers, settings)
    workers.close()


@pytest.fixture
def no_new_recognizer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: Any) -> Lent:
        raise AssertionError("a warm recognizer has not come back")

    monkeypatch.setattr("server.engines.local.vosk._new_recognizer", refuse)


async def recognise(
    engine: Engine, pcm: bytes, *, start: float = 0.0, step: int = 3200, config: SessionConfig = ONE_PASS
) -> list[Recognition]:
    async with engine.open(config, start) as recognizer, asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(collected(recognizer))
        for at in range(0, len(pcm), step):
            await recognizer.send_audio(pcm[at : at + step])
        await recognizer.finish()
        return await reading


def seconds_of(pcm: bytes) -> float:
    return len(pcm) / BYTES_PER_SECOND


def silence(seconds: float) -> bytes:
    return bytes(round(seconds * BYTES_PER_SECOND))


# --- one utterance --------------------------------------------------------------------------------------------------


async def test_an_utterance_begins_is_guessed_ends_and_is_final(engine: Engine) -> None:
    recognitions = await recognise(engine, SPEECH)
    assert isinstance(recognitions[0], SpeechStarted)
    assert isinstance(recognitions[-2], SpeechEnded)
    final = recognitions[-1]
    assert isinstance(final, Final)
    assert "피하면서" in final.text
    assert final.text.endswith("걸어갔다")
    texts = [each.text for each in recognitions[1:-2] if isinstance(each, Interim)]
    assert len(recognitions) - 3 == len(texts) >= 2
    assert all(text and text != following for text, following in pairwise(texts))


async def test_words_follow_one_another_within_the_audio(engine: Engine) -> None:
    (final,) = finals(await recognise(engine, SPEECH, start=100.0))
    assert " ".join(word.word for word in final.words) == final.text
    ordered = [each for word in final.words for each in (word.start, word.end)]
    assert ordered == sorted(ordered)
    assert 100.0 <= ordered[0] == final.start
    assert ordered[-1] == final.end <= final.through <= 100.0 + seconds_of(SPEECH)


async def test_an_interim_lasts_from_the_start_of_speech_to_what_was_heard(engine: Engine) -> None:
    started, *others = await recognise(engine, SPEECH, start=100.0)
    assert isinstance(started, SpeechStarted)
    ends = [each.end for each in others if isinstance(each, Interim) and each.start == started.start]
    assert len(ends) == sum(isinstance(each, Interim) for each in others)
    assert started.start < ends[0]
    assert ends == sorted(ends)
    assert ends[-1] <= 100.0 + seconds_of(SPEECH)


async def test_all_times_are_on_the_session_s_clock(engine: Engine) -> None:
    first = await recognise(engine, SPEECH, step=WHOLE)
    later = await recognise(engine, SPEECH, start=100.0, step=WHOLE)
    assert [times(each, 0.0) for each in first] == [times(each, 100.0) for each in later]


def times(recognition: Recognition, start: float) -> list[float]:
    """Everything in seconds since ``start``, to the millisecond."""
    found = [getattr(recognition, name) for name in ("start", "end", "through") if hasattr(recognition, name)]
    found += [each for word in getattr(recognition, "words", ()) for each in (word.start, word.end)]
    return [round(each - start, 3) for each in found]


async def test_confidences_are_figures_between_0_and_1(engine: Engine) -> None:
    (final,) = finals(await recognise(engine, SPEECH))
    figures = [word.confidence for word in final.words]
    assert all(figure is not None and 0 < figure <= 1 for figure in figures)
    assert len(set(figures)) > 1
    assert final.confidence is not None
    assert 0 < final.confidence < 1


@pytest.mark.parametrize("step", [777, 6400, 20_001])
async def test_the_text_does_not_depend_on_cuts(engine: Engine, step: int) -> None:
    (whole,) = finals(await recognise(engine, SPEECH, step=WHOLE))
    (cut,) = finals(await recognise(engine, SPEECH, step=step))
    assert cut.text == whole.text
    assert times(cut, 0.0) == times(whole, 0.0)


async def test_a_stream_that_is_behind_gets_its_newest_interim_only(engine: Engine) -> None:
    recognitions = await recognise(engine, SPEECH, step=WHOLE)
    assert sum(isinstance(each, Interim) for each in recognitions) == 1


async def test_without_smart_format_words_stay_as_the_model_has_them(engine: Engine) -> None:
    (smart,) = finals(await recognise(engine, SPEECH))
    (plain,) = finals(await recognise(engine, SPEECH, config=SessionConfig(two_pass=False, smart_format=False)))
    assert len(plain.words) > len(smart.words)
    assert plain.text.replace(" ", "") == smart.text.replace(" ", "")


async def test_silence_gives_checkpoints_alone(engine: Engine) -> None:
    recognitions = await recognise(engine, silence(5.0), start=10.0)
    through = [each.through for each in recognitions if isinstance(each, Final)]
    assert len(through) == len(recognitions) >= 4
    assert all(each == Final("", at, at, at) for each, at in zip(recognitions, through, strict=True))
    assert all(before < after for before, after in pairwise(through))
    assert 15.0 - FRAME_SECONDS < through[-1] <= 15.0


# --- the pool -------------------------------------------------------------------------------------------------------


async def test_utterances_of_one_stream_stay_on_the_clock(engine: Engine) -> None:
    (alone,) = finals(await recognise(engine, SPEECH))
    gap = silence(1.024)  # a whole number of frames, so that each utterance is heard alike
    padded = SPEECH.ljust(-(-len(SPEECH) // FRAME_BYTES) * FRAME_BYTES, b"\0") + gap
    found = finals(await recognise(engine, padded * 4, start=7.0))
    assert [final.text for final in found] == [alone.text] * 4
    for n, final in enumerate(found):
        assert final.start == pytest.approx(alone.start + 7.0 + n * seconds_of(padded), abs=0.1)
        assert final.end == pytest.approx(alone.end + 7.0 + n * seconds_of(padded), abs=0.1)


async def test_recognition_resumed_behind_a_final_gives_the_finals_that_are_left(engine: Engine) -> None:
    pcm = SPEECH + silence(1.0) + SPEECH
    first, second = finals(await recognise(engine, pcm))
    (resumed,) = finals(await recognise(engine, pcm[round(first.through * SAMPLE_RATE) * 2 :], start=first.through))
    assert resumed.text == second.text
    assert resumed.start == pytest.approx(second.start, abs=0.1)
    assert resumed.end == pytest.approx(second.end, abs=0.1)


@pytest.mark.usefixtures("no_new_recognizer")
async def test_a_recognizer_is_reused_and_forgets_the_one_before(engine: Engine) -> None:
    first, *others = [finals(await recognise(engine, SPEECH, step=WHOLE)) for _ in range(8)]
    assert [times(final, 0.0) for final in first] != []
    for other in others:
        assert [final.text for final in other] == [final.text for final in first]
        assert [times(final, 0.0) for final in other] == [times(final, 0.0) for final in first]


@pytest.mark.usefixtures("no_new_recognizer")
async def test_a_stream_closed_in_an_utterance_gives_its_recognizer_back(engine: Engine) -> None:
    (before,) = finals(await recognise(engine, SPEECH))
    for _ in range(2):
        async with engine.open(ONE_PASS, 0.0) as recognizer:
            await recognizer.send_audio(SPEECH[: 2 * BYTES_PER_SECOND])
    (after,) = finals(await recognise(engine, SPEECH))
    assert after.text == before.text
    assert times(after, 0.0) == times(before, 0.0)


@pytest.mark.usefixtures("no_new_recognizer")
async def test_a_stream_closed_while_it_decodes_gives_its_recognizer_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding, closed = threading.Event(), threading.Event()
    feed = Lent.feed

    def feed_slowly(lent: Lent, pcm: bytes) -> None:
        decoding.set()
        assert closed.wait(10)
        feed(lent, pcm)

    async with engine.open(ONE_PASS, 0.0) as recognizer, asyncio.TaskGroup() as tasks:
        with monkeypatch.context() as patched:
            patched.setattr(Lent, "feed", feed_slowly)
            sending = tasks.create_task(recognizer.send_audio(SPEECH))
            assert await asyncio.to_thread(decoding.wait, 10)
            sending.cancel()
    closed.set()
    assert len(finals(await recognise(engine, SPEECH))) == 1


async def test_a_guess_tells_the_first_word_sooner_and_changes_nothing_else(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sooner, *_, final = await recognise(engine, SPEECH)
    monkeypatch.setattr("server.engines.local.vosk.GUESSES", ())
    _, later, *_, same = await recognise(engine, SPEECH)
    assert isinstance(sooner, Interim) and isinstance(later, Interim)
    assert sooner.end < later.end
    assert isinstance(final, Final) and isinstance(same, Final)
    assert (final.text, times(final, 0.0)) == (same.text, times(same, 0.0))


async def test_a_guess_that_is_not_sure_waits_for_more_speech(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []
    for sure in (0.0, 1.1):
        monkeypatch.setattr("server.engines.local.vosk.GUESSES", ((0.256, sure), (0.416, 0.0)))
        started, first, *_ = await recognise(engine, SPEECH, step=FRAME_BYTES)
        assert isinstance(started, SpeechStarted) and isinstance(first, Interim)
        ends.append(first.end - started.start)
    assert ends == pytest.approx([0.256, 0.416], abs=0.001)


async def test_a_guess_hears_all_that_has_come(engine: Engine) -> None:
    started, first, *_ = await recognise(engine, SPEECH, step=10 * FRAME_BYTES)
    assert isinstance(started, SpeechStarted) and isinstance(first, Interim)
    assert round(first.end / FRAME_SECONDS) % 10 == 0


async def test_two_streams_at_once_do_not_mix(engine: Engine) -> None:
    one, two = await asyncio.gather(recognise(engine, SPEECH), recognise(engine, SPEECH, start=50.0))
    assert [final.text for final in finals(one)] == [final.text for final in finals(two)]
    assert [times(final, 0.0) for final in finals(one)] == [times(final, 50.0) for final in finals(two)]


async def test_a_recognizer_is_replaced_above_the_memory_limit(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = engine.models.vosk.pool
    used = pool.take()
    pool.give_back(used)
    with monkeypatch.context() as patched:
        patched.setattr("server.engines.local.recognizer_pool.resident_mb", lambda: 1e6)
        patched.setattr("server.engines.local.recognizer_pool.YOUNGEST_RECYCLED", 1)
        (before,) = finals(await recognise(engine, SPEECH))
    fresh = pool.take()
    assert fresh is not used
    pool.give_back(fresh)
    (after,) = finals(await recognise(engine, SPEECH))
    assert after.text == before.text
    assert times(after, 0.0) == times(before, 0.0)


# --- the limit of an utterance --------------------------------------------------------------------------------------


async def test_an_utterance_at_the_limit_goes_on_as_another_final(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.settings, "max_utterance_seconds", 2.0)
    recognitions = await recognise(engine, SPEECH)
    first, second = finals(recognitions)
    assert first.end <= first.through <= second.start <= second.end <= second.through
    assert sum(isinstance(each, SpeechStarted) for each in recognitions) == 1
    assert sum(isinstance(each, SpeechEnded) for each in recognitions) == 1


@pytest.mark.parametrize("frames", [3, 25, 29, 30, 31, 50, 60])
async def test_audio_may_end_anywhere(engine: Engine, monkeypatch: pytest.MonkeyPatch, frames: int) -> None:
    """Everything is speech and each 30 frames make an utterance: one of them may have no audio at all."""
    monkeypatch.setattr(engine.settings, "max_utterance_seconds", 30 * FRAME_SECONDS)
    monkeypatch.setattr(VadStream, "probabilities", lambda _, pcm: [0.9] * (len(pcm) // FRAME_BYTES))
    monkeypatch.setattr("server.engines.local.vosk.GUESSES", ())
    fed = bytearray()
    feed = Lent.feed

    def noted(lent: Lent, pcm: bytes) -> None:
        fed.extend(pcm)
        feed(lent, pcm)

    monkeypatch.setattr(Lent, "feed", noted)
    recognitions = await recognise(engine, SPEECH[: frames * FRAME_BYTES])
    assert fed == SPEECH[: frames * FRAME_BYTES]
    assert len([each for each in recognitions if isinstance(each, Final)]) == 1 + frames // 30
    assert isinstance(recognitions[-1], Final)
    assert recognitions[-1].through == pytest.approx(frames * FRAME_SECONDS)


async def test_speech_without_words_is_a_final_without_text(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VadStream, "probabilities", lambda _, pcm: [0.9] * (len(pcm) // FRAME_BYTES))
    started, ended, final = await recognise(engine, bytes(20 * FRAME_BYTES))
    assert started == SpeechStarted(0.0) and isinstance(ended, SpeechEnded)
    assert isinstance(final, Final) and (final.text, final.words, final.confidence) == ("", (), None)


# --- the engine -----------------------------------------------------------------------------------------------------


async def test_the_event_loop_runs_on_while_speech_is_decoded(engine: Engine) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    async with engine.open(ONE_PASS, 0.0) as recognizer, asyncio.TaskGroup() as tasks:
        ticking = tasks.create_task(tick())
        await recognizer.send_audio(SPEECH)
        ticking.cancel()
    assert ticks > 10


def test_a_folder_without_a_model_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=str(tmp_path)) as caught:
        Vosk(local_settings(vosk_model=tmp_path), Workers(1))
    assert caught.value.retryable is False


def test_a_model_that_lacks_a_file_is_one_clear_error(tmp_path: Path) -> None:
    for name in ("am/final.mdl", "conf/model.conf"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(EngineError, match=r"conf/mfcc\.conf missing"):
        Vosk(local_settings(vosk_model=tmp_path), Workers(1))


def test_our_options_come_after_the_model_s_own_and_the_rest_of_it_is_not_copied(tmp_path: Path) -> None:
    model, copy = tmp_path / "model", tmp_path / "copy"
    for part in ("am", "conf", "graph"):
        (model / part).mkdir(parents=True)
    copy.mkdir()
    (model / "conf" / "mfcc.conf").touch()
    (model / "conf" / "model.conf").write_text("--max-active=3000\n--beam=10.0")
    _with_options(model, copy)
    options = (copy / "conf" / "model.conf").read_text().splitlines()
    assert options[:2] == ["--max-active=3000", "--beam=10.0"]
    assert "--max-active=1000" in options[2:]
    assert [(copy / part).is_symlink() for part in ("am", "graph", "conf/mfcc.conf", "conf/model.conf")] == [
        True,
        True,
        True,
        False,
    ]


def test_where_nobody_may_make_links_the_model_is_loaded_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError("A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    pool = Vosk(local_settings(), Workers(1)).pool
    assert pool.take() is not None
