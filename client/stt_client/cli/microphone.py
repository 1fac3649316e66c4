"""The microphone as a source of PCM, through the optional package ``sounddevice``."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

CHUNK_SECONDS = 0.1
KEPT_SECONDS = 60

MISSING = (
    "The microphone needs the package sounddevice (pip install sounddevice) and the PortAudio library "
    "(Debian, Ubuntu: apt install libportaudio2; it comes with the package on Windows and macOS)."
)


class MicrophoneError(Exception):
    """There is no microphone to read: a package or a library is missing, or the device cannot be opened."""


class Feed:
    """Bytes handed from another thread to the event loop; iteration yields all that came since the last time.

    What comes while ``limit_bytes`` wait to be taken is dropped and counted in ``lost_bytes``: a device cannot wait.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.lost_bytes = 0
        self._limit_bytes = limit_bytes
        self._loop = asyncio.get_running_loop()
        self._pcm = bytearray()
        self._closed = False
        self._changed = asyncio.Event()

    def push(self, pcm: bytes) -> None:
        """Hand over. Any thread may call; bytes after ``close`` are dropped."""
        self._call(self._take, pcm)

    def close(self) -> None:
        """No more comes; what was pushed is still yielded. Any thread may call."""
        self._call(self._end)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self._closed or self._pcm:
            await self._changed.wait()
            if not self._closed:
                self._changed.clear()
            pcm = bytes(self._pcm)
            self._pcm.clear()
            if pcm:
                yield pcm

    def _call(self, *call: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(*call)

    def _take(self, pcm: bytes) -> None:
        if self._closed:
            return
        if len(self._pcm) + len(pcm) > self._limit_bytes:
            self.lost_bytes += len(pcm)
            return
        self._pcm += pcm
        self._changed.set()

    def _end(self) -> None:
        self._closed = True
        self._changed.set()


class Microphone:
    """The default input device, recording PCM16 mono from now until ``stop``. Raises :class:`MicrophoneError`.

    Must be made where an event loop runs.
    """

    def __init__(self, sample_rate: int = 16000) -> None:
        device = _sounddevice()
        self._stopped = False
        try:
            self.sample_rate = _supported_rate(device, sample_rate)
            self._feed = Feed(KEPT_SECONDS * 2 * self.sample_rate)
            self._stream = device.RawInputStream(
                samplerate=self.sample_rate,
                blocksize=int(CHUNK_SECONDS * self.sample_rate),
                channels=1,
                dtype="int16",
                callback=self._record,
            )
            self._stream.start()
        except (device.PortAudioError, ValueError) as error:
            raise MicrophoneError(f"The microphone cannot be opened: {error}") from error
        self.byte_rate: int | None = 2 * self.sample_rate
        self.total_bytes: int | None = None
        self.config: dict[str, Any] = {"sample_rate": self.sample_rate, "encoding": "linear16"}

    @property
    def lost_seconds(self) -> float:
        """Recorded audio that nobody took in time."""
        return self._feed.lost_bytes / (2 * self.sample_rate)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._feed.__aiter__()

    def stop(self) -> None:
        """End the recording; what was recorded is still yielded. May be called again."""
        if not self._stopped:
            self._stopped = True
            self._stream.stop()
            self._stream.close()
            self._feed.close()

    def _record(self, pcm: Any, frames: int, time: Any, status: Any) -> None:
        self._feed.push(bytes(pcm))


def _sounddevice() -> Any:
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the package is there, but PortAudio is not
        raise MicrophoneError(f"{MISSING} ({error})") from error
    return sounddevice


def _supported_rate(device: Any, sample_rate: int) -> int:
    """``sample_rate`` if the device records at it, otherwise the device's own, in Hz."""
    try:
        device.check_input_settings(channels=1, dtype="int16", samplerate=sample_rate)
    except device.PortAudioError:
        return int(device.query_devices(kind="input")["default_samplerate"])
    return sample_rate
