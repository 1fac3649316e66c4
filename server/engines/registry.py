"""The engines by name, and how they are made. Another engine is a folder beside this file and a line in ``ENGINES``."""

from importlib import import_module

from server.engines.base import Engine
from server.errors import EngineError
from server.settings import Settings

ENGINES: dict[str, str] = {
    "deepgram": "server.engines.deepgram.engine:DeepgramEngine",
    "local": "server.engines.local.engine:LocalEngine",
}
"""Engine by name; imported on first use, so an engine that is not used needs no package of its own."""


def load_engines(settings: Settings) -> dict[str, Engine]:
    """The engines of the settings' chain, in order. Raises :class:`EngineError` naming what is missing."""
    engines: dict[str, Engine] = {}
    for name in settings.engine_chain():
        if name not in ENGINES:
            raise EngineError(f"STT_ENGINES names {name!r}; there is {', '.join(ENGINES)}.", retryable=False)
        module, _, factory = ENGINES[name].partition(":")
        try:
            engines[name] = getattr(import_module(module), factory)(settings)
        except ImportError as exc:
            detail = f"The engine {name!r} needs the package {exc.name!r}: pip install -r requirements.txt"
            raise EngineError(detail, retryable=False) from exc
    return engines
