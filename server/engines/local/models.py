"""What the embedded engine loads once, and all its streams share."""

from dataclasses import dataclass, field

from server.engines.local.choice import Weights
from server.engines.local.refining import Refining
from server.engines.local.vosk import Vosk
from server.engines.local.whisper import Whisper
from server.engines.speech.vad import VoiceActivityDetector


@dataclass(frozen=True, slots=True)
class Models:
    """Safe to be shared by threads."""

    vad: VoiceActivityDetector
    vosk: Vosk
    whisper: Whisper
    weights: Weights = Weights()
    refining: Refining = field(default_factory=Refining)
