"""MP4: fragments, as MediaRecorder of Safari and Chrome sends them, and files whose index (moov) comes first."""

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from server.audio.containers.demux import Codec, Packet, Packets, Place, Source, another_file, flac_codec, opus_codec
from server.audio.containers.late_index import LateIndex
from server.audio.signatures import CONVERT
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
PLAIN_CODECS = {b"ac-3": "ac3", b"ec-3": "eac3", b"samr": "amrnb", b"sawb": "amrwb"}
AMR_RATES = {b"samr": 8_000, b"sawb": 16_000}
CODEC_NAMES = {b"sowt": "PCM ('sowt')", b"twos": "PCM ('twos')", b"enca": "an encrypted codec", b"sevc": "EVRC"}
DAMAGED = "The header of the MP4 audio is damaged."
KNOWN = frozenset(b"ftyp styp moov moof mdat sidx ssix free skip wide uuid emsg prft mfra meta udta pdin pnot".split())
"""Boxes of the outermost level. Anything else was read out of the middle of something."""
FRAGMENT = re.compile(rb".{4}moof\x00\x00\x00\x10mfhd", re.DOTALL)
MAX_OTHER_BYTES = 4_194_304
"""Of a fragment's bytes behind its audio: a few seconds of video."""


@dataclass(frozen=True, slots=True)
class Movie:
    """The audio track that ``moov`` tells of. ``offsets`` and ``sizes`` are those of its samples; empty if it is
    fragmented."""

    track: int
    codec: Codec
    default_size: int
    timescale: int
    offsets: Numbers
    sizes: Numbers


@dataclass(frozen=True, slots=True)
class Sample:
    """Where a packet lies in the upload, and where demuxing can begin again with it."""

    offset: int
    size: int
    place: Place | None
    time: float | None = None


class _Samples:
    """The samples that are still to come; ``next`` is the first of them."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._later = iter(samples)
        self.next = next(self._later, None)

    def advance(self) -> None:
        self.next = next(self._later, None)


def demux_mp4(source: Source) -> Packets:
    """The packets of the first audio track. Behind damage it goes on at the next fragment."""
    file = _File()
    try:
        while True:
            source.mark()
            start = source.position
            try:
                yield from _top_box(source, file, start)
            except AudioError:
                if not file.began or file.movie is None or len(file.movie.sizes):
                    raise
                yield from source.resync(FRAGMENT)
                file.damaged = True
    finally:
        if file.late:
            file.late.close()


@dataclass(slots=True)
class _File:
    """What the boxes before have told. ``late``: audio that came before its index, on disk, and where it begins."""

    movie: Movie | None = None
    samples: _Samples = field(default_factory=lambda: _Samples())
    ftyp: bytes = b""
    prelude: bytes = b""
    late: "LateIndex | None" = None
    began: bool = False
    damaged: bool = False

    def packet(self, data: bytes, sample: Sample) -> Packet:
        assert self.movie
        damaged, self.damaged, self.began = self.damaged, False, True
        return Packet(self.movie.codec, data, sample.place, sample.time, damaged)


def _top_box(source: Source, file: _File, start: int) -> Packets:
    """Take one box of the outermost level. Raises :class:`AudioError` where it can be none."""
    head = yield from source.take(8)
    size, name = struct.unpack(">I4s", head)
    if size == 1:
        head += yield from source.take(8)
        size = int.from_bytes(head[8:], "big")
    rest = size - len(head)
    if name == b"mdat":
        end = start + size if size else None
        if file.movie is None:
            file.late = file.late or LateIndex()
            yield from file.late.keep(source, end)
        else:
            yield from _audio(source, file, end)
    elif rest < 0 or (file.began and name not in KNOWN):
        raise AudioError(f"The MP4 audio is damaged at byte {start}.")
    elif name == b"ftyp":
        if file.began:
            raise another_file(source)
        file.ftyp = head + (yield from source.take(rest))
    elif name == b"moov":
        body = yield from source.take(rest)
        file.movie, file.prelude = _movie(body), file.ftyp + head + body
        file.samples = _Samples(_indexed(file.movie, file.prelude + REST_IS_AUDIO))
        if file.late:
            yield from _late_audio(file)
    elif name == b"moof" and file.movie:
        file.samples = _Samples(_fragment((yield from source.take(rest)), file.movie, Place(start, file.prelude)))
    else:
        yield from source.skip(rest)


def _late_audio(file: _File) -> Packets:
    """The packets of audio that came before its index; decoding can begin with the first one only."""
    assert file.late
    while sample := file.samples.next:
        data = file.late.read(sample.offset, sample.size)
        if data is None:
            raise AudioError("The MP4 audio is damaged: its index tells of audio that is not there.")
        file.samples.advance()
        yield file.packet(data, replace(sample, place=None))


def _audio(source: Source, file: _File, end: int | None) -> Packets:
    """The packets in an ``mdat`` box that ends at ``end``."""
    while (sample := file.samples.next) and (end is None or sample.offset < end):
        file.samples.advance()
        if sample.offset >= source.position:
            yield from source.skip_to(sample.offset)
            data = yield from source.take(sample.size)
            if (found := FRAGMENT.search(data)) and file.movie and not len(file.movie.sizes):
                source.unread(data[found.start() :])
                raise AudioError(f"The MP4 audio is damaged at byte {sample.offset}.")
            yield file.packet(data, sample)
    if end is not None and file.movie and not len(file.movie.sizes) and end - source.position > MAX_OTHER_BYTES:
        raise AudioError(f"The MP4 audio is damaged at byte {source.position}.")
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
    mdhd = _box(trak, b"mdia", b"mdhd")
    (timescale,) = struct.unpack_from(">I", mdhd, 20 if mdhd[0] else 12) if mdhd else (0,)
    return Movie(track, codec, default_size, timescale, _offsets(table, sizes), sizes)


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
    if name := PLAIN_CODECS.get(kind):
        return Codec(name, rate=AMR_RATES.get(kind, 0), channels=int(kind in AMR_RATES))
    if kind == b"alac":
        alac = _box(inner, b"alac") or _box(inner, b"wave", b"alac")
        return Codec("alac", b"\0\0\0\x24alac" + alac)
    named = CODEC_NAMES.get(kind, repr(kind.decode("ascii", "replace")))
    raise AudioError(f"MP4 audio in {named} is not supported. {CONVERT}")


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
    time: float | None = None
    for name, traf in _boxes(moof):
        if name == b"traf":
            try:
                before = len(samples)
                _add_track_fragment(samples, traf, movie, place.offset)
                if len(samples) > before and time is None:
                    time = _fragment_time(_box(traf, b"tfdt"), movie.timescale)
            except (struct.error, IndexError, ValueError) as exc:
                raise AudioError(DAMAGED) from exc
    return [replace(samples[0], place=place, time=time), *samples[1:]] if samples else []


def _fragment_time(tfdt: bytes, timescale: int) -> float | None:
    """Seconds at which the fragment begins; ``None``: it does not say."""
    if not tfdt or not timescale:
        return None
    (time,) = struct.unpack_from(">Q" if tfdt[0] else ">I", tfdt, 4)
    return float(time) / timescale


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
