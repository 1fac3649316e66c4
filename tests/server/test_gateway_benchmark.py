"""The comparison of ``benchmarks.gateway`` runs; what it measures is not judged here."""

import pytest

from benchmarks.gateway import compare


def test_both_servers_carry_live_sessions_without_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    measured = compare(["bare", "ours"], count=3, seconds=1.0, profile=None)

    assert [figures.errors for figures in measured.values()] == [[], []]
    bytes_read = [figures.read_kb for figures in measured.values()]
    assert bytes_read[0] == pytest.approx(bytes_read[1], rel=0.2), "they don't move the same bytes"
    assert len(capsys.readouterr().out.splitlines()) == 2
