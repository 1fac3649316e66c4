"""The session logs by name, and how one is made. Another log is a module beside this one and a line in ``LOGS``."""

from importlib import import_module

from server.errors import CannotStart
from server.session_log.base import SessionLog
from server.settings import Settings

LOGS: dict[str, str] = {"memory": "server.session_log.memory:MemorySessionLog"}
"""Log by the scheme of ``STT_SESSION_LOG``; imported on first use, so that an unused one needs no package."""


def make_log(settings: Settings) -> SessionLog:
    """The log that the settings name. Raises :class:`CannotStart` naming what is wrong with the name."""
    scheme = settings.session_log.partition(":")[0]
    if scheme not in LOGS:
        known = ", ".join(f"{name}:" for name in LOGS)
        raise CannotStart(f"STT_SESSION_LOG begins with {scheme[:20]!r}; there is {known}")
    module, _, name = LOGS[scheme].partition(":")
    log: SessionLog = getattr(import_module(module), name).of(settings)
    return log
