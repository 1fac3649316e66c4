"""Which of Deepgram's messages answers a flush. A Finalize has no answer of its own, often none at all. Pure."""

from dataclasses import dataclass

from server.engines.deepgram.messages import Message, Results
from server.engines.deepgram.utterances import TOLERANCE_SECONDS

FLUSH_SECONDS = 2.0
"""Time without a message after which no answer to a Finalize will come. With hardly any audio there is none."""
MOST_UNHEARD_SECONDS = 1.5
"""Audio that may have no result yet although Deepgram has heard it: interims come every second of audio. With more
than this, Deepgram is still at work."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A flush at ``through``, a time of the session, where ``sent`` seconds had been sent on the connection.

    ``finalized``: seconds sent at the Finalize before this one. No audio follows until the mark is answered.
    """

    through: float
    sent: float
    finalized: float | None

    def is_answered_by(self, message: Message) -> bool:
        """Whether nothing more is to come for the audio before the mark.

        The answer of the Finalize before may still be on its way. It says nothing of the audio sent since then.
        """
        if not isinstance(message, Results) or not message.is_final:
            return False
        if message.end >= self.sent - TOLERANCE_SECONDS:
            return True
        same_audio = self.finalized is None or self.finalized >= self.sent - TOLERANCE_SECONDS
        return message.from_finalize and (same_audio or message.end > (self.finalized or 0.0) + TOLERANCE_SECONDS)
