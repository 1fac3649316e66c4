"""The engines by name, and how they are made. Another engine is a folder beside this file and a line in ``ENGINES``."""

from collections.abc import Collection
from importlib import import_module
from typing import Any, Protocol

from pydantic import ValidationError

from server.engines.base import Engine
from server.errors import EngineError
from server.settings import Settings

ENGINES: dict[str, tuple[str, str]] = {
    "deepgram": ("server.engines.deepgram.engine:DeepgramEngine", "server.engines.deepgram.settings:DeepgramSettings"),
    "local": ("server.engines.local.engine:LocalEngine", "server.engines.local.settings:LocalSettings"),
}
"""Engine and settings by name, in the order in which ``auto`` tries them. They are imported on first use: an engine
that is not used needs no package of its own, its settings never need one."""


class EngineSettings(Protocol):
    """What an engine reads of the environment."""

    @property
    def missing(self) -> str | None:
        """What keeps sessions from using the engine, in a sentence; ``None`` if nothing does."""


def engine_chain(settings: Settings) -> list[str]:
    """Names of the engines in the order in which ``auto`` tries them: those that are named, else all that can be used.

    Raises:
        EngineError: there is no engine of a name.

    """
    named = [name.strip() for name in settings.engines.split(",") if name.strip()]
    for name in named:
        if name not in ENGINES:
            raise EngineError(f"STT_ENGINES names {name!r}; there is {', '.join(ENGINES)}.", retryable=False)
    return named or [name for name in ENGINES if _settings_of(name).missing is None]


def load_engines(settings: Settings) -> dict[str, Engine]:
    """The engines of the chain, in order. Raises :class:`EngineError` naming what is missing."""
    engines: dict[str, Engine] = {}
    for name in engine_chain(settings):
        try:
            engines[name] = _imported(ENGINES[name][0])(settings, _settings_of(name))
        except ImportError as exc:
            detail = f"The engine {name!r} needs the package {exc.name!r}: pip install -r requirements.txt"
            raise EngineError(detail, retryable=False) from exc
    return engines


def notes(engines: Collection[str]) -> list[str]:
    """What an operator should know: why there are no other ``engines`` than these, in a sentence each."""
    missing = (_settings_of(name).missing for name in ENGINES if name not in engines)
    return [each for each in missing if each is not None]


def _settings_of(name: str) -> EngineSettings:
    try:
        settings: EngineSettings = _imported(ENGINES[name][1])()
    except ValidationError as exc:
        wrong = "; ".join(f"{each['loc'][0]}: {each['msg']}" for each in exc.errors(include_input=False))
        raise EngineError(f"The settings of the engine {name!r} are wrong: {wrong}.", retryable=False) from None
    return settings


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
