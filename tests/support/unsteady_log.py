"""A session log that is away now and then, as one across a network is."""

from random import Random
from typing import Any

from server.errors import LogUnavailable
from server.session_log.memory import MemorySessionLog

CHANCE = Random(5)
METHODS = frozenset(
    {
        "append_audio",
        "append_events",
        "claim",
        "create",
        "finish_audio",
        "mark_flush",
        "open_by_engine",
        "purge",
        "read_audio",
        "read_events",
        "renew",
        "state",
        "sweep",
        "wait_for_room",
    }
)


class UnsteadyLog(MemorySessionLog):
    """``away``: no call is answered. ``share``: of the calls that a steady one would answer, so many are not."""

    away = False
    share = 0.0
    refused = 0

    def __getattribute__(self, name: str) -> Any:
        if name in METHODS and (self.away or CHANCE.random() < self.share):
            self.refused += 1
            return _refuse
        return super().__getattribute__(name)


async def _refuse(*_: object, **__: object) -> None:
    raise LogUnavailable
