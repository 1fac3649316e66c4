"""PCM, as it is or behind the header of a WAV, and what may follow the samples of a WAV."""

import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import av
from av.audio.codeccontext import AudioCodecContext

from server.audio.findings import Finding
from server.audio.formats import LAYOUTS, SampleFormat, WavHeader, raw_format
from server.audio.preludes import wav_prelude
from server.audio.resampler import MonoResampler
from server.audio.signatures import BEGINNINGS, LONGEST_BEGINNING, may_begin
from server.audio.suspicion import Suspicion
from server.engines.base import SAMPLE_RATE
from server.models import SessionConfig
from server.session_log.base import Checkpoint

CHUNK = re.compile(rb"[A-Za-z0-9_ ]{4}(.{3})[\x00-\x02]", re.DOTALL)
"""Of a WAV, behind its samples: a name and a size of at most 48 MB."""
PLAIN = SampleFormat("pcm_s16le", SAMPLE_RATE, 1, 2)


class Resampler:
    """Any raw format to 16 kHz mono PCM16: ``decode`` what comes, ``flush`` at the end."""

    def __init__(self, sample_format: SampleFormat) -> None:
        self._format = sample_format
        self._rest = b""
        self._as_is = sample_format == PLAIN
        if not self._as_is:
            self._codec = cast(AudioCodecContext, av.CodecContext.create(sample_format.codec, "r"))
            self._codec.sample_rate = sample_format.rate
            self._codec.layout = LAYOUTS[sample_format.channels]
            self._resampler = MonoResampler()

    def decode(self, data: bytes) -> bytes:
        data = self._rest + data
        whole = len(data) - len(data) % self._format.frame_bytes
        self._rest = data[whole:]
        if self._as_is or not whole:
            return data[:whole]
        frames = self._codec.decode(av.Packet(data[:whole]))
        return b"".join(self._resampler.resample(frame) for frame in frames)

    def flush(self) -> bytes:
        """What is left in the filter; a sample cut in two at the very end is dropped."""
        return b"" if self._as_is else self._resampler.resample(None)


class RawDecoder:
    """Samples from a checkpoint on. ``header``: of the WAV that begins at byte ``file_start`` of the upload.

    Behind the samples of a WAV its own chunks are passed over, and another file may follow, which is left in ``rest``.
    A header that covers only the first of the samples is believed as to their format alone.
    """

    def __init__(
        self, config: SessionConfig, checkpoint: Checkpoint, header: WavHeader | None = None, file_start: int = 0
    ) -> None:
        self._base = checkpoint
        self._fed = 0
        self._header = header
        self._format = header.format if header else raw_format(config)
        self._resampler = Resampler(self._format)
        self._held = b""
        self._skip: int | None = None  # bytes of a chunk that are passed over; ``None``: these are samples
        self._left = _bytes_left(header, file_start, checkpoint.offset)
        watched = header is None and self._format.codec == "pcm_s16le"
        self._suspicion = Suspicion(self._format, checkpoint.seconds) if watched else None
        self.findings: list[Finding] = []
        self.rest: bytes | None = None
        self.pending = False

    @property
    def is_headerless(self) -> bool:
        return self._header is None

    @property
    def seconds(self) -> float:
        return self._base.seconds + self._fed / self._format.bytes_per_second

    def decode(self, data: bytes) -> bytes:
        if self._header is None:
            return self._samples(data)
        self._held += data
        return b"".join(self._parts(ended=False))

    def flush(self) -> bytes:
        parts = b"".join(self._parts(ended=True))
        return parts + (self._resampler.flush() if self.rest is None else b"")

    def close(self) -> None:
        """Nothing is to be let go."""

    def checkpoint_at(self, seconds: float) -> Checkpoint:
        frames = max(0, round((seconds - self._base.seconds) * self._format.rate))
        frames = min(frames, self._fed // self._format.frame_bytes)
        return replace(
            self._base,
            offset=self._base.offset + frames * self._format.frame_bytes,
            seconds=seconds,
            skip_seconds=0.0,
        )

    def _samples(self, data: bytes) -> bytes:
        self._fed += len(data)
        if self._suspicion and (finding := self._suspicion.feed(data)):
            self.findings.append(finding)
        return self._resampler.decode(data)

    def _parts(self, *, ended: bool) -> Iterator[bytes]:
        """PCM of the bytes that are held, as far as it is certain what they are."""
        while self._held and self.rest is None:
            if self._skip is None and self._left != 0:
                data, self._held = self._split(ended=ended)
                self._left = None if self._left is None else self._left - len(data)
                yield self._samples(data)
                if self._left != 0:
                    break
            elif not self._pass_over(ended=ended):
                break
        if self.rest is not None:
            yield self._resampler.flush()

    def _split(self, *, ended: bool) -> tuple[bytes, bytes]:
        """The samples at the beginning of what is held, and what is not to be taken for samples yet."""
        limit = len(self._held) if self._left is None else min(self._left, len(self._held))
        found = BEGINNINGS.search(self._held)
        if found and found.start() < limit:
            self.rest = self._held[found.start() :]
            return self._held[: found.start()], b""
        if not ended:
            limit = min(limit, may_begin(self._held))
        return self._held[:limit], self._held[limit:]

    def _pass_over(self, *, ended: bool) -> bool:
        """Look at what follows the samples; ``False``: more bytes are needed."""
        if self._skip:
            passed = min(self._skip, len(self._held))
            self._held, self._skip = self._held[passed:], self._skip - passed
            return bool(self._held)
        if len(self._held) < LONGEST_BEGINNING and not ended:
            return False
        if len(self._held) < 8:  # the byte that makes a chunk even
            self._held = b""
            return False
        if found := BEGINNINGS.search(self._held) if self._skip == 0 else BEGINNINGS.match(self._held):
            self.rest, self._held = self._held[found.start() :], b""
        elif chunk := CHUNK.match(self._held):
            (size,) = struct.unpack_from("<I", self._held, 4)
            self._skip = size + size % 2
            self._held = self._held[chunk.end() :]
        elif self._skip is None:
            self._left = None  # the header knew of the first samples only
        else:
            self._held = b"" if ended else self._held[may_begin(self._held) :]
            return False
        return True


def _bytes_left(header: WavHeader | None, file_start: int, offset: int) -> int | None:
    """Of the samples that the header tells of; ``None``: it does not bound them."""
    if header is None or header.audio_bytes is None:
        return None
    left = file_start + header.length + header.audio_bytes - offset
    return left if left >= 0 else None


def prelude_of(head: bytes, file_start: int) -> bytes:
    """The prelude of a WAV whose header is ``head``."""
    return wav_prelude(file_start, head) if file_start else head
