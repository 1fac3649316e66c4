"""How far ahead of real time one session may be fed, so that no upload takes the processors from all others. Pure."""

AHEAD_SECONDS = 60.0
"""Audio that is fed as fast as the recognizer takes it."""
SPEED = 16.0
"""Behind that: seconds of audio in a second. Speech takes longer to recognise; silence would not."""


class Pace:
    """One session's; times are those of the event loop."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._since: float | None = None

    def wait_seconds(self, audio_seconds: float, now: float) -> float:
        """Count audio that is about to be fed, and say how long to wait before."""
        passed = 0.0 if self._since is None else now - self._since
        self._since = now
        self._ahead = max(0.0, self._ahead - passed * SPEED) + audio_seconds
        return max(0.0, (self._ahead - AHEAD_SECONDS) / SPEED)
