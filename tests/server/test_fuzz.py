"""Mutated containers: no crash, no hang, nothing lost in silence. The long form is ``benchmarks.fuzz_containers``."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz_containers import ENOUGH, LONGEST_SECONDS, heard, mutated
from tests.support.container_kinds import KINDS
from tests.support.foreign_kinds import FOREIGN, foreign

CLOCKED = ("webm of a browser", "webm vorbis", "ogg opus in short pages", "mp4 of a browser")
"""What numbers or times its parts, so that whatever is missing can be told."""


@settings(max_examples=40, deadline=None, derandomize=True)
@given(name=st.sampled_from(CLOCKED), seed=st.integers(0, 2**32))
def test_of_a_damaged_recording_most_is_heard_or_it_is_told(name: str, seed: int) -> None:
    whole, none, _ = heard(KINDS[name]())
    assert none == "silent"
    seconds, outcome, longest = heard(mutated(KINDS[name](), random.Random(seed)))
    assert outcome in ("error", "told") or seconds >= ENOUGH * whole
    assert longest < LONGEST_SECONDS


@settings(max_examples=60, deadline=None, derandomize=True)
@given(name=st.sampled_from(sorted(FOREIGN)), seed=st.integers(0, 2**32))
def test_whatever_ffmpeg_makes_of_a_damaged_file_comes_to_an_end(name: str, seed: int) -> None:
    _, outcome, longest = heard(mutated(foreign(name), random.Random(seed)))
    assert outcome in ("error", "told", "silent")
    assert longest < LONGEST_SECONDS
