"""Command line: transcribe a file, standard input or the microphone, live.

stt talk.wav
arecord -t raw -f S16_LE -r 16000 -c 1 | stt -
stt
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from stt_client import RequestRefused, RetryPolicy, ServerUnavailable, Session, SessionLost, STTClient
from stt_client.cli.microphone import Microphone, MicrophoneError
from stt_client.cli.session_run import SessionRun
from stt_client.cli.sources import FileSource, Source, StandardInput, UsageError
from stt_client.cli.terminal import Display

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
    retry = RetryPolicy(give_up_seconds=args.give_up, first_contact_seconds=min(5.0, args.give_up))
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
                complete = await SessionRun(session, source, display).run()
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
        "stt",
        description="Transcribe a file, standard input or the microphone, live.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", nargs="?", help="audio file; - for raw PCM16 from standard input; none: microphone")
    server = parser.add_argument_group("server")
    url = os.environ.get("STT_URL", "http://127.0.0.1:8001")
    server.add_argument("--url", default=url, help="default: $STT_URL, or http://127.0.0.1:8001")
    server.add_argument("--api-key", default=os.environ.get("STT_API_KEY"), help="default: $STT_API_KEY")
    server.add_argument("--give-up", type=float, default=60.0, metavar="S", help="of trying, after S seconds (60)")
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
