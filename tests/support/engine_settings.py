"""Engines with settings that a test gives, whatever the environment says."""

from typing import Any

from pydantic_settings import BaseSettings

from server.engines.deepgram.engine import DeepgramEngine
from server.engines.deepgram.settings import DeepgramSettings
from server.engines.local.engine import LocalEngine
from server.engines.local.settings import LocalSettings
from tests.support.servers import settings_of


def local_settings(**values: Any) -> LocalSettings:
    return LocalSettings(_env_file=None, **values)


def deepgram_settings(**values: Any) -> DeepgramSettings:
    return DeepgramSettings(_env_file=None, **values)


def local_engine(**values: Any) -> LocalEngine:
    """``values`` are the engine's own settings and those that all engines share."""
    own, shared = split(LocalSettings, values)
    return LocalEngine(settings_of(**shared), local_settings(**own))


def deepgram_engine(**values: Any) -> DeepgramEngine:
    """``values`` are the engine's own settings and those that all engines share."""
    own, shared = split(DeepgramSettings, values)
    return DeepgramEngine(settings_of(**shared), deepgram_settings(**own))


def split(settings: type[BaseSettings], values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those of the ``values`` that are fields of the ``settings``, and the rest."""
    own = {name: value for name, value in values.items() if name in settings.model_fields}
    return own, {name: value for name, value in values.items() if name not in own}
