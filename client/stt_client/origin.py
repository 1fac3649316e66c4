"""One session on the server, seen from the caller's session that it is a part of. Pure."""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from stt_client.wire import Event

TIMES = ("start", "end", "through")
TIME_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a session on the server begins on the caller's counts of bytes, seconds and event ids.

    All are 0 until a session has been reopened. ``finals`` were published before it, and account for the audio before
    ``through`` (seconds on the caller's clock).
    """

    session_id: str
    offset: int = 0
    seconds: float = 0.0
    event_id: int = 0
    through: float = 0.0
    finals: tuple[Event, ...] = ()

    @property
    def path(self) -> str:
        return f"sessions/{quote(self.session_id, safe='')}"

    @property
    def is_reopened(self) -> bool:
        return self.event_id > 0

    def place(self, event: Event) -> Event:
        """An event of the server's session on the caller's counts."""
        if not self.is_reopened:
            return event
        return replace(event, id=event.id and event.id + self.event_id, data=self.place_data(event.data))

    def place_data(self, data: dict[str, Any]) -> dict[str, Any]:
        """The data of an event, or a segment of a transcript, on the caller's counts."""
        placed = data | {name: self._later(data[name]) for name in TIMES if name in data}
        if "words" in data:
            placed["words"] = [self.place_data(word) for word in data["words"]]
        if isinstance(data.get("flushed"), int):
            placed["flushed"] = self.offset + data["flushed"]
        return placed

    def is_repeated(self, data: dict[str, Any]) -> bool:
        """The data, already placed, tell what a final has told before, as audio before ``through`` was sent again."""
        times = [data[name] for name in ("start", "end") if isinstance(data.get(name), int | float)]
        return bool(times) and sum(times) / len(times) < self.through

    def _later(self, seconds: Any) -> Any:
        return round(self.seconds + seconds, TIME_DIGITS) if isinstance(seconds, int | float) else seconds
