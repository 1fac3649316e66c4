"""From uploaded bytes to 16 kHz mono PCM, incrementally, and back from a time to a byte. No asyncio, no I/O."""

from dataclasses import replace
from typing import cast

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from server.audio.containers.decoder import ContainerDecoder
from server.audio.containers.frames import is_certain
from server.audio.formats import (
    LAYOUTS,
    MAGIC_BYTES,
    SampleFormat,
    WavHeader,
    container_of,
    parse_wav_header,
    raw_format,
)
from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE
from server.errors import AudioError
from server.models import SessionConfig
from server.session_log.base import Checkpoint

COMPRESSED_SLICE_BYTES, RAW_SLICE_BYTES = 4_096, 2 * BYTES_PER_SECOND
"""How much of an upload is decoded at once: a few bytes of compressed audio may hold minutes."""


class Resampler:
    """Any raw format to 16 kHz mono PCM16: ``decode`` what comes, ``flush`` at the end."""

    def __init__(self, sample_format: SampleFormat) -> None:
        self._format = sample_format
        self._rest = b""
        self._as_is = sample_format == SampleFormat("pcm_s16le", SAMPLE_RATE, 1, 2)
        if not self._as_is:
            self._codec = cast(AudioCodecContext, av.CodecContext.create(sample_format.codec, "r"))
            self._codec.sample_rate = sample_format.rate
            self._codec.layout = LAYOUTS[sample_format.channels]
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)

    def decode(self, data: bytes) -> bytes:
        data = self._rest + data
        whole = len(data) - len(data) % self._format.frame_bytes
        self._rest = data[whole:]
        if self._as_is or not whole:
            return data[:whole]
        frames = self._codec.decode(av.Packet(data[:whole]))
        return b"".join(self._pcm(frame) for frame in frames)

    def flush(self) -> bytes:
        """What is left in the filter; a sample cut in two at the very end is dropped."""
        return b"" if self._as_is else self._pcm(None)

    def _pcm(self, frame: av.AudioFrame | None) -> bytes:
        resampled = self._resampler.resample(frame)
        return b"".join(np.asarray(part.to_ndarray(), "<i2").tobytes() for part in resampled)


class RawDecoder:
    """PCM, as it is or behind the ``header`` of a WAV, from a checkpoint on."""

    def __init__(self, config: SessionConfig, checkpoint: Checkpoint, header: WavHeader | None = None) -> None:
        self._base = checkpoint
        self._fed = 0
        self._format = header.format if header else raw_format(config)
        self._resampler = Resampler(self._format)
        self._audio_bytes: int | None = None
        if header and header.audio_bytes is not None:
            self._audio_bytes = max(0, header.length + header.audio_bytes - checkpoint.offset)

    @property
    def seconds(self) -> float:
        return self._base.seconds + self._fed / self._format.bytes_per_second

    def decode(self, data: bytes) -> bytes:
        if self._audio_bytes is not None:  # what follows the samples of a WAV is no audio
            data = data[: self._audio_bytes]
            self._audio_bytes -= len(data)
        self._fed += len(data)
        return self._resampler.decode(data)

    def flush(self) -> bytes:
        return self._resampler.flush()

    def checkpoint_at(self, seconds: float) -> Checkpoint:
        frames = max(0, round((seconds - self._base.seconds) * self._format.rate))
        frames = min(frames, self._fed // self._format.frame_bytes)
        return replace(self._base, offset=self._base.offset + frames * self._format.frame_bytes, seconds=seconds)


class AudioDecoder:
    """One session's upload from a checkpoint on: ``decode``, ``flush``, and the byte that belongs to a time.

    ``position`` is the offset in the upload of the next byte to be fed.
    """

    def __init__(self, config: SessionConfig, checkpoint: Checkpoint) -> None:
        self.position = checkpoint.offset
        self._config = config
        self._base = checkpoint
        self._held = b""
        self._decoder: RawDecoder | ContainerDecoder | None = None
        container = container_of(checkpoint.prelude)
        if container == "WAV":
            self._decoder = RawDecoder(config, checkpoint, parse_wav_header(checkpoint.prelude))
        elif container:
            self._decoder = ContainerDecoder(container, checkpoint)
        elif config.encoding != "auto" or checkpoint.offset:
            self._decoder = RawDecoder(config, checkpoint)

    @property
    def is_raw(self) -> bool:
        """Whether the upload is plain samples, whose decoding takes next to no time."""
        return isinstance(self._decoder, RawDecoder)

    @property
    def slice_bytes(self) -> int:
        """How much to feed at once."""
        return RAW_SLICE_BYTES if self.is_raw else COMPRESSED_SLICE_BYTES

    @property
    def seconds(self) -> float:
        """Time on the audio clock up to which bytes have been fed."""
        return self._decoder.seconds if self._decoder else self._base.seconds

    def decode(self, data: bytes) -> bytes:
        """PCM of the next bytes of the upload. Raises :class:`AudioError`."""
        self.position += len(data)
        if self._decoder is None:
            self._held += data
            self._decoder = self._detect()
            if self._decoder is None:
                return b""
            data, self._held = self._held[self._base.offset :], b""  # the decoder of a WAV knows the header already
        return self._decoder.decode(data)

    def flush(self) -> bytes:
        """PCM of what is still held back; nothing comes after it. Raises :class:`AudioError`."""
        held = b""
        if self._decoder is None:
            if container_of(self._held) and is_certain(self._held):
                raise AudioError("The upload ended inside its header.")
            self._decoder, held = RawDecoder(self._config, self._base), self._held
        return self._decoder.decode(held) + self._decoder.flush()

    def checkpoint_at(self, seconds: float) -> Checkpoint:
        """The place in the upload that belongs to a time on the audio clock."""
        return self._decoder.checkpoint_at(seconds) if self._decoder else self._base

    def _detect(self) -> RawDecoder | ContainerDecoder | None:
        """The decoder for what begins with the bytes that are held; ``None`` while they don't tell."""
        if len(self._held) < MAGIC_BYTES or not is_certain(self._held):
            return None
        container = container_of(self._held)
        if container is None:
            return RawDecoder(self._config, self._base)
        if container != "WAV":
            return ContainerDecoder(container, self._base)
        header = parse_wav_header(self._held)
        if header is None:
            return None
        self._base = replace(self._base, offset=header.length, prelude=self._held[: header.length])
        return RawDecoder(self._config, self._base, header)
