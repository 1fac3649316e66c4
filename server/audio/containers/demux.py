"""What the demuxers of containers share: bytes read as if they were all there, and what they take them apart into."""

import re
from collections.abc import Generator
from dataclasses import dataclass, field

from av.audio.codeccontext import AudioCodecContext

from server.audio.signatures import BEGINNINGS, LONGEST_BEGINNING, may_begin
from server.errors import AudioError

MAX_TAKE_BYTES = 4_194_304
"""Most bytes of a header or a packet, which is held in memory until it is whole."""
REWIND_BYTES = 64
MAX_SKIP_BYTES = 67_108_864
"""Most bytes of something that is passed over, such as a picture. A larger size is a damaged one."""


@dataclass(frozen=True, slots=True)
class Codec:
    """What a packet is coded in. ``name`` and ``extradata`` are FFmpeg's.

    ``rate`` in Hz and ``channels`` matter to those that don't say it themselves. ``skip`` samples come before the
    audio begins. ``lead_in``: the first packet that a decoder is fed gives no samples. ``context``: a decoder that is
    open already.
    """

    name: str
    extradata: bytes = b""
    rate: int = 0
    channels: int = 0
    skip: int = 0
    lead_in: bool = False
    context: AudioCodecContext | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Place:
    """Where demuxing can begin again: at this byte of the upload, after ``prelude``."""

    offset: int
    prelude: bytes


@dataclass(frozen=True, slots=True)
class Packet:
    """``place``: where the demuxer can begin again so that this is the first packet; ``None``: nowhere.

    ``time`` in seconds on the container's own clock; ``None``: it says none.
    ``damaged``: something before it could not be read.
    """

    codec: Codec
    data: bytes
    place: Place | None
    time: float | None = None
    damaged: bool = False


Packets = Generator[Packet | None, None, None]
"""A demuxer: packets in order, and ``None`` wherever more bytes are needed."""


class Ended(Exception):
    """The upload ends inside of something."""


class AnotherFile(Exception):
    """At the source's position another file begins."""


def another_file(source: "Source") -> AnotherFile:
    """What was taken since the mark begins another file."""
    source.rewind()
    return AnotherFile()


class Source:
    """The upload, read by a generator that yields ``None`` where bytes are missing.

    ``position`` is the offset in the upload of the next byte to be taken; a prelude lies before the first offset.
    """

    def __init__(self, prelude: bytes, offset: int) -> None:
        self.position = offset - len(prelude)
        self._bytes = bytearray(prelude)
        self._ended = False
        self._marked = bytearray()
        self._resynced = -1
        self.lost = 0
        """Bytes that are being passed over, because nothing in them can be read."""

    def feed(self, data: bytes) -> None:
        self._bytes += data

    def end(self) -> None:
        self._ended = True

    def take(self, size: int) -> Generator[None, None, bytes]:
        """Exactly ``size`` bytes. Raises :class:`Ended`; :class:`AudioError` when no part can be that long."""
        if size > MAX_TAKE_BYTES:
            raise AudioError(f"The audio is damaged: a part of {size} bytes at byte {self.position}.")
        while len(self._bytes) < size:
            yield from self._wait()
        return self._cut(size)

    def take_some(self, limit: int) -> Generator[None, None, bytes]:
        """At least one byte, at most ``limit``; nothing at the end of the upload."""
        while not self._bytes and not self._ended:
            yield None
        return self._cut(limit)

    def take_some_of_this_file(self, limit: int) -> Generator[None, None, bytes]:
        """As :meth:`take_some`, and nothing, too, where another file begins: see :meth:`check_end`."""
        while True:
            ahead = bytes(self._bytes[: limit + LONGEST_BEGINNING])
            certain = len(ahead) if self._ended else may_begin(ahead)
            if found := BEGINNINGS.search(ahead):
                certain = min(certain, found.start())
            if certain or found or self._ended:
                return self._cut(min(limit, certain))
            yield None

    def check_end(self) -> None:
        """Raises :class:`AnotherFile` where the upload goes on with one."""
        if self._bytes:
            raise AnotherFile

    def skip(self, size: int) -> Generator[None, None, None]:
        if size > MAX_SKIP_BYTES:
            raise AudioError(f"The audio is damaged: a part of {size} bytes at byte {self.position}.")
        yield from self.skip_to(self.position + size)

    def skip_to(self, position: int | None) -> Generator[None, None, None]:
        """Drop what comes before ``position``; ``None``: everything."""
        while position is None or self.position < position:
            self._cut(len(self._bytes) if position is None else position - self.position)
            if position is None or self.position < position:
                yield from self._wait()

    def rest(self) -> bytes:
        """Everything that has been fed and not been taken."""
        return self._cut(len(self._bytes))

    def unread(self, data: bytes) -> None:
        """Put back what was taken last."""
        self._bytes[:0] = data
        self.position -= len(data)
        self._marked = self._marked[: max(0, len(self._marked) - len(data))]

    def mark(self) -> None:
        """Here something begins that may turn out to be something else."""
        self._marked = bytearray()

    def rewind(self) -> None:
        """Back to the mark, unless too much was taken since."""
        if len(self._marked) <= REWIND_BYTES:
            self.unread(bytes(self._marked))
        self._marked = bytearray()

    def resync(self, pattern: re.Pattern[bytes], unsaid: int = 0) -> Generator[None, None, None]:
        """Drop what comes before ``pattern``, and count it in ``lost``, but for the first ``unsaid`` bytes.

        Raises :class:`Ended` where it does not come, and :class:`AnotherFile` where another file begins before it.
        """
        self.rewind()
        if self.position == self._resynced:
            yield from self.take(1)
        self._resynced = self.position
        self.lost = self.lost or 1 - unsaid
        while True:
            own, another = pattern.search(self._bytes), BEGINNINGS.search(self._bytes)
            if another and (own is None or another.start() <= own.start()):
                self._cut(another.start())
                self.lost = 0
                raise AnotherFile
            if own:
                self._cut(own.start())
                self._resynced, self.lost = self.position, 0
                return
            self.lost += len(self._cut(max(0, len(self._bytes) - LONGEST_BEGINNING)))
            yield from self._wait()

    def _wait(self) -> Generator[None, None, None]:
        if self._ended:
            raise Ended
        yield None

    def _cut(self, size: int) -> bytes:
        data = bytes(self._bytes[:size])
        del self._bytes[:size]
        self.position += len(data)
        if len(self._marked) <= REWIND_BYTES:
            self._marked += data
        return data


def opus_codec(head: bytes, name: str) -> Codec:
    """The codec that an ``OpusHead`` describes, without samples to skip: where decoding begins again there are none."""
    if len(head) < 19 or not head.startswith(b"OpusHead"):
        raise AudioError(f"The Opus header of the {name} audio is damaged.")
    return Codec("opus", head[:10] + b"\0\0" + head[12:], skip=int.from_bytes(head[10:12], "little"))


def flac_codec(stream_info: bytes, name: str) -> Codec:
    """The codec that the body of a STREAMINFO block describes."""
    if len(stream_info) < 34:
        raise AudioError(f"The FLAC header of the {name} audio is damaged.")
    return Codec("flac", stream_info[:34])
