"""WebM and Matroska: what Chrome's and Firefox's MediaRecorder send."""

import re
import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from server.audio.containers.demux import (
    MAX_SKIP_BYTES,
    MAX_TAKE_BYTES,
    Codec,
    Packet,
    Packets,
    Place,
    Source,
    another_file,
    flac_codec,
    opus_codec,
)
from server.audio.signatures import CONVERT
from server.errors import AudioError

EBML, TRACKS, SIMPLE_BLOCK, BLOCK = 0x1A45DFA3, 0x1654AE6B, 0xA3, 0xA1
OPENED = {0x18538067, 0x1F43B675, 0xA0}
"""Segment, Cluster, BlockGroup: only their beginning is looked at, so demuxing may begin anywhere between their
children, and it does not matter whether they say how long they are (a live recording can't)."""

TRACK_ENTRY, TRACK_NUMBER, TRACK_TYPE, CODEC_ID, CODEC_PRIVATE = 0xAE, 0xD7, 0x83, 0x86, 0x63A2
CONTENT_ENCODINGS, AUDIO, SAMPLING_FREQUENCY, CHANNELS = 0x6D80, 0xE1, 0xB5, 0x9F
INFO, TIMESTAMP_SCALE, TIMESTAMP, VOID, CRC = 0x1549A966, 0x2AD7B1, 0xE7, 0xEC, 0xBF
KNOWN = frozenset(
    {EBML, TRACKS, SIMPLE_BLOCK, BLOCK, INFO, TIMESTAMP, VOID, CRC}
    | {0x114D9B74, 0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469}  # SeekHead, Cues, Tags, Chapters, Attachments
    | {0xA7, 0xAB, 0x5854, 0x9B, 0xFB, 0x75A2, 0x75A1, 0xFA, 0xA4, 0x8E, 0xAF, 0xA2, 0xC8}  # in clusters
)
"""What may stand between two blocks. Anything else was read out of the middle of something."""
MAX_LATER_BYTES = 65_536
"""Of an element behind the first block, but for those that may be long."""
LIMITS = dict.fromkeys((SIMPLE_BLOCK, BLOCK, 0x1C53BB6B, 0x1254C367), MAX_SKIP_BYTES)
CLUSTER_HEAD = re.compile(
    rb"\x1f\x43\xb6\x75(?:[\x80-\xff]|[\x40-\x7f].|[\x20-\x3f].{2}|[\x10-\x1f].{3}|[\x02-\x0f].{4,6}|\x01.{7})"
    rb"(?:\xe7[\x81-\x88]|\xbf\x84|\xa7[\x81-\x88]|\xab[\x81-\x88])",
    re.DOTALL,
)
CLUSTER, TIMESTAMP_HEAD = b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff", b"\xe7\x88"
PLAIN_CODECS = {"A_AC3": "ac3", "A_EAC3": "eac3", "A_MPEG/L2": "mp2", "A_MPEG/L3": "mp3", "A_DTS": "dca"}
AUDIO_TRACK = 2
LACING = 0x06


def demux_webm(source: Source) -> Packets:
    """The packets of the first audio track. What can't be read is passed over up to the next cluster."""
    file = _File()
    while True:
        source.mark()
        start = source.position
        try:
            packet = yield from _element(source, file, start)
        except AudioError:
            if not file.began:
                raise
            yield from source.resync(CLUSTER_HEAD)
            file.damaged = True
            continue
        if packet:
            file.began, file.damaged = True, False
            yield packet


@dataclass(slots=True)
class _File:
    """What the elements before have told. ``cluster``: time of the cluster, in the file's own unit of ``tick`` s."""

    codec: Codec | None = None
    track: int = 0
    tracks: frozenset[int] = frozenset()
    ebml: bytes = b""
    prelude: bytes = b""
    tick: float = 0.001
    cluster: int | None = None
    began: bool = False
    damaged: bool = False


def _element(source: Source, file: _File, start: int) -> Generator[None, None, Packet | None]:
    """Take one element; gives the packet of a block of audio. Raises :class:`AudioError` where it can be none."""
    element, size, raw = yield from _header(source)
    if element in OPENED:
        return None
    if size is None or element not in KNOWN or (file.began and size > LIMITS.get(element, MAX_LATER_BYTES)):
        raise AudioError(f"The WebM audio is damaged at byte {start}.")
    if element == EBML:
        if file.began:
            raise another_file(source)
        file.ebml = raw + (yield from source.take(size))
    elif element == INFO:
        file.tick = _tick((yield from source.take(size)))
    elif element == TIMESTAMP:
        file.cluster = int.from_bytes((yield from source.take(size)), "big")
    elif element == TRACKS:
        tracks = yield from source.take(size)
        file.codec, file.track, file.tracks = _audio_track(tracks)
        file.prelude = file.ebml + raw + tracks
    elif element in (SIMPLE_BLOCK, BLOCK) and file.codec:
        return (yield from _packet(source, file, size, start))
    else:
        yield from source.skip(size)
    return None


def _packet(source: Source, file: _File, size: int, start: int) -> Generator[None, None, Packet | None]:
    block = yield from _block(source, size, file)
    if not block or file.codec is None:
        return None
    time = prelude = None
    if file.cluster is not None:
        (relative,) = struct.unpack(">h", block[:2])
        time = (file.cluster + relative) * file.tick
        prelude = file.prelude + CLUSTER + TIMESTAMP_HEAD + file.cluster.to_bytes(8, "big")
    place = Place(start, prelude or file.prelude)
    return Packet(file.codec, block[3:], place, time, file.damaged)


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


def _block(source: Source, size: int, file: _File) -> Generator[None, None, bytes]:
    """A block behind its track's number; empty when it is of another track. A video frame is not held in memory."""
    start = source.position
    end = start + size
    number = _value((yield from _number(source)))
    left = end - source.position
    if number not in file.tracks or left < 3 or (number == file.track and left > MAX_TAKE_BYTES):
        if number in file.tracks or number == 0 or not file.began:
            yield from source.skip(left)
            return b""
        raise AudioError(f"The WebM audio is damaged at byte {start}.")
    if number != file.track:
        yield from source.skip(left)
        return b""
    block = yield from source.take(left)
    if found := CLUSTER_HEAD.search(block):  # its size was read out of something else
        source.unread(block[found.start() :])
        raise AudioError(f"The WebM audio is damaged at byte {start}.")
    if block[2] & LACING:
        raise AudioError("WebM audio with laced blocks is not supported.")
    return block


def _tick(info: bytes) -> float:
    """Seconds of one unit of time."""
    scale = int.from_bytes(dict(_elements(info)).get(TIMESTAMP_SCALE, b""), "big")
    return scale / 1e9 or 0.001


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


def _audio_track(tracks: bytes) -> tuple[Codec, int, frozenset[int]]:
    """Codec and number of the first audio track, and the numbers of all."""
    entries = [dict(_elements(content)) for element, content in _elements(tracks) if element == TRACK_ENTRY]
    numbers = [int.from_bytes(entry.get(TRACK_NUMBER, b""), "big") for entry in entries]
    for entry, number in zip(entries, numbers, strict=True):
        if int.from_bytes(entry.get(TRACK_TYPE, b""), "big") == AUDIO_TRACK:
            return _codec(entry), number, frozenset(numbers)
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
        case "A_AC3" | "A_EAC3" | "A_MPEG/L2" | "A_MPEG/L3" | "A_DTS":
            return Codec(PLAIN_CODECS[name])
        case "A_ALAC":
            return Codec("alac", b"\0\0\0\x24alac\0\0\0\0" + private)
        case "A_PCM/INT/LIT" | "A_PCM/FLOAT/IEEE":
            audio = dict(_elements(entry.get(AUDIO, b"")))
            codec = "pcm_s16le" if name.endswith("LIT") else "pcm_f32le"
            return Codec(codec, b"", _rate(audio), int.from_bytes(audio.get(CHANNELS, b"\1"), "big"))
    raise AudioError(f"WebM audio in {name[:40] or 'an unnamed codec'} is not supported. {CONVERT}")


def _rate(audio: dict[int, bytes]) -> int:
    raw = audio.get(SAMPLING_FREQUENCY, b"")
    if len(raw) not in (4, 8):
        raise AudioError("The header of the WebM audio is damaged.")
    rate: float = struct.unpack(">f" if len(raw) == 4 else ">d", raw)[0]
    return round(rate) if 0 < rate < 1e6 else 0
