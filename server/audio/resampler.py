"""Decoded frames of any rate and layout to 16 kHz mono PCM. Two channels are mixed so that they never cancel out."""

import av
import numpy as np

from server.engines.base import SAMPLE_RATE
from server.errors import AudioError

BLOCK_SAMPLES = SAMPLE_RATE // 50
"""For so long one way to mix two channels is kept."""
CANCELLED = 0.1
"""Power of the mix over that of the louder channel: with less, the channels are each other's opposites."""


class MonoResampler:
    """``resample`` what comes, ``None`` at the end: PCM of what has become whole."""

    def __init__(self) -> None:
        self._resampler: av.AudioResampler | None = None
        self._stereo = False
        self._held = b""

    def resample(self, frame: av.AudioFrame | None) -> bytes:
        """Raises :class:`AudioError` where the frames change their kind."""
        if self._resampler is None:
            if frame is None:
                return b""
            self._stereo = frame.layout.nb_channels == 2
            layout = "stereo" if self._stereo else "mono"
            self._resampler = av.AudioResampler(format="s16", layout=layout, rate=SAMPLE_RATE)
        try:
            parts = self._resampler.resample(frame)
        except (ValueError, av.FFmpegError) as exc:
            raise AudioError("The audio changes its channels or its sample format.") from exc
        pcm = b"".join(np.asarray(part.to_ndarray(), "<i2").tobytes() for part in parts)
        return self._mixed(pcm, ended=frame is None) if self._stereo else pcm

    def _mixed(self, pcm: bytes, *, ended: bool) -> bytes:
        """Blocks are counted from the first sample, so that cuts change nothing."""
        pcm = self._held + pcm
        whole = len(pcm) if ended else len(pcm) - len(pcm) % (4 * BLOCK_SAMPLES)
        self._held = pcm[whole:]
        samples = np.frombuffer(pcm[:whole], "<i2").reshape(-1, 2).astype(np.int32)
        full = len(samples) - len(samples) % BLOCK_SAMPLES
        mixed = [mix(samples[:full].reshape(-1, BLOCK_SAMPLES, 2)), mix(samples[None, full:])]
        return b"".join(each.astype("<i2").tobytes() for each in mixed)


def mix(blocks: np.ndarray) -> np.ndarray:
    """Of each block of two channels the mean, or the louder channel where the mean is next to nothing."""
    if not blocks.size:
        return blocks[..., 0]
    mean = blocks.sum(axis=2) // 2
    powers = (blocks.astype(float) ** 2).sum(axis=1)
    cancelled = (mean.astype(float) ** 2).sum(axis=1) < CANCELLED * powers.max(axis=1)
    louder = np.take_along_axis(blocks, powers.argmax(axis=1)[:, None, None], axis=2)[..., 0]
    return np.where(cancelled[:, None], louder, mean)
