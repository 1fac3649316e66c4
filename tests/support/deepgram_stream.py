"""One stream of the Deepgram peer: what it receives, what it says, and what befalls it."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed

from server.audio.formats import SampleFormat, parse_wav_header
from server.audio.raw import Resampler
from server.errors import AudioError
from tests.support.deepgram_speech import Began, Heard, Hypothesis, MakeTranscriber, Transcriber

NET_0000 = "Deepgram did not provide a response message within the timeout window. See https://dpgr.am/net0000"
NET_0001 = (
    "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net0001"
)
DATA_0000 = "DATA-0000"
MODEL_UUID = "1abfe86b-e047-4eed-858a-35e5625b41ee"
RATE = 16_000
CODECS = {"linear16": ("pcm_s16le", 2), "mulaw": ("pcm_mulaw", 1), "alaw": ("pcm_alaw", 1)}

Query = list[tuple[str, str]]


@dataclass(frozen=True)
class Refuse:
    """The handshake fails."""

    status: int
    code: str = "REFUSED"
    message: str = "Refused by the plan."
    as_json: bool = True


@dataclass(frozen=True)
class NeverAnswer:
    """The TCP connection is accepted, the handshake is not answered."""


@dataclass(frozen=True)
class Trouble:
    """What happens to an open stream, after so many seconds of its audio."""

    close_after: float | None = None
    code: int | None = 1011
    """``None``: the connection just ends."""
    reason: str = NET_0000
    deaf_after: float | None = None
    """It stops reading, and so answers no ping."""
    mute_after: float | None = None
    """It reads and says nothing."""
    ignores: tuple[str, ...] = ()
    """Text messages that are not answered."""
    delay: float = 0.0
    """Seconds by which every message is late."""
    seconds_per_second: float = 0.0
    """Time taken to read a second of audio: above 1 it can't keep up."""


Misfortune = Refuse | NeverAnswer | Trouble


@dataclass
class Handshake:
    """``status`` is 101 for a stream."""

    query: Query
    headers: Headers
    status: int
    request_id: str
    trouble: Trouble = Trouble()

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.query if key == name), default)

    def flag(self, name: str) -> bool:
        return self.get(name).lower() == "true"

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]


@dataclass(frozen=True)
class Habits:
    """What all streams of a peer have in common. ``alter`` may change a message before it is said."""

    transcriber: MakeTranscriber
    hungry_seconds: float = 10.0
    mute_seconds: float = 30.0
    alter: Callable[[dict[str, Any]], None] | None = None


@dataclass
class PeerStream:
    """``audio`` is what was received, ``frames`` its pieces with their arrival, ``texts`` the text frames."""

    connection: ServerConnection
    handshake: Handshake
    habits: Habits
    note_change: Callable[[], None]
    audio: bytearray = field(default_factory=bytearray)
    frames: list[tuple[float, int]] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    over: bool = False

    def __post_init__(self) -> None:
        self._trouble = self.handshake.trouble
        self._inbox: asyncio.Queue[bytes | str] = asyncio.Queue()
        self._outbox: asyncio.Queue[tuple[float, dict[str, Any] | None]] = asyncio.Queue()
        self._resampler: Resampler | None = None
        self._held = b""
        self._heard_samples = 0
        self._range_start = 0.0
        self._said_at = 0.0  # seconds of audio
        self._hypothesis = Hypothesis("", (), 0.0)
        self._last_word_end: float | None = None
        self._flushed: list[Hypothesis] | None = None
        self._mute = asyncio.timeout(self.habits.mute_seconds)

    @property
    def seconds(self) -> float:
        """Audio received; only of PCM16 at 16 kHz."""
        return len(self.audio) / 2 / RATE

    def count(self, kind: str) -> int:
        return sum(text.get("type") == kind for text in self.texts)

    async def run(self) -> None:
        try:
            async with self._mute, asyncio.TaskGroup() as tasks:
                others = [tasks.create_task(self._transcribe(tasks)), tasks.create_task(self._speak())]
                await self._receive()
                for task in others:
                    task.cancel()
        except TimeoutError:
            await self.connection.close(1011, NET_0000)

    async def _receive(self) -> None:
        """Never waits for the transcription, so that pings are answered."""
        while True:
            try:
                async with asyncio.timeout(self.habits.hungry_seconds):
                    message = await self.connection.recv()
            except TimeoutError:
                await self.connection.close(1011, NET_0001)
                return
            except ConnectionClosed:
                return
            if isinstance(message, bytes) and message:
                await self._receive_audio(message)
            else:
                self._receive_text(message if isinstance(message, str) else '{"type":"CloseStream"}')
            self.note_change()
            if await self._in_trouble():
                return

    async def _receive_audio(self, data: bytes) -> None:
        self.audio += data
        self.frames.append((asyncio.get_running_loop().time(), len(data)))
        self._inbox.put_nowait(data)
        await asyncio.sleep(self._trouble.seconds_per_second * len(data) / 2 / RATE)

    def _receive_text(self, message: str) -> None:
        try:
            text = json.loads(message)
            kind = text["type"]
        except (ValueError, TypeError, KeyError):
            text = kind = None
        if kind not in ("KeepAlive", "Finalize", "CloseStream", "Configure"):
            description = "Could not deserialize last text message"
            self._say({"type": "Error", "variant": "SchemaError", "description": description, "message": message})
            return
        self.texts.append(text)
        if kind == "Configure":
            self._say(self._configure(text))
        elif kind != "KeepAlive" and kind not in self._trouble.ignores:
            self._inbox.put_nowait(kind)

    def _configure(self, message: Mapping[str, Any]) -> dict[str, Any]:
        common = {"request_id": self.handshake.request_id}
        if self.handshake.get("model").startswith("nova-3"):
            return {"type": "ConfigureSuccess", **common, "keyterms": message.get("keyterms")}
        code = "CONFIGURE_KEYTERMS_NOT_SUPPORTED"
        return {"type": "ConfigureFailure", **common, "code": code, "description": "Use Nova-3."}

    async def _in_trouble(self) -> bool:
        trouble = self._trouble
        if trouble.close_after is not None and self.seconds >= trouble.close_after:
            if trouble.code is None:
                self.connection.transport.abort()
            else:
                await self.connection.close(trouble.code, trouble.reason)
            return True
        if trouble.deaf_after is not None and self.seconds >= trouble.deaf_after:
            self._trouble = Trouble(mute_after=0)
            self.connection.transport.pause_reading()
            await self.connection.wait_closed()
            return True
        return False

    # --- hearing ----------------------------------------------------------------------------------------------------

    async def _transcribe(self, tasks: asyncio.TaskGroup) -> None:
        endpointing = self.handshake.get("endpointing", "10")
        pause = int(endpointing) / 1000 if endpointing.isdigit() else 3600.0
        transcriber = self.habits.transcriber(self._take, pause, tasks)
        try:
            while True:
                await self._obey(transcriber, await self._inbox.get())
        except AudioError:
            await self.connection.close(1008, DATA_0000)
        finally:
            await transcriber.aclose()

    async def _obey(self, transcriber: Transcriber, order: bytes | str) -> None:
        if isinstance(order, bytes):
            await self._hear(transcriber, self._decode(order))
        elif order == "Finalize":
            await self._flush(transcriber, from_finalize=True)
        else:
            await self._flush(transcriber, from_finalize=False)
            self._say(self._metadata())
            self._outbox.put_nowait((0.0, None))

    async def _hear(self, transcriber: Transcriber, pcm: bytes) -> None:
        if pcm:
            self._heard_samples += len(pcm) // 2
            await transcriber.hear(pcm)
            self._say_what_is_due()

    def _decode(self, data: bytes) -> bytes:
        if self._resampler is not None:
            return self._resampler.decode(data)
        if encoding := self.handshake.get("encoding"):
            codec, width = CODECS[encoding]
            rate, channels = int(self.handshake.get("sample_rate")), int(self.handshake.get("channels", "1"))
            self._resampler = Resampler(SampleFormat(codec, rate, channels, width))
            return self._resampler.decode(data)
        self._held += data
        if len(self._held) < 12:
            return b""
        if (self._held[:4], self._held[8:12]) != (b"RIFF", b"WAVE"):
            raise AudioError(DATA_0000)
        header = parse_wav_header(self._held)
        if header is None:
            return b""
        self._resampler = Resampler(header.format)
        return self._resampler.decode(self._held[header.length :])

    async def _flush(self, transcriber: Transcriber, *, from_finalize: bool) -> None:
        self._flushed = []
        await transcriber.flush()
        flushed, self._flushed = self._flushed, None
        heard = self._heard_samples / RATE
        if not flushed and heard > self._range_start:
            flushed.append(Hypothesis("", (), heard, settled=True))
        for index, hypothesis in enumerate(flushed):
            last = index == len(flushed) - 1
            self._say_hypothesis(hypothesis, from_finalize=from_finalize and last)

    async def _take(self, heard: Heard) -> None:
        if isinstance(heard, Began):
            if self.handshake.flag("vad_events"):
                self._say({"type": "SpeechStarted", "channel": [0, 1], "timestamp": round(heard.at, 3)})
        elif self._flushed is not None and heard.settled:
            self._flushed.append(heard)
        else:
            self._say_hypothesis(heard, from_finalize=False)

    # --- speaking ---------------------------------------------------------------------------------------------------

    def _say_hypothesis(self, hypothesis: Hypothesis, *, from_finalize: bool) -> None:
        self._hypothesis = Hypothesis("", (), hypothesis.until) if hypothesis.settled else hypothesis
        if hypothesis.words:
            self._last_word_end = hypothesis.words[-1].end
        if hypothesis.settled or self.handshake.flag("interim_results"):
            message = self._results(hypothesis, from_finalize=from_finalize)
            if self.habits.alter is not None:
                self.habits.alter(message)
            self._say(message)
        if hypothesis.settled:
            self._range_start = max(self._range_start, hypothesis.until)

    def _say_what_is_due(self) -> None:
        """An interim each second, also of silence; UtteranceEnd once after the last word."""
        now = self._heard_samples / RATE
        gap = self.handshake.get("utterance_end_ms")
        if gap and self._last_word_end is not None and now - self._last_word_end >= int(gap) / 1000:
            last_word_end = round(self._last_word_end, 3)
            self._last_word_end = None
            self._say({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": last_word_end})
        if now - self._said_at >= 1.0 and self.handshake.flag("interim_results"):
            latest = self._hypothesis
            self._say(self._results(Hypothesis(latest.text, latest.words, now), from_finalize=False))

    def _results(self, hypothesis: Hypothesis, *, from_finalize: bool) -> dict[str, Any]:
        written = self.handshake.flag("punctuate") or self.handshake.flag("smart_format")
        words: list[dict[str, Any]] = [
            {"word": word.word, "start": round(word.start, 3), "end": round(word.end, 3)}
            | {"confidence": round(word.confidence or 0.5, 4)}
            | ({"punctuated_word": word.word} if written else {})
            for word in hypothesis.words
        ]
        confidence = sum(word["confidence"] for word in words) / len(words) if words else 0.0
        info = {"name": f"general-{self.handshake.get('model')}", "version": "2026-10-23.0", "arch": "peer"}
        return {
            "type": "Results",
            "channel_index": [0, 1],
            "duration": round(max(0.0, hypothesis.until - self._range_start), 6),
            "start": round(self._range_start, 6),
            "is_final": hypothesis.settled,
            "speech_final": hypothesis.ended,
            "channel": {
                "alternatives": [{"transcript": hypothesis.text, "confidence": confidence, "words": words}],
            },
            "metadata": {"request_id": self.handshake.request_id, "model_info": info, "model_uuid": MODEL_UUID},
            "from_finalize": from_finalize,
        }

    def _metadata(self) -> dict[str, Any]:
        info = {"name": f"general-{self.handshake.get('model')}", "version": "2026-10-23.0", "arch": "peer"}
        return {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self.handshake.request_id,
            "sha256": hashlib.sha256(self.audio).hexdigest(),
            "created": "2026-11-21T00:00:00.000Z",
            "duration": round(self._heard_samples / RATE, 6),
            "channels": 1 if self._heard_samples else 0,
        } | ({"models": [MODEL_UUID], "model_info": {MODEL_UUID: info}} if self._heard_samples else {})

    def _say(self, message: dict[str, Any]) -> None:
        self._said_at = self._heard_samples / RATE
        self._outbox.put_nowait((asyncio.get_running_loop().time() + self._trouble.delay, message))

    async def _speak(self) -> None:
        while True:
            due, message = await self._outbox.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            if self._trouble.mute_after is not None and self.seconds >= self._trouble.mute_after:
                continue
            if message is None:
                await self.connection.close()
                return
            self._mute.reschedule(asyncio.get_running_loop().time() + self.habits.mute_seconds)
            self.said.append(message)
            with suppress(ConnectionClosed):
                await self.connection.send(json.dumps(message, ensure_ascii=False))
            self.note_change()
