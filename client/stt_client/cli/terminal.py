"""What the command line shows: finals that stay, an interim line that is rewritten in place, a progress bar."""

import unicodedata
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stt_client import Event
from stt_client.clock import clock

BAR_CELLS = 24


class Display:
    """Shows the events of one session.

    ``screen`` is a terminal, or ``None`` where nothing may be rewritten. Finals go to ``finals``, a plain stream, one
    a line without escape codes; to the screen where that is ``None``. Without a screen warnings go to ``warn``.
    """

    def __init__(
        self,
        screen: Console | None,
        finals: TextIO | None,
        warn: Callable[[str], None],
        *,
        quiet: bool = False,
        interims: bool = True,
        total_seconds: float | None = None,
    ) -> None:
        self._screen = screen
        self._finals = finals
        self._warn = warn
        self._quiet = quiet
        self._interims = interims
        self._total_seconds = total_seconds
        self._interim = ""
        self._progress: Table | None = None
        self._live = Live(console=screen, get_renderable=self._render, auto_refresh=False, transient=True)

    @property
    def live(self) -> bool:
        """Something can be rewritten in place, so a progress bar makes sense."""
        return self._screen is not None

    def __enter__(self) -> Self:
        if self.live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self._interim, self._progress = "", None
            self._live.stop()

    def show(self, event: Event) -> None:
        """Show a ``token`` or a ``final``; other events have no text."""
        text = one_line(event.data.get("text", ""))
        if event.event_type == "token" and self._interims:
            self._interim = text
        elif event.event_type == "session_reopened":
            self._interim = ""  # the words come again
        elif event.event_type == "final":
            self._interim = ""
            self._refresh()  # printing shows again what the last refresh has shown
            if text:
                self._print_final(event.data.get("start", 0.0), event.data.get("end", 0.0), text)
        self._refresh()

    def show_progress(self, uploaded: str, recognized_seconds: float) -> None:
        """``uploaded``: in words, as not every format has a known number of seconds."""
        total = self._total_seconds
        of_total = "" if total is None else f" of {clock(total)}"
        words = f"uploaded {uploaded}, recognised {clock(recognized_seconds)}{of_total}"
        row: list[RenderableType] = [Text(words, style="dim", no_wrap=True)]
        room = min(BAR_CELLS, (self._screen.width if self._screen else 0) - 1 - len(words))
        if total is not None and room > 0:
            row.insert(0, ProgressBar(total, min(recognized_seconds, total), width=room))
        self._progress = Table.grid(padding=(0, 1))
        self._progress.add_row(*row)
        self._refresh()

    def notice(self, text: str) -> None:
        """A sentence about the session, which is left out when quiet."""
        if not self._quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """A sentence that is always told."""
        if self._screen:
            self._screen.print(Text(one_line(text), style="yellow"))
        else:
            self._warn(one_line(text))

    def _print_final(self, start: float, end: float, text: str) -> None:
        times = f"[{clock(start)} - {clock(end)}]"
        if self._finals:
            self._finals.write(f"{times} {text}\n")
            self._finals.flush()
        elif self._screen:
            self._screen.print(Text.assemble((times, "cyan"), " ", text), soft_wrap=True)

    def _refresh(self) -> None:
        if self.live:
            self._live.refresh()

    def _render(self) -> RenderableType:
        width = self._screen.width - 1 if self._screen else 0
        lines: list[RenderableType] = []
        if self._interim:
            lines.append(Text(newest(self._interim, width), style="italic dim", no_wrap=True))
        if self._progress:
            lines.append(self._progress)
        return Group(*lines)


def one_line(text: str) -> str:
    """The text without control characters, which could move the cursor or break the line."""
    return "".join(" " if unicodedata.category(each) == "Cc" else each for each in text)


def newest(text: str, cells: int) -> str:
    """The end of a text, cut to so many terminal cells: in a growing line the last words are the news."""
    if cell_len(text) <= cells:
        return text
    if cells <= 0:
        return ""
    tail = text[-cells:]
    while cell_len("…" + tail) > cells:
        tail = tail[1:]
    return "…" + tail
