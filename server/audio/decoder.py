"""From uploaded bytes to 16 kHz mono PCM, incrementally, and back from a time to a byte. No asyncio, no I/O.

An upload is one file after another, or samples without a header. Each file has a decoder of its own, on one clock.
"""

import threading
from collections import deque
from dataclasses import replace

from server.audio.containers.decoder import ContainerDecoder
from server.audio.containers.foreign import demux_with
from server.audio.containers.frames import is_certain
from server.audio.containers.kinds import DEMUXERS
from server.audio.findings import Finding
from server.audio.formats import MAGIC_BYTES, ForeignWav, container_of, parse_wav_header
from server.audio.preludes import NEW_FILE, foreign_of, wav_of
from server.audio.probing import probed
from server.audio.raw import RawDecoder, prelude_of
from server.audio.signatures import (
    SMOOTH_BYTES,
    TEXT_BYTES,
    foreign_in,
    has_magic,
    like_pcm,
    no_audio_in,
    text_in,
    without_beginning,
)
from server.engines.base import BYTES_PER_SECOND
from server.errors import AudioError
from server.models import SessionConfig
from server.session_log.base import Checkpoint

COMPRESSED_SLICE_BYTES, RAW_SLICE_BYTES = 4_096, 2 * BYTES_PER_SECOND
"""How much of an upload is decoded at once: a few bytes of compressed audio may hold minutes."""
PROBES = (4_096, 16_384)
"""Bytes that FFmpeg is asked about, where nothing else tells what they are."""
MAX_FILES = 4_096
"""Files that have ended and whose audio is not accounted for yet."""

Decoder = RawDecoder | ContainerDecoder


class AudioDecoder:
    """One session's upload from a checkpoint on: ``decode``, ``flush``, and the byte that belongs to a time.

    ``position`` is the offset in the upload of the next byte to be fed. While ``pending``, there is more PCM in what
    was fed: ask again, ``decode`` with nothing or ``flush``. :meth:`checkpoint_at` may be called from another thread.
    """

    def __init__(self, config: SessionConfig, checkpoint: Checkpoint) -> None:
        self.position = checkpoint.offset
        self._config = config
        self._base = checkpoint
        self._first = checkpoint.seconds
        self._given = 0
        self._held = b""
        self._probed = 0
        self._lock = threading.Lock()
        self._decoder = self._resumed(checkpoint)
        self._ended_files: deque[tuple[float, Decoder]] = deque(maxlen=MAX_FILES)
        """Where each began on the audio clock, and what knows its places."""

    @property
    def is_raw(self) -> bool:
        """Whether the upload is plain samples, whose decoding takes next to no time."""
        return isinstance(self._decoder, RawDecoder)

    @property
    def pending(self) -> bool:
        return self._decoder is not None and self._decoder.pending

    @property
    def slice_bytes(self) -> int:
        """How much to feed at once."""
        return RAW_SLICE_BYTES if self.is_raw else COMPRESSED_SLICE_BYTES

    @property
    def seconds(self) -> float:
        """Time on the audio clock up to which bytes have been fed."""
        return self._decoder.seconds if self._decoder else self._base.seconds

    def decode(self, data: bytes) -> bytes:
        """PCM of the next bytes of the upload. Raises :class:`AudioError`."""
        self.position += len(data)
        if isinstance(self._decoder, RawDecoder) and self._decoder.is_headerless:  # as a microphone's; nothing follows
            samples = self._decoder.decode(data)
            self._given += len(samples)
            return samples
        pcm = bytearray()
        while True:
            if self._decoder is None:
                data = self._hold(data, ended=False)
                if self._decoder is None:
                    break
            pcm += self._decoder.decode(data)
            if self._decoder.rest is None:
                break
            data = self._next_file(len(pcm))
        self._given += len(pcm)
        return bytes(pcm)

    def flush(self) -> bytes:
        """PCM of what is still held back; nothing comes after it. Raises :class:`AudioError`."""
        pcm = bytearray()
        data = b""
        while True:
            if self._decoder is None:
                data = self._hold(data, ended=True)
            assert self._decoder is not None
            pcm += self._decoder.decode(data) if data else b""
            if self._decoder.rest is None and not (data and self._decoder.pending):
                pcm += self._decoder.flush()
            if self._decoder.rest is None:
                break
            data = self._next_file(len(pcm))
        self._given += len(pcm)
        return bytes(pcm)

    def findings(self) -> list[Finding]:
        """What the client is to be told and was not told yet."""
        if not self._ended_files and not (self._decoder and self._decoder.findings):
            return []
        found = self._decoder.findings if self._decoder else []
        with self._lock:
            for _, each in self._ended_files:
                found, each.findings = each.findings + found, []
        if self._decoder:
            self._decoder.findings = []
        return found

    def close(self) -> None:
        if self._decoder:
            self._decoder.close()

    def checkpoint_at(self, seconds: float) -> Checkpoint:
        """The place in the upload that belongs to a time on the audio clock."""
        with self._lock:
            while len(self._ended_files) > 1 and self._ended_files[1][0] <= seconds:
                self._ended_files.popleft()
            if self._ended_files and self._base.seconds <= seconds:
                self._ended_files.clear()
            decoder = self._ended_files[0][1] if self._ended_files else self._decoder
        return decoder.checkpoint_at(seconds) if decoder else self._base

    # --- which file this is -----------------------------------------------------------------------------------------

    def _resumed(self, checkpoint: Checkpoint) -> Decoder | None:
        """The decoder that goes on at the checkpoint; ``None``: the bytes there will tell."""
        prelude = checkpoint.prelude
        if prelude == NEW_FILE:
            return None
        if foreign := foreign_of(prelude):
            name, form, header = foreign
            return ContainerDecoder(name, demux_with(name, form), checkpoint, header=header, resumes=True)
        file_start, header = wav_of(prelude) or (0, prelude)
        container = container_of(header)
        if container == "WAV":
            return RawDecoder(self._config, checkpoint, parse_wav_header(header), file_start)
        if container:
            return ContainerDecoder(container, DEMUXERS[container], checkpoint, header=header, resumes=True)
        if self._config.encoding != "auto" or checkpoint.offset:
            return RawDecoder(self._config, checkpoint)
        return None

    def _hold(self, data: bytes, *, ended: bool) -> bytes:
        """Look what begins here, and give the bytes that its decoder is to be fed."""
        self._held += data
        start = self._base.offset
        decoder = self._detected(self._held, ended=ended)
        if decoder is None:
            return b""
        with self._lock:
            self._decoder = decoder
        data, self._held = self._held[self._base.offset - start :], b""  # the header of a WAV is told already
        return data

    def _next_file(self, given: int) -> bytes:
        """Another file begins; gives its bytes."""
        assert self._decoder is not None
        rest = self._decoder.rest or b""
        self._decoder.close()
        seconds = self._first + (self._given + given) / BYTES_PER_SECOND
        with self._lock:
            self._ended_files.append((self._base.seconds, self._decoder))
            self._decoder, self._probed = None, 0
            self._base = Checkpoint(self.position - len(rest), seconds, NEW_FILE, self._base.engine)
        return rest

    def _detected(self, held: bytes, *, ended: bool) -> Decoder | None:
        """The decoder for what begins with these bytes; ``None`` while they don't tell. Raises :class:`AudioError`."""
        if not ended and (len(held) < MAGIC_BYTES or not is_certain(held)):
            return None
        container = container_of(held)
        if container and ended and not (len(held) >= MAGIC_BYTES and is_certain(held)):
            container = None
        if container == "WAV":
            return self._wav(held, ended=ended)
        if container:
            return self._contained(container)
        return self._unknown(held, ended=ended)

    def _contained(self, name: str, form: str = "") -> ContainerDecoder:
        demux = demux_with(name, form) if form else DEMUXERS[name]
        start = self._base.seconds - self._base.skip_seconds
        return ContainerDecoder(name, demux, self._base, start=start)

    def _wav(self, held: bytes, *, ended: bool) -> Decoder | None:
        try:
            header = parse_wav_header(held)
        except ForeignWav as exc:
            return self._contained(exc.name, "wav")
        if header is None:
            if ended:
                raise AudioError("The upload ended inside its header.")
            return None
        start = self._base.offset
        prelude = prelude_of(held[: header.length], start)
        self._base = replace(self._base, offset=start + header.length, prelude=prelude)
        return RawDecoder(self._config, self._base, header, start)

    def _unknown(self, held: bytes, *, ended: bool) -> Decoder | None:
        """Bytes that begin as none of our own containers do."""
        if refusal := no_audio_in(held, ended=ended):
            raise AudioError(refusal)
        if foreign := foreign_in(held):
            return self._contained(*foreign)
        if not ended and len(held) < TEXT_BYTES and text_in(held):
            return None
        pcm = RawDecoder(self._config, self._base)
        if len(held) >= SMOOTH_BYTES and like_pcm(held) and not has_magic(held):
            return pcm
        stage = max((each for each in PROBES if each <= len(held)), default=0)
        if stage == self._probed and not ended:
            return None
        self._probed = stage
        if len(held) >= SMOOTH_BYTES and not like_pcm(held) and (lost := without_beginning(held)):
            raise AudioError(lost)
        if found := probed(held):
            return self._contained(*found)
        return pcm if ended or stage == PROBES[-1] or like_pcm(held) else None
