"""What the tests of the API upload: three sentences, raw or as JSON."""

import base64
from typing import Any

from tests.support.fake_engine import speech

SENTENCES = ([1, 2], [3, 4, 5], [6])
PCM = speech(*SENTENCES)


def as_json(pcm: bytes, **fields: Any) -> dict[str, Any]:
    return {"audio_data": base64.b64encode(pcm).decode(), **fields}
