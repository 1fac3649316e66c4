"""MP4: fragments, as MediaRecorder of Safari and Chrome sends them, and files whose index (moov) comes first."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from server.audio.containers.demux import Codec, Packet, Packets, Place, Source, flac_codec, opus_codec
from server.errors import AudioError

Numbers = npt.NDArray[np.int64]

MAX_SAMPLES = 1_000_000
MAX_FRAGMENT_SAMPLES = 100_000
MAX_EQUAL_SAMPLES = 1_000
"""Most samples of equal size: they take no bytes of an index, so a short one could tell of any number."""
MAX_LENGTH_BYTES = 4
"""Bytes that the length of a descriptor may take."""
REST_IS_AUDIO = b"\0\0\0\0mdat"
"""A box without an end."""
DAMAGED = "The header of the MP4 audio is damaged."
MOOV_LAST = (
    "This MP4 has its index (moov) at the end, so it can't be decoded as it arrives. "
    "Send a fragmented one, or one with the index first (ffmpeg: -movflags +faststart)."
)


@dataclass(frozen=True, slots=True)
class Movie:
    """The audio track that ``moov`` tells of. ``offsets`` and ``sizes`` are those of its samples; empty if it is
    fragmented."""

    track: int
    codec: Codec
    default_size: int
    offsets: Numbers
    sizes: Numbers


@dataclass(frozen=True, slots=True)
class Sample:
    """Where a packet lies in the upload, and where demuxing can begin again with it."""

    offset: int
    size: int
    place: Place | None


class _Samples:
    """The samples that are still to come; ``next`` is the first of them."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._later = iter(samples)
        self.next = next(self._later, None)

    def advance(self) -> None:
        self.next = next(self._later, None)


def demux_mp4(source: Source) -> Packets:
    """The packets of the first audio track."""
    movie: Movie | None = None
    samples = _Samples()
    ftyp = prelude = b""
    while True:
        start = source.position
        head = yield from source.take(8)
        size, name = struct.unpack(">I4s", head)
        if size == 1:
            head += yield from source.take(8)
            size = int.from_bytes(head[8:], "big")
        rest = size - len(head)
        if name == b"mdat":
            if movie is None:
                raise AudioError(MOOV_LAST)
            yield from _audio(source, samples, movie.codec, start + size if size else None)
        elif rest < 0:
            raise AudioError(f"The MP4 audio is damaged at byte {start}.")
        elif name == b"ftyp":
            ftyp = head + (yield from source.take(rest))
        elif name == b"moov":
            body = yield from source.take(rest)
            movie = _movie(body)
            prelude = ftyp + head + body
            samples = _Samples(_indexed(movie, prelude + REST_IS_AUDIO))
        elif name == b"moof" and movie:
            samples = _Samples(_fragment((yield from source.take(rest)), movie, Place(start, prelude)))
        else:
            yield from source.skip(rest)


def _audio(source: Source, samples: _Samples, codec: Codec, end: int | None) -> Packets:
    """The packets in an ``mdat`` box that ends at ``end``."""
    while (sample := samples.next) and (end is None or sample.offset < end):
        samples.advance()
        if sample.offset >= source.position:
            yield from source.skip_to(sample.offset)
            yield Packet(codec, (yield from source.take(sample.size)), sample.place)
    yield from source.skip_to(end)


def _indexed(movie: Movie, prelude: bytes) -> Iterator[Sample]:
    for offset, size in zip(movie.offsets, movie.sizes, strict=True):
        yield Sample(int(offset), int(size), Place(int(offset), prelude))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each box."""
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            raise AudioError(DAMAGED)
        yield name, data[at + 8 : at + size]
        at += size


def _box(data: bytes, *path: bytes) -> bytes:
    """Content of the first box at ``path``; empty when there is none."""
    for step in path:
        data = next((content for name, content in _boxes(data) if name == step), b"")
    return data


def _movie(moov: bytes) -> Movie:
    for name, trak in _boxes(moov):
        if name == b"trak" and _box(trak, b"mdia", b"hdlr")[8:12] == b"soun":
            try:
                return _audio_movie(trak, moov)
            except (struct.error, IndexError, ValueError) as exc:
                raise AudioError(DAMAGED) from exc
    raise AudioError("The MP4 upload has no audio track.")


def _audio_movie(trak: bytes, moov: bytes) -> Movie:
    tkhd, table = _box(trak, b"tkhd"), _box(trak, b"mdia", b"minf", b"stbl")
    (track,) = struct.unpack_from(">I", tkhd, 20 if tkhd[0] else 12)
    codec = _codec(_box(table, b"stsd"))
    default_size = 0
    for name, trex in _boxes(_box(moov, b"mvex")):
        if name == b"trex" and struct.unpack_from(">I", trex, 4) == (track,):
            (default_size,) = struct.unpack_from(">I", trex, 16)
    sizes = _sizes(_box(table, b"stsz"))
    return Movie(track, codec, default_size, _offsets(table, sizes), sizes)


def _numbers(data: bytes, at: int, count: int, kind: str = ">u4") -> Numbers:
    """Raises :class:`ValueError` when there are fewer than ``count``."""
    return np.frombuffer(data, kind, count, at).astype(np.int64) if count else np.zeros(0, np.int64)


def _sizes(stsz: bytes) -> Numbers:
    same, count = struct.unpack_from(">II", stsz, 4) if stsz else (0, 0)
    if count > MAX_SAMPLES:
        raise AudioError(f"MP4 audio of {count} samples is too long; send it in fragments.")
    return np.full(count, same) if same else _numbers(stsz, 12, count)


def _offsets(table: bytes, sizes: Numbers) -> Numbers:
    """The offset of each sample. Samples lie in chunks; a run of chunks has equally many in each."""
    chunks, kind = (_box(table, b"stco"), ">u4") if _box(table, b"stco") else (_box(table, b"co64"), ">u8")
    starts = _numbers(chunks, 8, int.from_bytes(chunks[4:8], "big"), kind)
    stsc = _box(table, b"stsc")
    runs = _numbers(stsc, 8, 3 * int.from_bytes(stsc[4:8], "big"))
    firsts = np.append(runs[0::3], len(starts) + 1)
    if np.any(np.diff(firsts) < 0):
        raise AudioError(DAMAGED)
    lengths = np.repeat(runs[1::3], np.diff(firsts))
    if len(lengths) != len(starts) or lengths.sum() != len(sizes):
        raise AudioError(DAMAGED)
    before = np.cumsum(sizes) - sizes
    chunk = np.repeat(np.arange(len(starts)), lengths)
    first_sample = np.cumsum(lengths) - lengths
    return starts[chunk] + before - before[first_sample[chunk]] if len(sizes) else starts[:0]


def _codec(stsd: bytes) -> Codec:
    kind, entry = next(_boxes(stsd[8:]), (b"", b""))
    version = int.from_bytes(entry[8:10], "big")
    inner = entry[28 + {0: 0, 1: 16, 2: 36}.get(version, 0) :]
    match kind:
        case b"mp4a":
            return _mpeg4_codec(_box(inner, b"esds") or _box(inner, b"wave", b"esds"))
        case b"Opus":
            opus = _box(inner, b"dOps")
            _, channels, skip, rate, gain = struct.unpack_from(">BBHIh", opus)
            head = b"OpusHead" + struct.pack("<BBHIh", 1, channels, skip, rate, gain) + opus[10:]
            return opus_codec(head, "MP4")
        case b"fLaC":
            return flac_codec(_box(inner, b"dfLa")[8:], "MP4")
        case b".mp3":
            return Codec("mp3")
    raise AudioError(f"MP4 audio in {kind.decode('ascii', 'replace')!r} is not supported.")


def _mpeg4_codec(esds: bytes) -> Codec:
    """The codec that an elementary stream descriptor names: AAC, or MP3 in MP4."""
    found: dict[int, bytes] = {}
    at, end = 4, len(esds)
    while at < end:
        tag, at = esds[at], at + 1
        length = 0
        for _ in range(MAX_LENGTH_BYTES):
            byte, at = esds[at], at + 1
            length = length << 7 | byte & 0x7F
            if not byte & 0x80:
                break
        found[tag] = esds[at : at + length]
        at += {3: 3, 4: 13}.get(tag, length)  # these two have other descriptors inside
    kind = found[4][0] if 4 in found else 0
    if kind in (0x69, 0x6B):
        return Codec("mp3")
    if kind not in (0x40, 0x66, 0x67, 0x68) or 5 not in found:
        raise AudioError("The MP4 audio is neither AAC nor MP3.")
    return Codec("aac", found[5])


def _fragment(moof: bytes, movie: Movie, place: Place) -> list[Sample]:
    """The samples of a fragment, whose index comes before all of them: one can begin again only with the first."""
    samples: list[Sample] = []
    for name, traf in _boxes(moof):
        if name == b"traf":
            try:
                _add_track_fragment(samples, traf, movie, place.offset)
            except (struct.error, IndexError, ValueError) as exc:
                raise AudioError(DAMAGED) from exc
    return [replace(samples[0], place=place), *samples[1:]] if samples else []


def _add_track_fragment(samples: list[Sample], traf: bytes, movie: Movie, base: int) -> None:
    tfhd = _box(traf, b"tfhd")
    flags, track = struct.unpack_from(">II", tfhd)
    if track != movie.track:
        return
    at = 8
    if flags & 1:
        (base,) = struct.unpack_from(">Q", tfhd, at)
        at += 8
    at += 4 * bool(flags & 2) + 4 * bool(flags & 8)
    default_size = struct.unpack_from(">I", tfhd, at)[0] if flags & 0x10 else movie.default_size
    offset = base
    for name, trun in _boxes(traf):
        if name == b"trun":
            offset, sizes = _run(trun, base, offset, default_size)
            ends = list(accumulate(sizes, initial=offset))
            samples += [Sample(start, end - start, None) for start, end in pairwise(ends)]
            offset = ends[-1]
            if len(samples) > MAX_FRAGMENT_SAMPLES:
                raise AudioError("A fragment of the MP4 audio has too many samples.")


def _run(trun: bytes, base: int, offset: int, default_size: int) -> tuple[int, list[int]]:
    """Where a run of samples begins, and their sizes. Without an own offset it follows the run before it."""
    flags, count = struct.unpack_from(">II", trun)
    at = 8
    if flags & 1:
        offset = base + struct.unpack_from(">i", trun, at)[0]
        at += 4
    at += 4 * bool(flags & 4)
    if not flags & 0x200:
        if count > MAX_EQUAL_SAMPLES:
            raise AudioError(f"A fragment of the MP4 audio with {count} samples of equal size is not supported.")
        return offset, [default_size] * count
    fields = (flags >> 8 & 15).bit_count()
    table = _numbers(trun, at, count * fields).reshape(count, fields)
    sizes: list[int] = table[:, flags >> 8 & 1].tolist()
    return offset, sizes
