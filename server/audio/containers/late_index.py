"""MP4 whose index comes behind its audio, as phones write it: the audio waits on disk until the index has come."""

from collections.abc import Generator
from tempfile import TemporaryFile

from server.audio.containers.demux import Source
from server.errors import AudioError

MAX_BYTES = 67_108_864
PIECE_BYTES = 65_536
TOO_LONG = (
    f"This MP4 has its index (moov) at the end, and more than {MAX_BYTES} bytes before it. "
    "Send a fragmented one, or one with the index first: ffmpeg -i INPUT -c copy -movflags +faststart output.mp4"
)


class LateIndex:
    """Audio of which nobody knows yet where its packets are."""

    def __init__(self) -> None:
        self._file = TemporaryFile()  # noqa: SIM115 - it lives as long as this
        self._parts: list[tuple[int, int, int]] = []  # offset in the upload, place in the file, size

    def close(self) -> None:
        """The file is gone with it."""
        self._file.close()

    def keep(self, source: Source, end: int | None) -> Generator[None, None, None]:
        """Take everything up to ``end`` of the upload. Raises :class:`AudioError` when that is too much."""
        place = self._file.seek(0, 2)
        start = source.position
        if end is None or place + end - start > MAX_BYTES:
            raise AudioError(TOO_LONG)
        self._parts.append((start, place, end - start))
        while source.position < end:
            piece = yield from source.take_some(min(PIECE_BYTES, end - source.position))
            if not piece:
                raise AudioError("The MP4 upload ended before its index (moov).")
            self._file.write(piece)

    def read(self, offset: int, size: int) -> bytes | None:
        """These bytes of the upload; ``None``: they were not among what was kept."""
        for start, place, length in self._parts:
            if start <= offset and offset + size <= start + length:
                self._file.seek(place + offset - start)
                return self._file.read(size)
        return None
