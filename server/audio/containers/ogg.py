"""Ogg: Opus of Firefox's MediaRecorder and of recorders, also Vorbis and FLAC."""

import re

from server.audio.containers.demux import (
    MAX_TAKE_BYTES,
    AnotherFile,
    Codec,
    Packet,
    Packets,
    Place,
    Source,
    flac_codec,
    opus_codec,
)
from server.errors import AudioError

CONTINUED, BEGIN = 1, 2
KINDS = {b"OpusHead": "Opus", b"\x01vorbis": "Vorbis", b"\x7fFLAC": "FLAC"}
VORBIS_HEADERS = 3
PAGE = re.compile(rb"OggS\x00[\x00-\x07]")


def demux_ogg(source: Source) -> Packets:
    """The packets of the first audio stream. A page that is lost or damaged is passed over."""
    stream: _Stream | None = None
    while True:
        source.mark()
        start = source.position
        head = yield from source.take(27)
        if not head.startswith(b"OggS\0"):
            if stream is None or not stream.began:
                raise AudioError(f"The Ogg audio is damaged at byte {start}.")
            yield from source.resync(PAGE)
            stream.lose()
            continue
        lacing = yield from source.take(head[26])
        body = yield from source.take(sum(lacing))
        if (found := body.find(b"OggS\0")) >= 0 and stream and stream.began:  # the end of this page is lost
            source.unread(body[found:])
            stream.lose()
            continue
        flags, serial = head[5], head[14:18]
        kind = next((kind for magic, kind in KINDS.items() if body.startswith(magic)), None)
        if flags & BEGIN and kind and stream and stream.began:
            source.unread(head + lacing + body)
            raise AnotherFile
        if flags & BEGIN and kind and stream is None:
            stream = _Stream(serial, kind)
        if stream and serial == stream.serial:
            stream.add_to_prelude(head + lacing + body)
            stream.count(head)
            yield from stream.packets(flags, lacing, body, start)
        elif stream is None and not flags & BEGIN:
            raise AudioError("The Ogg upload has no audio in Opus, Vorbis or FLAC.")


class _Stream:
    """One logical stream. Header packets are known by what they begin with, so none has to be counted."""

    def __init__(self, serial: bytes, kind: str) -> None:
        self.serial = serial
        self.began = False
        self.damaged = False
        self._number: int | None = None
        self._rate = 48_000 if kind == "Opus" else 0
        self._granule: int | None = None  # samples at the end of the page before
        self._page_samples = 0
        self._time: float | None = None  # seconds at the beginning of this page
        self._kind = kind
        self._codec: Codec | None = None
        self._vorbis_headers: list[bytes] = []
        self._prelude = bytearray()
        self._part: bytearray | None = None
        """Beginning of a packet that goes on in the next page; ``None``: there is none, or it is unknown."""

    def lose(self) -> None:
        """Something could not be read: a packet that had begun has no end."""
        self.damaged, self._part = True, None

    def count(self, head: bytes) -> None:
        """Follow the pages' numbers, which tell of one that is missing, and the times at their ends."""
        granule, number = int.from_bytes(head[6:14], "little", signed=True), int.from_bytes(head[18:22], "little")
        if self.began and number and self._number is not None and number != self._number + 1:
            self.lose()
        self._number = number
        if granule < 0 or not self._rate:
            return
        if self.damaged and self._granule is not None:
            self._time = (granule - self._page_samples) / self._rate  # as long as the page before
        elif self._granule is not None:
            self._time, self._page_samples = self._granule / self._rate, granule - self._granule
        self._granule = granule if self._codec else None

    def add_to_prelude(self, page: bytes) -> None:
        if self._codec is None:
            self._prelude += page
            if len(self._prelude) > MAX_TAKE_BYTES:
                raise AudioError("The header of the Ogg audio is too long.")

    def packets(self, flags: int, lacing: bytes, body: bytes, start: int) -> Packets:
        """The packets that end in the page. One can begin again at a page, with the first packet that begins in it."""
        begins_here = not flags & CONTINUED
        place: Place | None = None
        if begins_here:
            self._part = bytearray()
        at = 0
        for length in lacing:
            if self._part is not None:
                self._part += body[at : at + length]
                if len(self._part) > MAX_TAKE_BYTES:
                    raise AudioError(f"The Ogg audio is damaged at byte {start}: a packet without an end.")
            at += length
            if length < 255:
                packet = bytes(self._part or b"")
                if packet and (codec := self._codec_of_audio(packet)):
                    first = begins_here and place is None
                    place = place or (Place(start, bytes(self._prelude)) if begins_here else None)
                    self.began = True
                    time, self._time = self._time, None
                    yield Packet(codec, packet, place if first else None, time, self.damaged)
                    self.damaged = False
                self._part, begins_here = bytearray(), True
        if lacing and lacing[-1] < 255:
            self._part = None

    def _codec_of_audio(self, packet: bytes) -> Codec | None:
        """``None`` for a header packet."""
        if self._kind == "Opus":
            if packet.startswith(b"OpusHead"):
                self._codec = opus_codec(packet, "Ogg")
            is_header = packet.startswith((b"OpusHead", b"OpusTags"))
        elif self._kind == "FLAC":
            if packet.startswith(b"\x7fFLAC"):
                self._codec = flac_codec(packet[17:], "Ogg")
                self._rate = int.from_bytes(packet[27:30], "big") >> 4
            is_header = packet[0] != 0xFF
        else:
            is_header = bool(packet[0] & 1)
            if is_header and self._codec is None:
                self._add_vorbis_header(packet)
        if not is_header and self._codec is None:
            raise AudioError("The header of the Ogg audio is damaged.")
        return None if is_header else self._codec

    def _add_vorbis_header(self, packet: bytes) -> None:
        self._vorbis_headers.append(packet)
        self._rate = self._rate or int.from_bytes(packet[12:16], "little")
        if len(self._vorbis_headers) == VORBIS_HEADERS:
            identification, _, setup = self._vorbis_headers
            if len(identification) + len(setup) > 0xFFFF:
                raise AudioError("The header of the Ogg audio is too long.")
            no_comment = b"\x03vorbis" + bytes(9)  # the comment may be a picture, too long for a size of two bytes
            sized = (len(each).to_bytes(2, "big") + each for each in (identification, no_comment, setup))
            self._codec = Codec("vorbis", b"".join(sized), lead_in=True)
