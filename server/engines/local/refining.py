"""Whether the machine has time to refine interims. It is the first thing that is left off."""

MOST = 2
"""Sessions in which somebody speaks while interims are refined, until the engine has measured what it costs."""


class Refining:
    """Shared by all streams: who speaks at the moment. ``most``: how many may, so that there is time."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._speaking: set[int] = set()

    def begin(self, who: object) -> None:
        self._speaking.add(id(who))

    def end(self, who: object) -> None:
        self._speaking.discard(id(who))

    def has_time(self) -> bool:
        return len(self._speaking) <= self.most
