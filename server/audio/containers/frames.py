"""MP3, AAC (ADTS) and FLAC: files that are nothing but frames, after a tag or a header at most."""

import re
from collections.abc import Iterator

import av

from server.audio.containers.demux import Codec, Packet, Packets, Place, Source, another_file, flac_codec
from server.audio.signatures import BEGINNINGS, LONGEST_BEGINNING
from server.errors import AudioError

PARSED_BYTES = 512
"""FFmpeg's parsers give about one frame a call, so they are fed less than a frame."""
MAX_HELD_BYTES = 1_048_576
"""Most bytes that are held for a frame whose end does not come."""
JUNK_BYTES = 1_024
"""Bytes between frames, in all, from which on it is told that they were frames once."""
TAG = re.compile(rb"ID3|APETAGEX|TAG")
NO_TAG = b"ID3\4\0\0\0\0\0\0"
"""A tag with nothing in it, which says that MPEG frames follow."""
STREAM_INFO = 0
KBPS = (
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG-2 and 2.5
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG-1
)
ADTS_HEADER_BYTES = 7
ADTS_RATES = 13


def mpeg_audio_in(head: bytes) -> str | None:
    """``"AAC"`` or ``"MP3"`` when ``head`` begins with a frame of it and, where it is that long, another one."""
    length = frame_length(head)
    if length is None:
        return None
    following = head[length:]
    if len(following) >= ADTS_HEADER_BYTES and not (_same_stream(head, following) and frame_length(following)):
        return None
    return "AAC" if _is_adts(head) else "MP3"


def is_certain(head: bytes) -> bool:
    """Whether ``head`` is long enough for :func:`mpeg_audio_in` to see two frames: samples may look like one."""
    return len(head) >= (frame_length(head) or 0) + ADTS_HEADER_BYTES


def frame_length(head: bytes) -> int | None:
    """Bytes of the MP3 or ADTS frame that begins here; ``None`` when there is none."""
    if len(head) < ADTS_HEADER_BYTES or head[0] != 0xFF:
        return None
    if _is_adts(head):
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return length if length > ADTS_HEADER_BYTES and head[2] >> 2 & 15 < ADTS_RATES else None
    version, layer, rate_index, kbps_index = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 2 & 3, head[2] >> 4
    if head[1] < 0xE0 or version == 1 or layer != 1 or rate_index == 3 or kbps_index in (0, 15):
        return None
    rate = (44_100, 48_000, 32_000)[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    kbps = KBPS[version == 3][kbps_index]
    return (144_000 if version == 3 else 72_000) * kbps // rate + (head[2] >> 1 & 1)


def _is_adts(head: bytes) -> bool:
    return head[1] & 0xF6 == 0xF0


def _same_stream(head: bytes, following: bytes) -> bool:
    """Version, layer and sample rate don't change between frames."""
    return head[:2] == following[:2] and head[2] & 0x0C == following[2] & 0x0C


def demux_mpeg(source: Source) -> Packets:
    """MP3 or ADTS frames, after an ID3 tag or none."""
    start = yield from source.take(10)
    while start.startswith(b"ID3"):
        yield from source.skip((start[6] & 127) << 21 | (start[7] & 127) << 14 | (start[8] & 127) << 7 | start[9] & 127)
        source.mark()
        start = yield from source.take(LONGEST_BEGINNING)
        if BEGINNINGS.match(start):  # taggers write it in front of everything
            raise another_file(source)
    codec = Codec("aac" if start[0] == 0xFF and _is_adts(start) else "mp3")
    yield from _frames(source, codec, start, NO_TAG)


def demux_flac(source: Source) -> Packets:
    yield from source.take(4)
    codec, prelude, last = None, b"", 0
    while not last:
        head = yield from source.take(4)
        kind, last, size = head[0] & 127, head[0] & 128, int.from_bytes(head[1:], "big")
        if kind == STREAM_INFO:
            info = yield from source.take(size)
            codec = flac_codec(info, "FLAC")
            prelude = b"fLaC\x80" + head[1:] + info
        else:
            yield from source.skip(size)
    if codec is None:
        raise AudioError("The FLAC header is damaged.")
    yield from _frames(source, codec, b"", prelude)


def _frames(source: Source, codec: Codec, piece: bytes, prelude: bytes) -> Packets:
    """Let FFmpeg's parser find the frames; one can begin again at each of them. ``piece`` has been taken already."""
    parser = av.CodecContext.create(codec.name, "r")
    held, junk, began = bytearray(), 0, False
    piece = piece or (yield from source.take_some(PARSED_BYTES))
    while True:
        held += piece
        for frame in _parsed(parser, piece):
            at = held.find(frame)  # what the parser took for no frame lies before it
            place = None if at < 0 else Place(source.position - len(held) + at, prelude)
            junk += at if began and at > 0 and not TAG.search(held, 0, at) else 0
            began, damaged = True, junk >= JUNK_BYTES
            del held[: at + len(frame) if place else 0]
            yield Packet(codec, frame, place, damaged=damaged)
            junk = 0 if damaged else junk
        if not piece:
            source.check_end()
            return
        if len(held) > MAX_HELD_BYTES:
            raise AudioError(f"There is no {codec.name.upper()} audio in {MAX_HELD_BYTES} bytes.")
        piece = yield from source.take_some_of_this_file(PARSED_BYTES)


def _parsed(parser: av.CodecContext, piece: bytes) -> Iterator[bytes]:
    """The frames that have become whole; without a ``piece`` all that are left."""
    while True:
        packets = parser.parse(piece or None)
        yield from (bytes(packet) for packet in packets)
        if piece or not packets:
            return
