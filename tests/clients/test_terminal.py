"""How a line of the terminal is written, and what fits it."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from stt_client.cli.terminal import newest, one_line
from stt_client.clock import clock


@given(st.text(st.sampled_from("ab 가나한글漢字é❤\ufe0f\u200d👩"), max_size=60), st.integers(0, 30))
def test_the_newest_part_of_a_line_fits_its_cells(text: str, cells: int) -> None:
    cut = newest(text, cells)
    assert cell_len(cut) <= cells
    assert cut in ("", text) or text.endswith(cut.removeprefix("…"))


def test_the_newest_part_uses_the_room_that_it_has() -> None:
    assert newest("가나다라마", 7) == "…다라마"
    assert newest("가나다라마", 6) == "…라마"
    assert newest("가나다라마", 10) == "가나다라마"


def test_a_line_is_one_line_without_control_characters() -> None:
    assert one_line("a\r\x1b[2Kb\x9bc") == "a  [2Kb c"


def test_times_are_minutes_seconds_and_tenths() -> None:
    assert [clock(0), clock(0.04), clock(59.96), clock(3671.25)] == ["0:00.0", "0:00.0", "1:00.0", "61:11.2"]
