"""The audio of an upload that may still be needed: until a final accounts for it, not only until it is stored. Pure."""

from collections.abc import Mapping
from typing import Any

from stt_client.errors import SessionLost
from stt_client.layout import MAGIC_BYTES, MAX_HEADER_BYTES, Layout, layout_of

KEPT_SECONDS = 120
"""Confirmed audio that waits for its final: an utterance of a minute, and what the server may be behind. The bound is
for long silence, in which there are no finals."""
UNKNOWN = (
    "The server has lost the session, and the audio cannot be sent again: only the server can tell where a second lies "
    "in it, and its beginning is not held any more. Where that matters, send WAV or raw audio with its encoding."
)


class KeptAudio:
    """Offsets are bytes, counted from the first byte that the caller sent to the session."""

    def __init__(self, start: int, config: Mapping[str, Any], limit_bytes: int) -> None:
        self.start = self.confirmed = self._accounted = start
        """Offsets of the first byte that is held, and of the first that the server is not known to have stored."""
        self._config = config
        self._limit_bytes = limit_bytes
        self._bytes = bytearray()
        self._known: Layout | None = None
        self._looks = start == 0 or config.get("encoding", "auto") != "auto"

    @property
    def end(self) -> int:
        """Offset of the first byte to come."""
        return self.start + len(self._bytes)

    @property
    def unconfirmed(self) -> int:
        return self.end - self.confirmed

    @property
    def is_unaccounted(self) -> bool:
        """No final accounts for the end of it."""
        return self.end > self._accounted

    def append(self, audio: bytes) -> None:
        self._bytes += audio

    def read(self, limit: int) -> bytes:
        """The first bytes that are not confirmed."""
        at = self.confirmed - self.start
        return bytes(memoryview(self._bytes)[at : at + limit])

    def confirm(self, offset: int) -> bool:
        """The server has everything before ``offset``; false when that is nothing new.

        A server that has less than it had confirmed gets it again. Raises :class:`SessionLost` if it is not held.
        """
        if not self.start <= offset <= self.end:
            raise SessionLost(
                f"The server has {offset} bytes; {self.confirmed} were confirmed, "
                f"and {self.unconfirmed} more were sent."
            )
        moved = offset > self.confirmed
        self.confirmed = offset
        self._forget()
        return moved

    def account(self, seconds: float) -> None:
        """A final accounts for everything before this time."""
        if layout := self._layout():
            self._accounted = max(self._accounted, min(layout.offset_of(seconds), self.end))
            self._forget()

    def account_for_stored(self) -> None:
        """All that the server has stored is recognised."""
        self._accounted = max(self._accounted, self.confirmed)
        self._forget()

    @property
    def raw_encoding(self) -> dict[str, str]:
        """What to add to the configuration of a session that gets samples from the middle of an upload."""
        layout = self._layout()
        in_the_middle = layout is not None and not layout.header and self._config.get("encoding", "auto") == "auto"
        return {"encoding": "linear16"} if in_the_middle else {}

    def check_rewind(self) -> None:
        """Raises :class:`SessionLost` where :meth:`rewind` is not possible."""
        if self._layout() is None and self.start > 0:
            raise SessionLost(UNKNOWN)

    def rewind(self) -> tuple[int, float]:
        """Make ready to send everything again that no final accounts for, to a session that has nothing.

        Returns the offset and the time at which that session's upload begins.
        """
        self.check_rewind()
        layout = self._layout()
        begin = max(self.start, self._accounted)
        if layout is None or (self.start == 0 and begin <= len(layout.header)):
            self.confirmed = self._accounted = 0
            return 0, 0.0
        begin = min(layout.next_frame(begin), self.end)
        header = layout.header_without(begin - len(layout.header))
        self._bytes[: begin - self.start] = header
        self.start = self.confirmed = begin - len(header)
        self._accounted = begin
        return self.start, layout.seconds_at(begin)

    def _forget(self) -> None:
        """Drop what can't be asked for any more."""
        layout = self._layout()
        limit = min(self._limit_bytes, KEPT_SECONDS * layout.bytes_per_second) if layout else self._limit_bytes
        accounted = self._accounted if layout else 0
        needed = min(self.confirmed, max(accounted, self.confirmed - limit))
        if layout and needed > len(layout.header):
            needed -= (needed - len(layout.header)) % layout.frame_bytes
        if needed > self.start:
            del self._bytes[: needed - self.start]
            self.start = needed

    def _layout(self) -> Layout | None:
        """Known from the configuration, or from the first bytes, which are held until they have told."""
        if self._looks:
            is_wav = self._bytes[:1] == b"R"
            head = bytes(self._bytes[: MAX_HEADER_BYTES if is_wav else MAGIC_BYTES])
            self._known = layout_of(head, self._config)
            self._looks = self._known is None and (len(head) < MAGIC_BYTES or (is_wav and len(head) < MAX_HEADER_BYTES))
        return self._known
