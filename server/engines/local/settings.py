"""What the embedded engine can be told from the environment."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from server.settings import EnvironmentSettings


class LocalSettings(EnvironmentSettings):
    """Each field is the variable ``STT_<NAME>``. Described in ``.env.example``."""

    local_sessions: int = Field(0, ge=0)
    """Sessions that the engine takes at once; 0: as many as it finds, when it starts, that this machine can carry."""
    recognition_threads: int = Field(0, ge=0)
    """Threads for long jobs, and as many again for audio. 0: as many as there are processors."""
    vosk_model: Path | None = None
    """Folder of the Korean model; empty: the packaged one."""
    vosk_pool: int = Field(0, ge=0)
    """Korean recognizers that are kept warm, made one by one after the start; 0: one for each session that the
    machine can carry. When all are in use, one more is made."""
    vosk_memory_mb: int = Field(3000, ge=500)
    """While the process holds more than this, used recognizers are replaced by fresh ones, which are smaller."""
    whisper_model: str = ""
    """A folder or a hub name (``large-v3-turbo``); empty: the packaged base model."""
    whisper_device: Literal["auto", "cpu", "cuda"] = "auto"
    cache: Path = Path("~/.cache/stt-realtime")
    """Folder in which the packaged Whisper model is put together."""

    @property
    def missing(self) -> None:
        """The engine needs nothing that could be missing."""
