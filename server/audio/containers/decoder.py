"""Compressed audio to 16 kHz mono PCM as it arrives, and places in it where decoding can begin again.

A demuxer of ours takes the container apart, FFmpeg (PyAV) decodes the packets. The audio clock counts decoded samples;
the container's own timestamps are not looked at.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from math import gcd
from typing import Any, cast

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from server.audio.containers.demux import Codec, Ended, Packet, Packets, Place, Source
from server.audio.containers.frames import demux_flac, demux_mpeg
from server.audio.containers.mp4 import demux_mp4
from server.audio.containers.ogg import demux_ogg
from server.audio.containers.webm import demux_webm
from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE
from server.errors import AudioError
from server.session_log.base import Checkpoint

DEMUXERS: dict[str, Callable[[Source], Packets]] = {
    "WebM": demux_webm,
    "Ogg": demux_ogg,
    "MP4": demux_mp4,
    "FLAC": demux_flac,
    "MP3": demux_mpeg,
    "AAC": demux_mpeg,
}
WARM_UP_SECONDS = 0.5
"""Time after which a decoder that began in the middle gives the same samples as one that began at the start."""
PLACE_SECONDS = 0.25
MAX_PLACES = 4_096
MAX_FAILURES = 50
"""Packets in a row that may fail before the audio counts as damaged."""
MAX_CHANNELS = 8
RATES = range(4_000, 192_001)
FREE_BYTES = 16_777_216
BYTES_PER_BYTE = 4_096
"""Bytes of PCM that a byte of an upload may become, beside ``FREE_BYTES`` for all of it. A quarter of an hour of
digital silence keeps to that; an upload that does not is made to fill the memory."""


@dataclass(frozen=True, slots=True)
class _Point:
    """``sample``: number, in the codec's own rate, of the first sample from a decoder that begins at ``place``."""

    sample: int
    place: Place


class ContainerDecoder:
    """One upload in a container, from a checkpoint on.

    :meth:`checkpoint_at` may be called while another thread is in :meth:`decode`.
    """

    def __init__(self, container: str, checkpoint: Checkpoint) -> None:
        self._container = container
        self._base = checkpoint
        self._source = Source(checkpoint.prelude, checkpoint.offset)
        self._packets = DEMUXERS[container](self._source)
        self._codec: Codec | None = None
        self._context: AudioCodecContext | None = None
        self._resampler: _Resampler | None = None
        self._last: av.AudioFrame | None = None
        self._failures = 0
        self._damage: AudioError | None = None
        self._sample = 0
        self._given = 0
        self._allowed = FREE_BYTES
        self._lock = threading.Lock()
        self._points: deque[_Point] = deque()
        self._rate = 0

    @property
    def seconds(self) -> float:
        """Time on the audio clock up to which PCM has been given."""
        return self._base.seconds + self._given / BYTES_PER_SECOND

    def decode(self, data: bytes) -> bytes:
        """PCM of what has become whole. Raises :class:`AudioError` when there is none before the damage."""
        if self._damage is not None:
            raise self._damage
        self._source.feed(data)
        self._allowed = min(self._allowed, FREE_BYTES) + BYTES_PER_BYTE * len(data)
        pcm = bytearray()
        try:
            self._decode_into(pcm)
        except AudioError as exc:
            if not pcm:
                raise
            self._damage = exc  # told at the next call: what came before it is good
        self._allowed -= len(pcm)
        self._given += len(pcm)
        return bytes(pcm)

    def flush(self) -> bytes:
        """PCM of what is left; nothing comes after it. Raises :class:`AudioError` when there was no audio at all."""
        self._source.end()
        pcm = self.decode(b"")
        if self._resampler is None or self._context is None:
            if self._base.prelude and not self._failures:
                return pcm
            raise AudioError(f"The {self._container} upload ended before its audio began.")
        with suppress(av.FFmpegError):  # what had been decoded stays
            pcm += b"".join(self._pcm(frame) for frame in self._context.decode(None))
        return pcm + self._resampler.flush()

    def checkpoint_at(self, seconds: float) -> Checkpoint:
        """A place before this time, far enough for a decoder to warm up, and how much it has to drop then."""
        with self._lock:
            latest = (seconds - WARM_UP_SECONDS) * self._rate
            while len(self._points) > 1 and self._points[1].sample <= latest:
                self._points.popleft()
            point = self._points[0] if self._points and self._points[0].sample <= latest else None
        if point is None:
            skip = self._base.skip_seconds + seconds - self._base.seconds
            return replace(self._base, seconds=seconds, skip_seconds=skip)
        skip = seconds - point.sample / self._rate
        return Checkpoint(point.place.offset, seconds, point.place.prelude, self._base.engine, skip)

    def _decode_into(self, pcm: bytearray) -> None:
        with suppress(Ended):
            for packet in self._packets:
                if packet is None:
                    return
                pcm += self._decoded(packet)
                if len(pcm) > self._allowed:
                    raise AudioError(f"The {self._container} audio is longer than its bytes can be.")

    def _decoded(self, packet: Packet) -> bytes:
        if not packet.data:  # an empty packet would tell a decoder that nothing follows
            return b""
        if packet.codec != self._codec or self._context is None:
            self._codec, self._context = packet.codec, self._open(packet.codec)
        try:
            frames = self._context.decode(av.Packet(packet.data))
            self._failures = 0
        except av.FFmpegError as exc:
            self._failures += 1
            if self._failures > MAX_FAILURES:
                raise AudioError(f"The {self._container} audio can't be decoded.") from exc
            frames = [_silence_like(self._last)] if self._last else []
        pcm = b"".join(self._pcm(frame) for frame in frames)
        if packet.place and self._resampler:
            first = self._sample - (0 if packet.codec.lead_in else sum(frame.samples for frame in frames))
            self._add_point(_Point(first, packet.place))
        return pcm

    def _open(self, codec: Codec) -> AudioCodecContext:
        context = cast(AudioCodecContext, av.CodecContext.create(codec.name, "r"))
        context.thread_count = 1
        if codec.extradata:
            context.extradata = codec.extradata
        if codec.channels:
            _check_format(codec.rate, codec.channels)
            context.sample_rate, context.layout = codec.rate, f"{codec.channels}c"
        try:
            context.open()
        except av.FFmpegError as exc:
            raise AudioError(f"The header of the {self._container} audio is damaged.") from exc
        return context

    def _pcm(self, frame: av.AudioFrame) -> bytes:
        if self._resampler is None:
            _check_format(frame.sample_rate, frame.layout.nb_channels)
            self._rate = frame.sample_rate
            self._sample = self._first_sample()
            self._resampler = _Resampler(self._rate, self._sample, self._base.seconds)
        if frame.sample_rate != self._rate:
            raise AudioError(f"The {self._container} audio changes its sample rate.")
        first, self._sample, self._last = self._sample, self._sample + frame.samples, frame
        return self._resampler.convert(frame, first)

    def _first_sample(self) -> int:
        """The number of the first sample that is decoded."""
        if self._base.prelude:
            return round((self._base.seconds - self._base.skip_seconds) * self._rate)
        return -self._codec.skip if self._codec else 0

    def _add_point(self, point: _Point) -> None:
        with self._lock:
            if not self._points or point.sample - self._points[-1].sample >= PLACE_SECONDS * self._rate:
                self._points.append(point)
            if len(self._points) > MAX_PLACES:
                self._points = deque(list(self._points)[::2])


class _Resampler:
    """Decoded frames to PCM from ``seconds`` on. ``first`` is the number of the first decoded sample.

    It begins at a sample of the codec that coincides with one of the PCM, so that it gives the same samples wherever
    it begins.
    """

    def __init__(self, rate: int, first: int, seconds: float) -> None:
        step = rate // gcd(rate, SAMPLE_RATE)
        self._begin = -(-max(first, 0) // step) * step
        early = round(seconds * SAMPLE_RATE) - self._begin * SAMPLE_RATE // rate
        self._missing = bytes(max(0, -early) * 2)
        self._drop = max(0, early) * 2
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)

    def convert(self, frame: av.AudioFrame, first: int) -> bytes:
        """PCM of a frame whose first sample has the number ``first``."""
        before = self._begin - first
        if before >= frame.samples:
            return b""
        frame = _without_first(frame, before) if before > 0 else frame
        frame.pts = None
        return self._wanted(frame)

    def flush(self) -> bytes:
        return self._wanted(None)

    def _wanted(self, frame: av.AudioFrame | None) -> bytes:
        try:
            parts = self._resampler.resample(frame)
        except (ValueError, av.FFmpegError) as exc:
            raise AudioError("The audio changes its channels or its sample format.") from exc
        pcm = b"".join(np.asarray(part.to_ndarray(), "<i2").tobytes() for part in parts)
        wanted, self._drop = pcm[self._drop :], max(0, self._drop - len(pcm))
        if wanted and self._missing:
            wanted, self._missing = self._missing + wanted, b""
        return wanted


def _check_format(rate: int, channels: int) -> None:
    if rate not in RATES or not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"Audio with {channels} channels at {rate} Hz is not supported.")


def _silence_like(frame: av.AudioFrame) -> av.AudioFrame:
    return _frame_like(frame, frame.to_ndarray() * 0)


def _without_first(frame: av.AudioFrame, samples: int) -> av.AudioFrame:
    values = samples if frame.format.is_planar else samples * frame.layout.nb_channels
    return _frame_like(frame, np.ascontiguousarray(frame.to_ndarray()[:, values:]))


def _frame_like(frame: av.AudioFrame, samples: Any) -> av.AudioFrame:
    try:
        made = av.AudioFrame.from_ndarray(samples, frame.format.name, frame.layout.name)
    except (ValueError, av.FFmpegError) as exc:
        raise AudioError(f"Audio with the channels {frame.layout.name[:40]!r} is not supported.") from exc
    made.sample_rate = frame.sample_rate
    return made
