"""The index of an MP4 put first. Pure.

Phones write it (`moov`) behind the audio, where a server that decodes as it receives comes to it too late. For browsers
there is the same in server/web/mp4-index.js.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

WAY_TO_OFFSETS = (b"trak", b"mdia", b"minf", b"stbl")
OFFSET_FORMATS = {b"stco": "I", b"co64": "Q"}


@dataclass(frozen=True, slots=True)
class Box:
    """``body`` is where its content begins."""

    name: bytes
    start: int
    body: int
    end: int


def index_first(data: bytes | memoryview) -> list[memoryview]:
    """The pieces of a file in the order in which it can be decoded; any other file as it is, in one piece."""
    view = memoryview(data)
    boxes = {box.name: box for box in reversed(list(_boxes(view, 0, len(view))))}
    audio, index = boxes.get(b"mdat"), boxes.get(b"moov")
    if b"ftyp" not in boxes or audio is None or index is None or index.start < audio.start:
        return [view]
    moov = bytearray(view[index.start : index.end])
    try:
        _move_offsets(moov, index.body - index.start, len(moov), index.start)
    except struct.error:  # an offset that would not fit any more, or a table that is cut off
        return [view]
    return [view[: audio.start], memoryview(moov), view[audio.start : index.start], view[index.end :]]


def _boxes(view: memoryview | bytearray, start: int, end: int) -> Iterator[Box]:
    """One after the other, as long as they are whole."""
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", view, start)
        body = start + 8
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", view, body)
            body += 8
        if start + size < body or start + size > end:
            return
        yield Box(name, start, body, start + size)
        start += size


def _move_offsets(moov: bytearray, start: int, end: int, audio_end: int) -> None:
    """Add the length of the index to each offset of what it is put before."""
    for box in _boxes(moov, start, end):
        if box.name in OFFSET_FORMATS:
            (count,) = struct.unpack_from(">I", moov, box.body + 4)
            table = struct.Struct(f">{count}{OFFSET_FORMATS[box.name]}")
            offsets = table.unpack_from(moov, box.body + 8)
            moved = (offset + len(moov) if offset < audio_end else offset for offset in offsets)
            table.pack_into(moov, box.body + 8, *moved)
        elif box.name in WAY_TO_OFFSETS:
            _move_offsets(moov, box.body, box.end, audio_end)
