"""Settings, read once from the environment and ``.env``; no other module looks at the environment."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class EnvironmentSettings(BaseSettings):
    """Where settings come from. An engine that has some of its own adds a class beside it."""

    model_config = SettingsConfigDict(
        env_prefix="STT_", env_file=".env", extra="ignore", populate_by_name=True, env_ignore_empty=True
    )


class Settings(EnvironmentSettings):
    """Each field is the variable ``STT_<NAME>``, unless it has an alias. Described in ``.env.example``."""

    engines: str = ""
    """Comma-separated chain for ``engine: auto`` and for failover. Empty: what is available."""

    cors_origins: str = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
    """Regular expression of the origins that may call from a browser."""

    session_log: str = "memory:"
    """Where sessions are kept, as a URL whose scheme is one of ``server.session_log.registry.LOGS``."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    web_concurrency: int = Field(1, validation_alias="WEB_CONCURRENCY")
    """Set by process managers; more than one process needs a log that they share."""

    # --- limits -----------------------------------------------------------------------------------------------------
    max_sessions: int = Field(32, ge=1)
    max_chunk_bytes: int = Field(1_048_576, ge=1_024)
    """Decoded bytes of one JSON upload."""
    max_body_bytes: int = Field(67_108_864, ge=1_024)
    """Declared length of one raw upload; a chunked one without a length has no bound of its own."""
    max_backlog_seconds: float = Field(30.0, ge=5)
    """Audio that an upload may be ahead of the recognizer."""
    upload_idle_seconds: float = Field(30.0, gt=0)
    """A body that sends nothing for so long is given up (408)."""
    finish_seconds: float = Field(60.0, gt=0)
    """How long DELETE waits for the last finals before it answers 202."""
    idle_seconds: float = Field(300.0, gt=0)
    """A session without audio and without reader is finished after this."""
    max_session_seconds: float = Field(12 * 3600.0, gt=0)
    retention_seconds: float = Field(600.0, ge=0)
    """How long an ended session can still be read."""

    # --- stream -----------------------------------------------------------------------------------------------------
    heartbeat_seconds: float = Field(1.0, gt=0)
    retry_ms: int = Field(1000, ge=0)
    """Told to EventSource: how long to wait before it reconnects."""
    send_timeout_seconds: float = Field(30.0, gt=0)
    """A reader that takes nothing for so long is cut off; it can come back with Last-Event-ID."""

    # --- recognition ------------------------------------------------------------------------------------------------
    engine_timeout_seconds: float = Field(20.0, gt=0)
    """A recognizer that takes no audio, or ends no stream, for so long is replaced."""
    engine_retries: int = Field(3, ge=0)
    """How often a recognizer is reopened without a final in between."""
    engine_outage_seconds: float = Field(60.0, ge=0)
    """How long a session without another engine waits for a service that is away; its audio is kept meanwhile."""
    lease_seconds: float = Field(5.0, gt=0)
    drain: Literal["release", "finish"] = "release"
    """What a stop does with open sessions where the log survives it: leave them to who comes next, or finish them."""
    drain_seconds: float = Field(0.7, ge=0)
    """At shutdown: time for the last finals of the sessions that are finished."""
    endpointing_ms: int | None = Field(None, ge=100, le=5000)
    """Silence that ends an utterance, where the session does not say. Empty: by language."""
    max_utterance_seconds: float = Field(28.0, ge=5)
