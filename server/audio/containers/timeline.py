"""The container's own times beside the samples that were decoded: where they part, something is missing. Pure."""

from dataclasses import dataclass

from server.audio.containers.demux import Packet

GAP_SECONDS = 0.5
"""Less is not a gap: recorders round their times, and leave out packets while nobody speaks."""
MAX_GAP_SECONDS = 60.0
"""A longer jump is no time that could be true: the clock does not follow it."""


@dataclass(frozen=True, slots=True)
class Jump:
    """``seconds`` are missing before a packet. ``heard``: the packet was heard already. ``told``: it is to be told."""

    seconds: float = 0.0
    heard: bool = False
    told: bool = False


class Timeline:
    """Follows one container's times. ``numbered``: it tells of a loss itself; without one its times may be wrong."""

    def __init__(self, *, numbered: bool) -> None:
        self._numbered = numbered
        self._drift: float | None = None
        self._heard = False
        self._damaged = False

    def jump(self, packet: Packet, decoded: float | None) -> Jump:
        """``decoded``: seconds of audio that were decoded before the packet; ``None``: it is the first one."""
        self._damaged = self._damaged or packet.damaged
        if decoded is None:
            return Jump()
        if packet.time is None:
            return Jump(heard=True) if self._heard else self._told(0.0)
        drift = packet.time - decoded
        doubtful = self._damaged or self._heard or not self._numbered
        jump = drift - self._drift if doubtful and self._drift is not None else 0.0
        self._heard = -MAX_GAP_SECONDS < jump < -GAP_SECONDS
        if self._heard:
            return Jump(heard=True)
        self._drift = drift
        if not GAP_SECONDS <= jump <= MAX_GAP_SECONDS:
            return self._told(0.0)
        self._drift -= jump
        self._damaged = True
        return self._told(jump)

    def _told(self, seconds: float) -> Jump:
        damaged, self._damaged = self._damaged, False
        return Jump(seconds, told=damaged)
