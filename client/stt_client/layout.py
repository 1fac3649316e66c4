"""Where a second of sound lies in an upload, as far as the first bytes and the configuration tell. Pure."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SAMPLE_BYTES = {"linear16": 2, "mulaw": 1, "alaw": 1}
MAGIC_BYTES = 12
MAX_HEADER_BYTES = 65_536
CONTAINERS = (b"OggS", b"\x1aE\xdf\xa3", b"fLaC", b"ID3", b"\xff")
"""How compressed audio begins. 0xFF is the first byte of an MP3 or AAC frame, though also of a quiet sample."""
STREAMED_SIZES = (0, 0x7FFF_FFFF)
LARGEST_SIZE = 0xFFFF_FF00
"""A WAV that is written to a pipe has one of the sizes above, or a larger one than this."""


@dataclass(frozen=True, slots=True)
class Layout:
    """``frame_bytes``: of one sample of all channels. ``header``: the bytes before the first sample, of a WAV only."""

    bytes_per_second: int
    frame_bytes: int
    header: bytes = b""

    def offset_of(self, seconds: float) -> int:
        """The byte in the upload where the sample of this time begins."""
        frames = int(seconds * self.bytes_per_second / self.frame_bytes + 1e-6)
        return len(self.header) + frames * self.frame_bytes

    def seconds_at(self, offset: int) -> float:
        return max(0, offset - len(self.header)) / self.bytes_per_second

    def next_frame(self, offset: int) -> int:
        """The first byte of a sample that is not before ``offset``."""
        inside = max(0, offset - len(self.header))
        return len(self.header) + -(-inside // self.frame_bytes) * self.frame_bytes

    def header_without(self, skipped: int) -> bytes:
        """The header of an upload that lacks its first ``skipped`` bytes of sound."""
        if not self.header:
            return b""
        (size,) = struct.unpack("<I", self.header[-4:])
        if size in STREAMED_SIZES or size >= LARGEST_SIZE:
            return self.header
        return self.header[:-4] + struct.pack("<I", max(1, size - skipped))  # 0 would mean a stream


def layout_of(head: bytes, config: Mapping[str, Any]) -> Layout | None:
    """The layout of an upload that begins with ``head``; ``None`` where only the server can tell, or not yet."""
    encoding = config.get("encoding", "auto")
    if encoding != "auto":
        return _raw(encoding, config)
    if len(head) < MAGIC_BYTES:
        return None
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return _wav(head)
    if head.startswith(CONTAINERS) or head[4:8] == b"ftyp":
        return None
    return _raw("linear16", config)


def _raw(encoding: str, config: Mapping[str, Any]) -> Layout | None:
    if encoding not in SAMPLE_BYTES:
        return None
    frame_bytes = SAMPLE_BYTES[encoding] * int(config.get("channels", 1))
    return Layout(int(config.get("sample_rate", 16_000)) * frame_bytes, frame_bytes)


def _wav(head: bytes) -> Layout | None:
    at, bytes_per_second, frame_bytes = MAGIC_BYTES, 0, 0
    while at + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, at)
        at += 8
        if name == b"data":
            return Layout(bytes_per_second, frame_bytes, head[:at]) if bytes_per_second and frame_bytes else None
        if name == b"fmt " and at + 14 <= len(head):
            rate, _, frame_bytes = struct.unpack_from("<IIH", head, at + 4)
            bytes_per_second = rate * frame_bytes
        at += size + size % 2
    return None
