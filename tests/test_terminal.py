"""What fits a line of the terminal, and how it is written."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from client.terminal import clock, newest, one_line


@given(st.text(st.sampled_from("ab 가나한글漢字é❤\ufe0f\u200d👩"), max_size=60), st.integers(0, 30))
def test_the_newest_part_of_a_line_fits_its_cells(text: str, cells: int) -> None:
    cut = newest(text, cells)
    assert cell_len(cut) <= cells
    assert cut in ("", text) or text.endswith(cut.removeprefix("…"))


def test_the_newest_part_uses_the_room_that_it_has() -> None:
    assert newest("가나다라마", 7) == "…다라마"
    assert newest("가나다라마", 6) == "…라마"
    assert newest("가나다라마", 10) == "가나다라마"


def test_times_and_lines_are_shown_plainly() -> None:
    values: list[Any] = [clock(0), clock(59.96), clock(3671.25)]
    assert values == ["0:00.0", "1:00.0", "61:11.2"]
    assert one_line("a\r\x1b[2Kb\x9bc") == "a  [2Kb c"
