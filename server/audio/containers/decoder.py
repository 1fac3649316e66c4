"""Compressed audio to 16 kHz mono PCM as it arrives, and places in it where decoding can begin again.

A demuxer takes the container apart, FFmpeg (PyAV) decodes the packets. The audio clock counts decoded samples. Where
the container's own times jump, something is missing: silence takes its place, so that the clock jumps with them.
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

from server.audio.containers.demux import AnotherFile, Codec, Ended, Packet, Packets, Place, Source
from server.audio.containers.timeline import GAP_SECONDS, Timeline
from server.audio.findings import Finding, gap, unreadable
from server.audio.resampler import MonoResampler
from server.engines.base import BYTES_PER_SECOND, SAMPLE_RATE
from server.errors import AudioError
from server.session_log.base import Checkpoint

WARM_UP_SECONDS = 0.5
"""Time after which a decoder that began in the middle gives the same samples as one that began at the start."""
PLACE_SECONDS = 0.25
MAX_PLACES = 4_096
MAX_FAILURES = 50
"""Packets in a row that may fail before the audio counts as damaged."""
MANY_FAILURES = 10
MAX_CHANNELS = 8
RATES = range(4_000, 192_001)
STEP_BYTES = 4 * BYTES_PER_SECOND
"""PCM that is given at once: a few bytes may stand for hours."""
MAX_LOST_BYTES = 65_536
"""Unreadable bytes that are passed over before that is told, though audio may yet follow."""
MAX_KEPT_BYTES = 67_108_864
"""Bytes that are kept, until the session ends, of an upload that can be decoded from its beginning alone."""


@dataclass(frozen=True, slots=True)
class _Point:
    """``sample``: number, in the codec's own rate, of the first sample from a decoder that begins at ``place``."""

    sample: int
    place: Place


class ContainerDecoder:
    """One file in a container, from a checkpoint on.

    ``header``: what of the checkpoint's prelude is the container's. ``resumes``: decoding goes on in the middle, at a
    place that a decoder before this one has found. ``start``: where the file begins on the audio clock, in seconds.
    :meth:`checkpoint_at` may be called while another thread is in :meth:`decode`.
    """

    def __init__(
        self,
        container: str,
        demux: Callable[[Source], Packets],
        checkpoint: Checkpoint,
        *,
        header: bytes = b"",
        resumes: bool = False,
        start: float = 0.0,
    ) -> None:
        self._container = container
        self._base = checkpoint
        self._start = start
        self._resumes = resumes
        self._source = Source(header, checkpoint.offset)
        self._packets = demux(self._source)
        self._codec: Codec | None = None
        self._context: AudioCodecContext | None = None
        self._resampler: _Resampler | None = None
        self._last: av.AudioFrame | None = None
        self._failures = 0
        self._failed_samples = 0
        self._damage: AudioError | None = None
        self._sample = 0
        self._given = 0
        self._lock = threading.Lock()
        self._points: deque[_Point] = deque()
        self._rate = 0
        self._timeline = Timeline(numbered=container == "Ogg")
        self._lost_told = False
        self.findings: list[Finding] = []
        """What a client is to be told; who tells it takes it out."""
        self.rest: bytes | None = None
        """Bytes of another file that begins behind this one."""
        self.pending = False
        """There is more PCM in what was fed: ask :meth:`decode` again, with nothing."""

    @property
    def seconds(self) -> float:
        """Time on the audio clock up to which PCM has been given."""
        return self._base.seconds + self._given / BYTES_PER_SECOND

    def decode(self, data: bytes) -> bytes:
        """PCM of what has become whole. Raises :class:`AudioError` when there is none before the damage."""
        if self._damage is not None:
            raise self._damage
        self._source.feed(data)
        pcm = bytearray()
        try:
            self._decode_into(pcm)
            self._check_kept()
            if self._source.lost > MAX_LOST_BYTES:
                self._tell_lost()
        except AudioError as exc:
            if not pcm:
                raise
            self._damage, self.pending = exc, True  # told at the next call: what came before it is good
        self._given += len(pcm)
        return bytes(pcm)

    def flush(self) -> bytes:
        """PCM of what is left; nothing comes after it, unless there is more of it ``pending``.

        Raises :class:`AudioError` when there was no audio at all.
        """
        self._source.end()
        pcm = self.decode(b"")
        if self.pending:
            return pcm
        no_audio_yet = self._resumes and not self._failures
        self._tell_failures()
        if self._source.lost > 0:
            self._tell_lost()
        if self._resampler is None or self._context is None:
            if no_audio_yet:
                return pcm
            raise AudioError(f"The {self._container} upload ended before its audio began.")
        end = self._flushed()
        self._given += len(end)
        return pcm + end

    def close(self) -> None:
        """Let go of the demuxer; nothing is decoded any more."""
        with suppress(ValueError):  # a thread that was left behind is in it, and drops it when it is done
            self._packets.close()

    def _flushed(self) -> bytes:
        if self._resampler is None or self._context is None:
            return b""
        pcm = b""
        with suppress(av.FFmpegError, EOFError):  # what had been decoded stays
            pcm = b"".join(self._pcm(frame) for frame in self._context.decode(None))
        return pcm + self._resampler.flush()

    def checkpoint_at(self, seconds: float) -> Checkpoint:
        """A place before this time, far enough for a decoder to warm up, and how much it has to drop then."""
        with self._lock:
            latest = (seconds - self._start - WARM_UP_SECONDS) * self._rate
            while len(self._points) > 1 and self._points[1].sample <= latest:
                self._points.popleft()
            point = self._points[0] if self._points and self._points[0].sample <= latest else None
        if point is None:
            skip = self._base.skip_seconds + seconds - self._base.seconds
            return replace(self._base, seconds=seconds, skip_seconds=skip)
        skip = seconds - self._start - point.sample / self._rate
        return Checkpoint(point.place.offset, seconds, point.place.prelude, self._base.engine, skip)

    def _decode_into(self, pcm: bytearray) -> None:
        self.pending = False
        try:
            for packet in self._packets:
                if packet is None:
                    return
                pcm += self._decoded(packet)
                if len(pcm) >= STEP_BYTES:
                    self.pending = True
                    return
        except Ended:
            return
        except AnotherFile:
            self.rest = self._source.rest()
            pcm += self._flushed()
            self._resampler = None

    def _tell_failures(self) -> None:
        """Packets before this one could not be decoded: a click is not told, a word is, and many clicks are."""
        seconds = self._failed_samples / self._rate if self._rate else 0.0
        if seconds >= GAP_SECONDS or self._failures >= MANY_FAILURES:
            self.findings.append(gap(self._container, seconds, self.seconds))
            self._failed_samples = 0
        self._failures = 0

    def _tell_lost(self) -> None:
        if not self._lost_told:
            self.findings.append(unreadable(self._container, self.seconds))
        self._lost_told = True

    def _check_kept(self) -> None:
        if not self._points and self._source.position - self._base.offset > MAX_KEPT_BYTES:
            raise AudioError(
                f"Of {self._container} audio that can be decoded from its beginning alone, {MAX_KEPT_BYTES} bytes are "
                "the most. Send it in another format."
            )

    def _decoded(self, packet: Packet) -> bytes:
        if not packet.data:  # an empty packet would tell a decoder that nothing follows
            return b""
        filling = self._gap_before(packet)
        if filling is None:
            return b""
        if packet.codec != self._codec or self._context is None:
            self._codec, self._context = packet.codec, packet.codec.context or self._open(packet.codec)
        try:
            frames = self._context.decode(av.Packet(packet.data))
            self._tell_failures()
        except av.FFmpegError as exc:
            self._failures += 1
            if self._failures > MAX_FAILURES:
                raise AudioError(f"The {self._container} audio can't be decoded.") from exc
            frames = [_silence_like(self._last)] if self._last else []
            self._failed_samples += sum(frame.samples for frame in frames)
        pcm = filling + b"".join(self._pcm(frame) for frame in frames)
        if packet.place and self._resampler:
            first = self._sample - (0 if packet.codec.lead_in else sum(frame.samples for frame in frames))
            self._add_point(_Point(first, packet.place))
        return pcm

    def _gap_before(self, packet: Packet) -> bytes | None:
        """Silence for what is missing before the packet; ``None``: it has been heard already."""
        jump = self._timeline.jump(packet, self._sample / self._rate if self._rate else None)
        if jump.heard:
            return None
        if jump.told:
            self.findings.append(gap(self._container, jump.seconds, self.seconds))
        if not jump.seconds or self._last is None:
            return b""
        silence = _silence_like(self._last)
        return b"".join(self._pcm(silence) for _ in range(round(jump.seconds * self._rate / silence.samples)))

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
            self._resampler = _Resampler(self._rate, self._sample, self._base.seconds - self._start)
        if frame.sample_rate != self._rate:
            raise AudioError(f"The {self._container} audio changes its sample rate.")
        first, self._sample, self._last = self._sample, self._sample + frame.samples, frame
        return self._resampler.convert(frame, first)

    def _first_sample(self) -> int:
        """The number of the first sample that is decoded."""
        if self._resumes:
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
        self._resampler = MonoResampler()

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
        pcm = self._resampler.resample(frame)
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
