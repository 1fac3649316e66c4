"""What the engine for Deepgram can be told from the environment."""

from pydantic import Field, SecretStr

from server.settings import EnvironmentSettings

NO_KEY = "Deepgram is not used: DEEPGRAM_API_KEY is not set."


class DeepgramSettings(EnvironmentSettings):
    """Each field is the variable ``STT_<NAME>``, unless it has an alias. Described in ``.env.example``."""

    deepgram_api_key: SecretStr | None = Field(None, validation_alias="DEEPGRAM_API_KEY")
    deepgram_base_url: str = Field("wss://api.deepgram.com", validation_alias="DEEPGRAM_BASE_URL")
    """Another region, or a Deepgram of your own."""
    deepgram_sessions: int | None = Field(None, ge=1)
    """Streams that the account may have at once; further sessions go to the next engine. Empty: it is tried."""
    deepgram_skip_silence: bool = False
    """Send no silence: cheaper, if Deepgram bills by audio sent."""
    deepgram_probe: bool = True
    """Try the key when the server starts."""
    deepgram_max_speed: float = Field(1.25, ge=1)
    """Times real time at which audio that has waited is sent; Deepgram allows 1.25."""
    deepgram_connect_seconds: float = Field(5.0, gt=0)
    """Time for a connection to open."""
    deepgram_silence_seconds: float = Field(10.0, gt=0)
    """Deepgram says something every second while it is sent audio; after so long without a word it is given up."""
    deepgram_ping_seconds: float = Field(0.3, gt=0)
    """Time from ping to ping. After six times as long without a message, and two pings without an answer, Deepgram is
    given up."""
    deepgram_keepalive_seconds: float = Field(4.0, gt=0, lt=10)
    """Without audio for so long: ask for what is still owed, then keep the stream open. Deepgram closes it after 10."""
    deepgram_finish_seconds: float = Field(8.0, gt=0)
    """Time that the last finals may take."""
    deepgram_breaker_failures: int = Field(5, ge=1)
    """Streams in a row without a result after which new sessions go to the next engine."""
    deepgram_breaker_seconds: float = Field(30.0, gt=0)
    """Time after which one session tries Deepgram again."""

    @property
    def missing(self) -> str | None:
        """What keeps sessions from using Deepgram, in a sentence."""
        return None if self.key() else NO_KEY

    def key(self) -> str:
        """The API key; empty where there is none."""
        return self.deepgram_api_key.get_secret_value().strip() if self.deepgram_api_key else ""
