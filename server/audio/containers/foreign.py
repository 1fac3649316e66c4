"""Whatever else FFmpeg can take apart: its demuxer on a thread, fed as bytes arrive, in step with who feeds it."""

import re
import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from server.audio.containers.demux import Codec, Packet, Packets, Place, Source
from server.audio.preludes import foreign_prelude
from server.audio.signatures import BEGINNINGS, CONVERT
from server.errors import AudioError

OPTIONS = {"protocol_whitelist": "none", "probesize": "262144", "analyzeduration": "1000000"}
"""A file may name others, of this machine or of its network: none is opened."""
READ_BYTES = 4_096
MAX_PRELUDE_BYTES = 65_536
"""Of a header that is kept with a checkpoint. A file with more of it is kept whole."""
ANSWER_SECONDS = 20.0
"""A demuxer that does not come back after so long never will."""
RESUMED = frozenset("aac ac3 aiff amr au eac3 flv loas mp3 mpegts voc w64 wav".split())
"""FFmpeg finds their packets again behind a cut. An upload in another format is kept until its session ends."""


TIMED = frozenset({"flv", "mpegts"})
"""Their times are those of the recording, also behind a loss."""


NOTHING = re.compile(rb"(?!)")
TRAILER_BYTES, ENOUGH = 4_096, 0.75
"""Tags and indexes behind the audio. FFmpeg's demuxer has ended there; more of it was audio that it could not read."""


class _Closed(OSError):
    """Nobody feeds the demuxer any more."""


class _Pipe:
    """The end of the pipe that FFmpeg reads; in ``asked`` stands what it found, or that it needs bytes."""

    def __init__(self) -> None:
        self.asked: SimpleQueue[Packet | AudioError | None] = SimpleQueue()
        self.fed: SimpleQueue[bytes | None] = SimpleQueue()
        self.taken = 0
        self.head = bytearray()
        self.audio_bytes = 0
        self._ended = self._closed = False

    def read(self, size: int) -> bytes:
        if self._closed:
            raise _Closed
        if self._ended:
            return b""
        self.asked.put(None)
        data = self.fed.get()
        if data is None:
            self._closed = True
            raise _Closed
        self._ended = not data
        self.taken += len(data)
        if len(self.head) <= MAX_PRELUDE_BYTES:
            self.head += data
        return data


def demux_with(name: str, form: str) -> Callable[[Source], Packets]:
    """A demuxer of packets for FFmpeg's format ``form``; ``name`` is what people call it."""

    def demux(source: Source) -> Packets:
        start, pipe, piece = source.position, _Pipe(), b""
        thread = threading.Thread(target=_demux, args=(pipe, name, form, start), name="demux", daemon=True)
        thread.start()
        try:
            while True:
                try:
                    found = pipe.asked.get(timeout=ANSWER_SECONDS)
                except Empty:
                    raise AudioError(f"The {name} audio can't be taken apart.") from None
                if isinstance(found, AudioError):
                    raise found
                if isinstance(found, Packet):
                    if not found.data:
                        source.lost = int(found.damaged)
                        break
                    yield found
                else:
                    piece = yield from source.take_some(READ_BYTES)
                    pipe.fed.put(piece)
            if BEGINNINGS.search(piece):  # of another file, which FFmpeg has read, too
                source.unread(piece)
            yield from source.resync(NOTHING, unsaid=TRAILER_BYTES)
        finally:
            pipe.fed.put(None)

    return demux


def _demux(pipe: _Pipe, name: str, form: str, start: int) -> None:
    """Runs on the thread: packets, then an empty one, or what is wrong."""
    end: Packet | AudioError = AudioError(f"The {name} audio can't be read as it arrives. {CONVERT}")
    try:
        with av.open(pipe, "r", format=form, options=OPTIONS, buffer_size=READ_BYTES) as opened:
            for packet in _packets(opened, pipe, name, form, start):
                pipe.asked.put(packet)
            end = Packet(Codec("none"), b"", None, damaged=_passed_over(opened, pipe))
    except AudioError as exc:
        end = exc
    except (av.FFmpegError, OSError, ValueError, IndexError):
        pass  # it is told as it stands above
    finally:
        pipe.asked.put(end)


def _passed_over(opened: InputContainer, pipe: _Pipe) -> bool:
    """Whether much of the file was no audio, though it holds nothing but audio."""
    alone = not opened.streams.video and opened.format.name not in ("mpegts", "mpeg")
    return alone and pipe.audio_bytes < ENOUGH * (pipe.taken - TRAILER_BYTES)


def _packets(opened: InputContainer, pipe: _Pipe, name: str, form: str, start: int) -> Iterator[Packet]:
    """The packets of the first audio stream, with the places where FFmpeg can begin again."""
    stream = next(iter(opened.streams.audio), None)
    if stream is None:
        raise AudioError(f"The {name} upload has no audio track.")
    context = stream.codec_context
    if context is None or not context.sample_rate:
        raise AudioError(f"The {name} audio is in a codec that can't be decoded here. {CONVERT}")
    codec = Codec(context.name, context=context)
    header: bytes | None = None
    last = -1
    for packet in opened.demux(stream):
        if not packet.size:
            continue
        place, at = None, packet.pos
        if at is not None and at >= 0 and form in RESUMED:
            if header is None and at <= MAX_PRELUDE_BYTES:
                header = foreign_prelude(name, form, bytes(pipe.head[:at]))
            if header is not None and at > last:
                place = Place(start + at, header)
            last = max(last, at)
        pipe.audio_bytes += packet.size
        yield Packet(codec, bytes(packet), place, _time(packet) if form in TIMED else None)


def _time(packet: "av.Packet[AudioStream]") -> float | None:
    return float(packet.pts * packet.time_base) if packet.pts is not None and packet.time_base else None
