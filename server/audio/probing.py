"""FFmpeg's own opinion of the first bytes of an upload. Blocks for about a millisecond."""

import io

import av

from server.audio.containers.foreign import OPTIONS
from server.audio.signatures import has_magic, like_pcm
from server.errors import AudioError

RATES = frozenset(
    {8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000, 176_400, 192_000}
)
"""Where FFmpeg sees another one, it has taken noise for a format."""
NAMES = {"mp3": "MPEG audio", "aac": "AAC", "ac3": "AC-3", "eac3": "E-AC-3", "dts": "DTS", "wav": "WAV"}


def probed(head: bytes) -> tuple[str, str] | None:
    """Name and FFmpeg's name of the format that these bytes are in; ``None``: they are in none that is known.

    Raises:
        AudioError: they are something that has no sound.

    """
    try:
        with av.open(io.BytesIO(head), "r", options=OPTIONS) as opened:
            form = opened.format.name.partition(",")[0]
            audio = next(iter(opened.streams.audio), None)
            rate = audio.codec_context.sample_rate if audio and audio.codec_context else 0
            moving = any(stream.codec_context and stream.codec_context.width for stream in opened.streams.video)
            name = NAMES.get(form, opened.format.long_name[:60])
    except (av.FFmpegError, ValueError, OSError):
        return None
    samples = like_pcm(head) and not has_magic(head)
    if samples or (rate not in RATES and not moving):
        return None
    if not rate:
        raise AudioError(f"This is {name} without sound. Send the bytes of an audio or video file.")
    return name, form
