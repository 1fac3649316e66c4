"""What the demuxers of containers share: bytes read as if they were all there, and what they take them apart into."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from server.errors import AudioError

MAX_TAKE_BYTES = 4_194_304
"""Most bytes of a header or a packet, which is held in memory until it is whole."""
MAX_SKIP_BYTES = 67_108_864
"""Most bytes of something that is passed over, such as a picture. A larger size is a damaged one."""


@dataclass(frozen=True, slots=True)
class Codec:
    """What a packet is coded in. ``name`` and ``extradata`` are FFmpeg's.

    ``rate`` (Hz) and ``channels`` are for codecs whose data does not tell them. ``skip`` samples come before the
    audio begins. ``lead_in``: the first packet that a decoder is fed gives no samples.
    """

    name: str
    extradata: bytes = b""
    rate: int = 0
    channels: int = 0
    skip: int = 0
    lead_in: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where demuxing can begin again: at this byte of the upload, after ``prelude``."""

    offset: int
    prelude: bytes


@dataclass(frozen=True, slots=True)
class Packet:
    """Coded audio. ``place``: where the demuxer can begin again so that this is the first packet; ``None``: nowhere."""

    codec: Codec
    data: bytes
    place: Place | None


Packets = Iterator[Packet | None]
"""A demuxer: packets in order, and ``None`` wherever more bytes are needed."""


class Ended(Exception):
    """The upload ends inside of something."""


class Source:
    """The upload, read by a generator that yields ``None`` where bytes are missing.

    ``position`` is the offset in the upload of the next byte to be taken; a prelude lies before the first offset.
    """

    def __init__(self, prelude: bytes, offset: int) -> None:
        self.position = offset - len(prelude)
        self._bytes = bytearray(prelude)
        self._ended = False

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

    def _wait(self) -> Generator[None, None, None]:
        if self._ended:
            raise Ended
        yield None

    def _cut(self, size: int) -> bytes:
        data = bytes(self._bytes[:size])
        del self._bytes[:size]
        self.position += len(data)
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
