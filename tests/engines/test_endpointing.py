"""Where utterances begin and end, for scripted probabilities.

A script is one letter for each frame: ``.`` silence, ``~`` too quiet to begin an utterance but enough to keep it going,
``#`` speech. Times are told in frames. Each frame's samples hold its probability and its number.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.engines.speech.endpointing import (
    Ended,
    Endpointer,
    Paused,
    Quiet,
    Segment,
    Speech,
    Started,
    endpointing_seconds,
)
from server.engines.speech.frames import FRAME_BYTES, FRAME_SECONDS
from server.models import SessionConfig

PROBABILITIES = {".": 0, "~": 40, "#": 90}
economical = settings(max_examples=200, deadline=None)


def pcm_of(script: str, first: int = 0) -> bytes:
    frames = (struct.pack("<hh", PROBABILITIES[letter], n) for n, letter in enumerate(script, first))
    return b"".join(frame.ljust(FRAME_BYTES, b"\0") for frame in frames)


def scripted(pcm: bytes) -> list[float]:
    assert len(pcm) % FRAME_BYTES == 0
    return [struct.unpack_from("<h", pcm, at)[0] / 100 for at in range(0, len(pcm), FRAME_BYTES)]


def segments(
    pcm: bytes, *, cuts: Iterable[int] = (), start: float = 0.0, endpointing: float = 0.8, longest: float = 28.0
) -> list[Segment]:
    """What is made of the audio; neighbouring pieces of speech are put together."""
    endpointer = Endpointer(scripted, start=start, endpointing=endpointing, longest=longest)
    bounds = [0, *sorted(min(cut, len(pcm)) for cut in cuts), len(pcm)]
    found = [segment for a, b in pairwise(bounds) for segment in endpointer.push(pcm[a:b])]
    found += endpointer.flush()
    return list(joined(segment for segment in found if isinstance(segment, Started | Speech | Ended | Quiet)))


def joined(found: Iterable[Segment]) -> Iterator[Segment]:
    pcm = b""
    for segment in found:
        if isinstance(segment, Speech):
            pcm += segment.pcm
            continue
        if pcm:
            yield Speech(pcm)
            pcm = b""
        yield segment
    if pcm:
        yield Speech(pcm)


def in_frames(seconds: float) -> int:
    assert abs(seconds / FRAME_SECONDS - round(seconds / FRAME_SECONDS)) < 0.001
    return round(seconds / FRAME_SECONDS)


def told(found: Iterable[Segment], start: float = 0.0) -> Iterator[str]:
    """One line for each segment."""
    for segment in found:
        match segment:
            case Started(speech, audio, continued):
                name = "continued" if continued else "started"
                yield f"{name} {in_frames(speech - start)}, audio from {in_frames(audio - start)}"
            case Speech(pcm):
                numbers = [struct.unpack_from("<h", pcm, at + 2)[0] for at in range(0, len(pcm), FRAME_BYTES)]
                assert numbers == list(range(numbers[0], numbers[-1] + 1)), "a frame is missing or doubled"
                yield f"speech {numbers[0]}-{numbers[-1] + 1}"
            case Ended(end, through, cut):
                yield f"{'cut' if cut else 'ended'} {in_frames(end - start)}, through {in_frames(through - start)}"
            case Quiet(through):
                yield f"quiet {in_frames(through - start)}"


TABLE = {
    "nothing": ("", ["quiet 0"]),
    "silence is told each second, but for the last pre-roll": (
        "." * 110,
        ["quiet 32", "quiet 64", "quiet 96", "quiet 110"],
    ),
    "what is not told yet is told at the end": ("." * 43, ["quiet 43"]),
    "two frames are a click": ("." * 5 + "##" + "." * 5, ["quiet 12"]),
    "clicks do not add up": ("##.##.##", ["quiet 8"]),
    "too quiet to begin": ("~" * 20, ["quiet 20"]),
    "three frames are speech, with a pre-roll": (
        "." * 20 + "###" + "." * 25 + "." * 19,
        ["started 20, audio from 11", "speech 11-48", "ended 23, through 36", "quiet 67"],
    ),
    "the pre-roll does not reach before the first sample": (
        ".###" + "." * 25,
        ["started 1, audio from 0", "speech 0-29", "ended 4, through 17", "quiet 29"],
    ),
    "the pre-roll does not reach before what was told as silence": (
        "." * 44 + "###",
        ["quiet 32", "started 44, audio from 35", "speech 35-47", "ended 47, through 47"],
    ),
    "a pause below the limit": (
        "###" + "." * 24 + "#" + "." * 25,
        ["started 0, audio from 0", "speech 0-53", "ended 28, through 41", "quiet 53"],
    ),
    "a pause at the limit": (
        "###" + "." * 25 + "#" + "." * 5,
        ["started 0, audio from 0", "speech 0-28", "ended 3, through 16", "quiet 34"],
    ),
    "faint speech goes on": (
        "###" + "~" * 40 + "." * 25,
        ["started 0, audio from 0", "speech 0-68", "ended 43, through 56", "quiet 68"],
    ),
    "a second utterance takes up the pause before it": (
        "###" + "." * 25 + "." * 4 + "###",
        [
            *("started 0, audio from 0", "speech 0-28", "ended 3, through 16"),
            *("started 32, audio from 23", "speech 23-35", "ended 35, through 35"),
        ],
    ),
    "the end in the middle of speech": ("####", ["started 0, audio from 0", "speech 0-4", "ended 4, through 4"]),
    "the end in a pause": ("###..", ["started 0, audio from 0", "speech 0-5", "ended 3, through 5"]),
}


@pytest.mark.parametrize("start", [0.0, 100.0, 4321.768])
@pytest.mark.parametrize(("script", "expected"), TABLE.values(), ids=TABLE)
def test_segments_of_a_script(script: str, expected: list[str], start: float) -> None:
    assert list(told(segments(pcm_of(script), start=start), start)) == expected


def test_the_pre_roll_does_not_reach_into_the_speech_before_it() -> None:
    assert list(told(segments(pcm_of("#####...###...."), endpointing=0.1))) == [
        *("started 0, audio from 0", "speech 0-8", "ended 5, through 5"),
        *("started 8, audio from 5", "speech 5-14", "ended 11, through 11"),
        "quiet 15",
    ]


@pytest.mark.parametrize("start", [0.0, 100.0, 4321.768])
@pytest.mark.parametrize("seconds", [6.4, 28.0])
def test_a_long_utterance_is_cut_at_the_limit_and_goes_on(seconds: float, start: float) -> None:
    limit = in_frames(seconds)
    script = "#" * (2 * limit + 10)
    assert list(told(segments(pcm_of(script), longest=seconds, start=start), start)) == [
        *("started 0, audio from 0", f"speech 0-{limit}", f"cut {limit}, through {limit}"),
        f"continued {limit}, audio from {limit}",
        *(f"speech {limit}-{2 * limit}", f"cut {2 * limit}, through {2 * limit}"),
        f"continued {2 * limit}, audio from {2 * limit}",
        *(f"speech {2 * limit}-{2 * limit + 10}", f"ended {2 * limit + 10}, through {2 * limit + 10}"),
    ]


def test_the_audio_may_end_right_after_a_cut() -> None:
    assert list(told(segments(pcm_of("#" * 200), longest=6.4))) == [
        *("started 0, audio from 0", "speech 0-200", "cut 200, through 200"),
        *("continued 200, audio from 200", "ended 200, through 200"),
    ]


@pytest.mark.parametrize(
    ("spoken", "pause", "ends"),
    [(5, 24, False), (11.2, 24, False), (20, 11, False), (20, 12, True), (27, 2, False), (27, 3, True)],
)
def test_the_longer_the_utterance_the_shorter_the_pause_that_ends_it(spoken: float, pause: int, ends: bool) -> None:
    script = "#" * round(spoken / FRAME_SECONDS) + "." * pause + "#" * 3
    found = segments(pcm_of(script))
    assert sum(isinstance(segment, Ended) for segment in found) == 1 + ends


PAUSES: dict[str, tuple[str, float, list[int]]] = {
    "short": ("###" + "." * 10, 0.8, []),
    "long enough": ("###" + "." * 11, 0.8, [3]),
    "told once": ("###" + "." * 24, 0.8, [3]),
    "the end": ("###" + "." * 40, 0.8, [3]),
    "the end comes first": ("###" + "." * 40, 0.3, []),
    "two": ("###" + "." * 15 + "~" + "." * 15, 0.8, [3, 19]),
    "one in each utterance": ("###" + "." * 40 + "###" + "." * 40, 0.8, [3, 46]),
    "either side of a cut": ("#" * 188 + "." * 24, 0.8, [188, 200]),
}


@pytest.mark.parametrize(("script", "endpointing", "ends"), PAUSES.values(), ids=PAUSES)
def test_a_pause_is_told_while_it_lasts(script: str, endpointing: float, ends: list[int]) -> None:
    endpointer = Endpointer(scripted, start=10.0, endpointing=endpointing, longest=6.4)
    found = list(endpointer.push(pcm_of(script)))
    assert [in_frames(each.end - 10.0) for each in found if isinstance(each, Paused)] == ends


def test_half_a_frame_at_the_end_is_accounted_for() -> None:
    end = pytest.approx(4.5 * FRAME_SECONDS)
    *_, speech, ended = segments(pcm_of("#####")[: -FRAME_BYTES // 2])
    assert isinstance(speech, Speech)
    assert len(speech.pcm) == FRAME_BYTES * 9 // 2
    assert isinstance(ended, Ended)
    assert ended.end == pytest.approx(4 * FRAME_SECONDS)
    assert ended.through == end
    (quiet,) = segments(pcm_of(".....")[: -FRAME_BYTES // 2])
    assert isinstance(quiet, Quiet)
    assert quiet.through == end


@pytest.mark.parametrize(
    ("config", "default_ms", "expected"),
    [
        (SessionConfig(), None, 0.8),
        (SessionConfig(language="ko-KR"), None, 0.8),
        (SessionConfig(language="KO"), None, 0.8),
        (SessionConfig(language="en"), None, 0.6),
        (SessionConfig(), 300, 0.3),
        (SessionConfig(endpointing_ms=1200), 300, 1.2),
    ],
)
def test_the_session_s_pause_counts_most_then_the_server_s_then_the_language_s(
    config: SessionConfig, default_ms: int | None, expected: float
) -> None:
    assert endpointing_seconds(config, default_ms) == expected


# --- whatever is said -----------------------------------------------------------------------------------------------

runs = st.tuples(st.sampled_from(".~#"), st.integers(1, 8) | st.integers(1, 30) | st.integers(100, 260))
scripts = st.lists(runs, max_size=12).map(lambda found: "".join(letter * length for letter, length in found))
starts = st.sampled_from([0.0, 100.0]) | st.floats(0, 40_000)
pauses = st.sampled_from([0.1, 0.3071, 0.8137, 2.9713])  # however it shrinks, none ends between two frames exactly
limits = st.sampled_from([6.4, 28.0])


@economical
@given(scripts, st.lists(st.integers(0, 1000 * FRAME_BYTES), max_size=20), st.integers(0, FRAME_BYTES))
def test_cuts_change_nothing(script: str, cuts: list[int], missing: int) -> None:
    pcm = pcm_of(script)[: len(script) * FRAME_BYTES - missing]
    assert segments(pcm, cuts=cuts) == segments(pcm)


@economical
@given(scripts, starts, pauses, limits)
def test_every_frame_of_speech_is_in_an_utterance_and_the_clock_never_goes_back(
    script: str, start: float, endpointing: float, longest: float
) -> None:
    found = segments(pcm_of(script), start=start, endpointing=endpointing, longest=longest)
    heard: set[int] = set()
    through = 0
    began: Started | None = None
    for segment in found:
        match segment:
            case Started():
                assert began is None
                began = segment
                assert through <= in_frames(began.audio_start - start) <= in_frames(began.start - start)
            case Speech():
                assert began is not None
                first = struct.unpack_from("<h", segment.pcm, 2)[0]
                assert first == in_frames(began.audio_start - start)
                heard.update(range(first, first + len(segment.pcm) // FRAME_BYTES))
            case Ended():
                assert began is not None
                assert began.start <= segment.end <= segment.through
                assert segment.end - began.start <= longest + 0.001
                began = None
                assert in_frames(segment.through - start) >= through
                through = in_frames(segment.through - start)
            case Quiet():
                assert began is None
                assert in_frames(segment.through - start) >= through
                through = in_frames(segment.through - start)
    assert began is None
    assert through == len(script)
    assert heard >= spoken_frames(script)


def spoken_frames(script: str) -> set[int]:
    """Frames of speech that is no click."""
    return {n for n in range(len(script)) for at in (n - 2, n - 1, n) if at >= 0 and script[at : at + 3] == "###"}


@economical
@given(scripts, starts, pauses, limits)
@example("###" + "." * 30 + "#" * 1800, 100.0, 0.8, 28.0)
def test_resuming_at_the_end_of_any_silence_or_utterance_gives_what_is_left(
    script: str, start: float, endpointing: float, longest: float
) -> None:
    found = segments(pcm_of(script), start=start, endpointing=endpointing, longest=longest)
    whole = list(told(found, start))
    for n, segment in enumerate(found):
        if isinstance(segment, Quiet) or (isinstance(segment, Ended) and not segment.cut):
            at = in_frames(segment.through - start)
            rest = pcm_of(script[at:], first=at)
            resumed = segments(rest, start=segment.through, endpointing=endpointing, longest=longest)
            left = list(told(resumed, start))
            assert left == (whole[n + 1 :] or [f"quiet {len(script)}"])


def resumed_after_cut(script: str, longest: float) -> Sequence[str]:
    """What a recognizer that begins at the first cut makes of the rest."""
    at = in_frames(longest)
    return list(told(segments(pcm_of(script[at:], first=at), start=longest, longest=longest)))


def test_resuming_at_a_cut_begins_an_utterance_that_nothing_is_missing_from() -> None:
    assert resumed_after_cut("#" * 220 + "." * 25, 6.4) == [
        *("started 200, audio from 200", "speech 200-245", "ended 220, through 233"),
        "quiet 245",
    ]


# --- flushed in between ---------------------------------------------------------------------------------------------


def flushed_at(script: str, at: int, part: int = 0, start: float = 0.0) -> list[Segment]:
    """What is made of a script that is flushed ``part`` bytes into a frame, then goes on with the next frame."""
    endpointer = Endpointer(scripted, start=start, endpointing=0.8, longest=28.0)
    found = [*endpointer.push(pcm_of(script[:at]) + bytes(part)), *endpointer.flush()]
    return [*found, *endpointer.push(pcm_of(script[at:], first=at)), *endpointer.flush()]


FLUSHES: dict[str, tuple[str, int, list[str]]] = {
    "before anything": ("." * 10, 0, ["quiet 0", "quiet 10"]),
    "in silence": ("." * 40, 20, ["quiet 20", "quiet 40"]),
    "in speech, which goes on": (
        "#" * 10 + "." * 5,
        6,
        [
            *("started 0, audio from 0", "speech 0-6", "ended 6, through 6"),
            *("started 6, audio from 6", "speech 6-15", "ended 10, through 15"),
        ],
    ),
    "in a pause": (
        "#" * 5 + "." * 10 + "###",
        10,
        [
            *("started 0, audio from 0", "speech 0-10", "ended 5, through 10"),
            *("started 15, audio from 10", "speech 10-18", "ended 18, through 18"),
        ],
    ),
    "in what may become speech": ("..##" + "#" * 3, 4, ["quiet 4", "started 4, audio from 4", "speech 4-7"]),
}


@pytest.mark.parametrize("start", [0.0, 4321.768])
@pytest.mark.parametrize(("script", "at", "expected"), FLUSHES.values(), ids=FLUSHES)
def test_a_flush_accounts_for_all_audio_and_the_stream_goes_on(
    script: str, at: int, expected: list[str], start: float
) -> None:
    told_of = list(told(joined(kept(flushed_at(script, at, start=start))), start))
    assert told_of[: len(expected)] == expected


def kept(found: Iterable[Segment]) -> Iterator[Segment]:
    return (each for each in found if not isinstance(each, Paused) and each != Speech(b""))


def test_two_flushes_in_a_row_account_for_the_same_audio() -> None:
    endpointer = Endpointer(scripted, start=7.0, endpointing=0.8, longest=28.0)
    found = [*endpointer.push(pcm_of("####")), *endpointer.flush()]
    assert isinstance(found[-1], Ended)
    assert list(endpointer.flush()) == [Quiet(found[-1].through)]


@pytest.mark.parametrize("spoken", [True, False])
def test_a_frame_that_a_flush_cuts_in_two_is_accounted_for_and_the_clock_stays_exact(spoken: bool) -> None:
    script = ("###" if spoken else "...") + "####"
    part = FRAME_BYTES // 2
    found = list(kept(flushed_at(script, 3, part)))
    flush = next(each for each in found if isinstance(each, Ended | Quiet))
    assert flush.through == 3.5 * FRAME_SECONDS
    after = found[found.index(flush) + 1 :]
    assert isinstance(after[0], Started)
    assert (after[0].start, after[0].audio_start) == (flush.through, flush.through)
    assert b"".join(each.pcm for each in after if isinstance(each, Speech)) == pcm_of(script[3:], first=3)
    assert isinstance(after[-1], Ended) and after[-1].through == 7.5 * FRAME_SECONDS


@economical
@given(scripts, st.integers(0, 600), starts)
def test_what_follows_a_flush_is_what_a_stream_that_begins_there_gives(script: str, at: int, start: float) -> None:
    at = min(at, len(script))
    endpointer = Endpointer(scripted, start=start, endpointing=0.8137, longest=6.4)
    before = [*endpointer.push(pcm_of(script[:at])), *endpointer.flush()]
    assert isinstance(before[-1], Ended | Quiet)
    assert in_frames(before[-1].through - start) == at
    after = [*endpointer.push(pcm_of(script[at:], first=at)), *endpointer.flush()]
    fresh = segments(pcm_of(script[at:], first=at), start=start + at * FRAME_SECONDS, endpointing=0.8137, longest=6.4)
    assert list(told(joined(kept(after)), start)) == list(told(kept(fresh), start))
