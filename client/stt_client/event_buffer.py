"""The events of one session as its readers see them: what the feed has read, held for a while."""

from collections import deque

from stt_client.origin import Origin
from stt_client.signal import Signal
from stt_client.wire import Event

KEPT_EVENTS = 1000
KEPT_ANSWERS = 100


class EventBuffer:
    """The newest events, and every final: a transcript grows as its session does.

    ``through``: seconds of audio that finals account for. ``answers``: the texts that answered a flush, by the offset
    at which it was asked.
    """

    def __init__(self, origin: Origin, changed: Signal) -> None:
        self.finals = list(origin.finals)
        self.through = origin.through
        self.last_id = origin.event_id
        self.dropped_id = origin.event_id
        """Id of the newest event that is not held any more."""
        self.answers: dict[int, str | None] = {}
        self.heartbeats = 0
        self.heartbeat: Event | None = None
        self._changed = changed
        self._events: deque[Event] = deque()
        self._dropped = 1 if origin.is_reopened else 0  # what came before it is not held

    @property
    def first(self) -> int:
        """Position of the first event that is held; the first event of all has 0."""
        return self._dropped

    def at(self, position: int) -> Event | None:
        """The event at a position that is not before ``first``; ``None`` if it has not come yet."""
        index = position - self._dropped
        return self._events[index] if index < len(self._events) else None

    def take(self, event: Event, origin: Origin) -> None:
        """Add what the server has published, as it came."""
        if event.event_type == "heartbeat":
            self.heartbeat = event
            self.heartbeats += 1
            self._changed.fire()
            return
        placed = origin.place(event)
        data = placed.data
        if isinstance(data.get("flushed"), int):
            self._note_answer(data["flushed"], data.get("text") or None)
        through = data.get("through", data.get("end") if event.event_type == "final" else None)
        if isinstance(through, int | float):
            self.through = max(self.through, through)
        self.last_id = placed.id or self.last_id
        if not origin.is_repeated(data):
            self.add(placed)
        self._changed.fire()

    def add(self, event: Event) -> None:
        """Add an event that is placed already."""
        self.last_id = event.id or self.last_id
        if event.event_type == "final":
            self.finals.append(event)
        self._events.append(event)
        if len(self._events) > KEPT_EVENTS:
            self.dropped_id = self._events.popleft().id or self.dropped_id
            self._dropped += 1
        self._changed.fire()

    def _note_answer(self, offset: int, text: str | None) -> None:
        self.answers[offset] = text
        while len(self.answers) > KEPT_ANSWERS:
            del self.answers[next(iter(self.answers))]
