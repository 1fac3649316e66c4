"""Command line: transcribe a file, standard input or the microphone, live.

python -m client.cli talk.wav
arecord -t raw -f S16_LE -r 16000 -c 1 | python -m client.cli -
python -m client.cli
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from rich.console import Console

from client.microphone import Feed, Microphone, MicrophoneError
from client.stt_client import (
    RequestRefused,
    RetryPolicy,
    ServerUnavailable,
    Session,
    SessionLost,
    STTClient,
    STTClientError,
)
from client.terminal import Display, clock

EXIT_CODES = """\
exit codes:
  0    the transcript is complete
  1    the session ended with an error, or before the audio did
  2    wrong usage, a file that cannot be used, or no microphone
  3    the server cannot be reached
  4    the server refused the request
  130  Ctrl-C a second time (the first one ends the audio and waits for the last words)
"""
FORMATS = {".json": "json", ".srt": "srt", ".vtt": "vtt"}
READ_BYTES = 1 << 16
CHUNKS_PER_SECOND = 10
WATCH_SECONDS = 0.5


class UsageError(Exception):
    """What the user asked for cannot be done; nothing was sent."""


class Source(Protocol):
    """Audio to be uploaded. ``byte_rate``: bytes a second, where known."""

    byte_rate: int | None
    total_bytes: int | None
    config: dict[str, Any]

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def stop(self) -> None: ...


class FileSource:
    """A file as it is, in any format that the server knows; in real time like a microphone if asked for."""

    def __init__(self, path: Path, realtime: bool) -> None:
        self.config: dict[str, Any] = {}
        self._realtime = realtime
        self._stopped = False
        self._path = path
        try:
            with path.open("rb") as file:
                head = file.read(4096)
            self.total_bytes: int | None = path.stat().st_size
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}.") from error
        self.byte_rate = wav_byte_rate(head)
        if not head:
            raise UsageError(f"{path} is empty.")
        if path.suffix.lower() == ".wav" and self.byte_rate is None:
            raise UsageError(f"{path} is no WAV file, in spite of its name.")
        if realtime and self.byte_rate is None:
            raise UsageError("--realtime needs a WAV file: the pace is in its header.")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = max(1, (self.byte_rate or 0) // CHUNKS_PER_SECOND) if self._realtime else READ_BYTES
        started, sent = time.monotonic(), 0
        with await asyncio.to_thread(self._path.open, "rb") as file:
            while not self._stopped and (chunk := await asyncio.to_thread(file.read, size)):
                sent += len(chunk)
                if self._realtime and self.byte_rate:  # a microphone has a chunk when it has been spoken
                    await asyncio.sleep(seconds_until_due(sent, self.byte_rate, started, time.monotonic()))
                yield chunk

    def stop(self) -> None:
        self._stopped = True


class StandardInput:
    """Raw PCM16 from standard input, as fast as it comes and is taken."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self.byte_rate: int | None = 2 * sample_rate * channels
        self.total_bytes: int | None = None
        self.config: dict[str, Any] = {"sample_rate": sample_rate, "channels": channels, "encoding": "linear16"}
        self._feed = Feed(READ_BYTES)
        self._taken = threading.Event()
        # A thread of its own, not one of the loop's: those are waited for at exit, and a read may last for ever.
        threading.Thread(target=self._read, daemon=True).start()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for pcm in self._feed:
            self._taken.set()
            yield pcm

    def stop(self) -> None:
        self._feed.close()

    def _read(self) -> None:
        while pcm := os.read(sys.stdin.fileno(), READ_BYTES):
            self._feed.push(pcm)
            self._taken.wait()
            self._taken.clear()
        self._feed.close()


def wav_byte_rate(head: bytes) -> int | None:
    """Bytes a second from a WAV header; ``None`` when it is not one."""
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return None
    position = 12
    while position + 8 <= len(head):
        name, size = head[position : position + 4], int.from_bytes(head[position + 4 : position + 8], "little")
        if name == b"fmt ":
            return int.from_bytes(head[position + 16 : position + 20], "little") or None
        position += 8 + size + size % 2
    return None


def seconds_until_due(sent_bytes: int, byte_rate: int, started: float, now: float) -> float:
    """How long to wait until so many bytes have been spoken; 0 when that is past."""
    return max(0.0, started + sent_bytes / byte_rate - now)


class Transcription:
    """One session from the first byte to ``session_end``."""

    def __init__(self, session: Session, source: Source, display: Display) -> None:
        self._session = session
        self._source = source
        self._display = display
        self._all_sent = False
        self._failed = False
        self._ended_well = False

    async def run(self) -> bool:
        """True when all was sent and recognised. Raises the errors of the SDK."""
        error: BaseException | None = None
        try:
            if isinstance(self._source, Microphone):
                self._display.notice("Listening; Ctrl-C ends.")
            async with asyncio.TaskGroup() as tasks:
                upload = tasks.create_task(self._upload())
                progress = tasks.create_task(self._watch_progress())
                await self._follow()
                upload.cancel()
                progress.cancel()
        except* (STTClientError, OSError) as errors:
            error = errors.exceptions[0]
        if error:
            raise error
        return self._ended_well and not self._failed

    async def _follow(self) -> None:
        async for event in self._session.events():
            self._display.show(event)
            if event.event_type == "error":
                self._display.warn(f"{event.data.get('message')} ({event.data.get('code')})")
                self._failed = self._failed or not event.data.get("recoverable", False)
            if event.event_type == "session_end":
                self._ended_well = self._all_sent and event.data.get("reason") == "finished"
                if not self._ended_well:
                    self._display.warn(f"The server ended the session: {event.data.get('reason')}.")

    async def _upload(self) -> None:
        try:
            async for chunk in self._source:
                await self._session.send(chunk)
            await self._session.flush()
        except RequestRefused as refusal:
            if refusal.code != "session_ended":
                raise
            return  # the event stream says why
        self._all_sent = True
        if isinstance(self._source, Microphone) and self._source.lost_seconds:
            self._display.warn(f"{self._source.lost_seconds:.1f} s of the microphone were lost: nobody took them.")
        await self._session.finish()

    async def _watch_progress(self) -> None:
        source = self._source
        while self._display.live and source.total_bytes:
            state = await self._session.state()
            sent = self._session.confirmed_bytes
            uploaded = clock(sent / source.byte_rate) if source.byte_rate else f"{sent / 1e6:.1f} MB"
            self._display.show_progress(uploaded, state.recognized_seconds)
            await asyncio.sleep(WATCH_SECONDS)


@contextmanager
def interrupts(source: Source, display: Display) -> Iterator[None]:
    """The first Ctrl-C ends the audio, the second one the program."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    stopped = False

    def interrupt() -> None:
        nonlocal stopped
        if stopped and task:
            task.cancel()
        elif not stopped:
            stopped = True
            source.stop()
            display.notice("Waiting for the last words; Ctrl-C again to leave at once.")

    before = signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(interrupt))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def transcribe(args: argparse.Namespace) -> int:
    """Run the command; returns its exit code. Raises the errors that ``main`` turns into the others."""
    retry = RetryPolicy(give_up_seconds=args.patience, first_contact_seconds=min(5.0, args.patience))
    try:
        client = STTClient(args.url, args.api_key, retry=retry)
    except ValueError as error:
        raise UsageError(str(error)) from error
    source = open_source(args)
    try:
        async with client:
            session = await client.create_session(**source.config, **session_config(args))
            display = open_display(args, source)
            with display, interrupts(source, display):
                complete = await Transcription(session, source, display).run()
            if args.format:
                await write_transcript(session, args.format, args.output)
    finally:
        source.stop()
    return 0 if complete else 1


def open_source(args: argparse.Namespace) -> Source:
    if args.source is None:
        return Microphone()
    if args.source == "-":
        return StandardInput(args.sample_rate, args.channels)
    return FileSource(Path(args.source), args.realtime)


def open_display(args: argparse.Namespace, source: Source) -> Display:
    """What is shown where: a format without a file has standard output for itself."""
    stdout_is_taken = bool(args.format) and args.output is None
    screen_stream: TextIO = sys.stderr if stdout_is_taken or not is_screen(sys.stdout) else sys.stdout
    screen = Console(file=screen_stream, highlight=False) if is_screen(screen_stream) and not args.quiet else None
    finals = None if stdout_is_taken or screen_stream is sys.stdout and screen else sys.stdout
    return Display(
        screen,
        finals,
        complain,
        quiet=args.quiet,
        interims=not args.no_interim and (stdout_is_taken or is_screen(sys.stdout)),
        total_seconds=source.total_bytes / source.byte_rate if source.total_bytes and source.byte_rate else None,
    )


def is_screen(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def complain(text: str) -> None:
    print(f"stt: {text}", file=sys.stderr)


def session_config(args: argparse.Namespace) -> dict[str, Any]:
    """What the user said of the session; the server has a default for the rest."""
    config = {
        "language": args.language,
        "engine": args.engine,
        "endpointing_ms": args.endpointing_ms,
        "keywords": args.keyword,
        "interim_results": False if args.no_interim else None,
    }
    return {name: value for name, value in config.items() if value is not None}


async def write_transcript(session: Session, format: Any, output: Path | None) -> None:
    if format == "json":
        text = json.dumps((await session.transcript()).document, ensure_ascii=False, indent=2)
    else:
        text = await session.transcript(format)
    text = text.rstrip("\n") + "\n"
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        await asyncio.to_thread(output.write_text, text, encoding="utf-8")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m client.cli",
        description="Transcribe a file, standard input or the microphone, live.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", nargs="?", help="audio file; - for raw PCM16 from standard input; none: microphone")
    server = parser.add_argument_group("server")
    url = os.environ.get("STT_URL", "http://127.0.0.1:8001")
    server.add_argument("--url", default=url, help="default: $STT_URL, or http://127.0.0.1:8001")
    server.add_argument("--api-key", default=os.environ.get("STT_API_KEY"), help="default: $STT_API_KEY")
    server.add_argument("--patience", type=float, default=60.0, metavar="S", help="give up after S seconds (60)")
    speech = parser.add_argument_group("recognition")
    speech.add_argument("--language", help="BCP-47 tag such as ko or en, or multi to detect it")
    speech.add_argument("--engine", help="auto, local, deepgram, ...")
    speech.add_argument("--endpointing-ms", type=int, metavar="MS", help="silence that ends an utterance")
    speech.add_argument("--keyword", action="append", metavar="WORD", help="a name or term to listen for; repeatable")
    audio = parser.add_argument_group("audio")
    audio.add_argument("--realtime", action="store_true", help="send a WAV file at the pace of a microphone")
    audio.add_argument("--sample-rate", type=int, default=16000, metavar="HZ", help="of standard input (16000)")
    audio.add_argument("--channels", type=int, choices=(1, 2), default=1, help="of standard input (1)")
    shown = parser.add_argument_group("output")
    shown.add_argument("--format", choices=("text", "srt", "vtt", "json"), help="print only this, at the end")
    shown.add_argument(
        "--output", type=Path, metavar="FILE", help="write the format (by default: by the name) to a file"
    )
    shown.add_argument("--no-interim", action="store_true", help="no interim results")
    shown.add_argument("--quiet", action="store_true", help="only the transcript and errors")
    args = parser.parse_args(arguments)
    if args.realtime and args.source in (None, "-"):
        parser.error("--realtime is for files")
    if args.output is not None:
        if not args.output.absolute().parent.is_dir():
            parser.error(f"there is no folder {args.output.parent}")
        args.format = args.format or FORMATS.get(args.output.suffix.lower(), "text")
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    if not sys.stdout.isatty() and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # a pipe's default on Windows cannot carry every language
    try:
        return asyncio.run(transcribe(args))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except BrokenPipeError:  # the reader, such as head, has what it wanted; Python must not flush into the pipe again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UsageError, MicrophoneError, OSError) as error:
        complain(str(error))
        return 2
    except SessionLost as error:
        complain(str(error))
        return 1
    except ServerUnavailable as error:
        complain(str(error))
        return 3
    except RequestRefused as error:
        complain(str(error))
        return 4


if __name__ == "__main__":
    sys.exit(main())
