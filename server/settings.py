"""Settings, read once from the environment and ``.env``; no other module looks at the environment."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Each field is the variable ``STT_<NAME>``, unless it has an alias. Described in ``.env.example``."""

    model_config = SettingsConfigDict(
        env_prefix="STT_", env_file=".env", extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

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
    recognition_threads: int = Field(0, ge=0)
    """Threads for long jobs; audio has as many again. 0: as many as there are processors."""

    # --- embedded engine --------------------------------------------------------------------------------------------
    local_sessions: int = Field(0, ge=0)
    """Sessions that the embedded engine takes at once; 0: what it measures itself to be able to when it starts."""
    vosk_model: Path | None = None
    """Folder of the Korean model; empty: the packaged one."""
    vosk_pool: int = Field(0, ge=0)
    """Korean recognizers that are kept warm, made one by one after the start; 0: one for each session that the
    machine can carry. When all are in use one more is made."""
    vosk_memory_mb: int = Field(3000, ge=500)
    """While the process holds more than this, used recognizers are replaced by fresh ones, which are smaller."""

    whisper_model: str = ""
    """A folder or a hub name (``large-v3-turbo``); empty: the packaged base model."""
    whisper_device: Literal["auto", "cpu", "cuda"] = "auto"
    cache: Path = Path("~/.cache/stt-realtime")
    """Where the packaged Whisper model is put together."""

    # --- Deepgram ---------------------------------------------------------------------------------------------------
    deepgram_api_key: SecretStr | None = Field(None, validation_alias="DEEPGRAM_API_KEY")
    deepgram_base_url: str = Field("wss://api.deepgram.com", validation_alias="DEEPGRAM_BASE_URL")
    """Another region, or a Deepgram of your own."""
    deepgram_sessions: int | None = Field(None, ge=1)
    """Streams that the account may have at once; further sessions go to the next engine. Empty: try it."""
    deepgram_skip_silence: bool = False
    """Send no silence: cheaper, if Deepgram bills by audio sent."""
    deepgram_probe: bool = True
    """Try the key when the server starts."""
    deepgram_max_speed: float = Field(1.25, ge=1)
    """Times real time at which audio that has waited is sent; Deepgram allows 1.25."""
    deepgram_connect_seconds: float = Field(5.0, gt=0)
    deepgram_silence_seconds: float = Field(10.0, gt=0)
    """Deepgram says something every second while it is sent audio; after so long without a word it is given up."""
    deepgram_ping_seconds: float = Field(0.3, gt=0)
    """It is pinged so often, and given up after six times as long without a message and two pings without an answer."""
    deepgram_keepalive_seconds: float = Field(4.0, gt=0, lt=10)
    """Without audio for so long: ask for what is still owed, then keep the stream open. Deepgram closes it after 10."""
    deepgram_finish_seconds: float = Field(8.0, gt=0)
    """How long the last finals may take."""
    deepgram_breaker_failures: int = Field(5, ge=1)
    """So many streams in a row that gave no result, and new sessions go to the next engine."""
    deepgram_breaker_seconds: float = Field(30.0, gt=0)
    """After so long one session tries again."""

    def engine_chain(self) -> list[str]:
        """Names of the engines in the order in which ``auto`` tries them."""
        available = ["deepgram", "local"] if self.deepgram_key() else ["local"]
        return [name.strip() for name in self.engines.split(",") if name.strip()] or available

    def notes(self) -> list[str]:
        """What an operator should know about these settings, in a sentence each."""
        if self.deepgram_key() or "deepgram" in self.engine_chain():  # then the engine speaks for itself
            return []
        return ["DEEPGRAM_API_KEY is not set: the embedded engine recognises every session."]

    def deepgram_key(self) -> str:
        """The API key; empty where there is none."""
        return self.deepgram_api_key.get_secret_value().strip() if self.deepgram_api_key else ""
