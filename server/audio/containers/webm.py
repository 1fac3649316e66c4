"""WebM and Matroska: what Chrome's and Firefox's MediaRecorder send."""

import struct
from collections.abc import Generator, Iterator

from server.audio.containers.demux import Codec, Packet, Packets, Place, Source, flac_codec, opus_codec
from server.errors import AudioError

EBML, TRACKS, SIMPLE_BLOCK, BLOCK = 0x1A45DFA3, 0x1654AE6B, 0xA3, 0xA1
OPENED = {0x18538067, 0x1F43B675, 0xA0}
"""Segment, Cluster, BlockGroup: only their beginning is looked at, so demuxing may begin anywhere between their
children, and it does not matter whether they say how long they are (a live recording can't)."""

TRACK_ENTRY, TRACK_NUMBER, TRACK_TYPE, CODEC_ID, CODEC_PRIVATE = 0xAE, 0xD7, 0x83, 0x86, 0x63A2
CONTENT_ENCODINGS, AUDIO, SAMPLING_FREQUENCY, CHANNELS = 0x6D80, 0xE1, 0xB5, 0x9F
AUDIO_TRACK = 2
LACING = 0x06


def demux_webm(source: Source) -> Packets:
    """The packets of the first audio track."""
    codec, track = None, 0
    ebml = prelude = b""
    while True:
        start = source.position
        element, size, raw = yield from _header(source)
        if element in OPENED:
            continue
        if size is None:
            raise AudioError(f"The WebM audio is damaged at byte {start}.")
        if element == EBML:
            ebml = raw + (yield from source.take(size))
        elif element == TRACKS:
            tracks = yield from source.take(size)
            codec, track = _audio_track(tracks)
            prelude = ebml + raw + tracks
        elif element in (SIMPLE_BLOCK, BLOCK) and codec:
            data = yield from _block(source, size, track)
            if data:
                yield Packet(codec, data, Place(start, prelude))
        else:
            yield from source.skip(size)


def _header(source: Source) -> Generator[None, None, tuple[int, int | None, bytes]]:
    """An element's id, its size (``None``: unknown), and the bytes that said so."""
    ident = yield from _number(source)
    length = yield from _number(source)
    return int.from_bytes(ident, "big"), _value(length), ident + length


def _number(source: Source) -> Generator[None, None, bytes]:
    """The bytes of a number of variable length: its zero bits at the front tell how many bytes follow the first."""
    start = source.position
    first = yield from source.take(1)
    if first == b"\0":
        raise AudioError(f"The WebM audio is damaged at byte {start}.")
    return first + (yield from source.take(8 - first[0].bit_length()))


def _value(number: bytes) -> int | None:
    bits = 7 * len(number)
    value = int.from_bytes(number, "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value


def _block(source: Source, size: int, track: int) -> Generator[None, None, bytes]:
    """A block's packet; empty when it is of another track. A video frame is not held in memory."""
    end = source.position + size
    number = yield from _number(source)
    if _value(number) != track or end < source.position + 3:
        yield from source.skip(end - source.position)
        return b""
    block = yield from source.take(end - source.position)
    if block[2] & LACING:
        raise AudioError("WebM audio with laced blocks is not supported.")
    return block[3:]


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Id and content of each child of an element."""
    at = 0
    while at < len(data):
        width = 9 - data[at].bit_length()
        length_at = at + width
        if width > 8 or length_at >= len(data) or not data[length_at]:
            raise AudioError("The header of the WebM audio is damaged.")
        start = length_at + 9 - data[length_at].bit_length()
        size = _value(data[length_at:start])
        if size is None or start + size > len(data):
            raise AudioError("The header of the WebM audio is damaged.")
        yield int.from_bytes(data[at:length_at], "big"), data[start : start + size]
        at = start + size


def _audio_track(tracks: bytes) -> tuple[Codec, int]:
    for element, content in _elements(tracks):
        if element == TRACK_ENTRY:
            entry = dict(_elements(content))
            if int.from_bytes(entry.get(TRACK_TYPE, b""), "big") == AUDIO_TRACK:
                return _codec(entry), int.from_bytes(entry.get(TRACK_NUMBER, b""), "big")
    raise AudioError("The WebM upload has no audio track.")


def _codec(entry: dict[int, bytes]) -> Codec:
    name = entry.get(CODEC_ID, b"").rstrip(b"\0").decode("ascii", "replace")
    private = entry.get(CODEC_PRIVATE, b"")
    if CONTENT_ENCODINGS in entry:
        raise AudioError("WebM audio that is compressed again or encrypted is not supported.")
    match name:
        case "A_OPUS":
            return opus_codec(private, "WebM")
        case "A_VORBIS":
            return Codec("vorbis", private, lead_in=True)
        case "A_FLAC":
            return flac_codec(private[8:], "WebM")
        case "A_AAC":
            return Codec("aac", private)
        case "A_MPEG/L3":
            return Codec("mp3")
        case "A_PCM/INT/LIT" | "A_PCM/FLOAT/IEEE":
            audio = dict(_elements(entry.get(AUDIO, b"")))
            codec = "pcm_s16le" if name.endswith("LIT") else "pcm_f32le"
            return Codec(codec, b"", _rate(audio), int.from_bytes(audio.get(CHANNELS, b"\1"), "big"))
    raise AudioError(f"WebM audio in {name[:40] or 'an unnamed codec'} is not supported.")


def _rate(audio: dict[int, bytes]) -> int:
    raw = audio.get(SAMPLING_FREQUENCY, b"")
    if len(raw) not in (4, 8):
        raise AudioError("The header of the WebM audio is damaged.")
    rate: float = struct.unpack(">f" if len(raw) == 4 else ">d", raw)[0]
    return round(rate) if 0 < rate < 1e6 else 0
