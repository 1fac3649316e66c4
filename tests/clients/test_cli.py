"""The command line as a process of its own, against the scripted server."""

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import struct
import sys
import termios
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.cells import cell_len

from stt_client.cli.sources import seconds_until_due, wav_byte_rate
from tests.support.fake_engine import speech
from tests.support.scripted_server import ScriptedServer, final, problem, scripted_fixture, url_fixture  # noqa: F401
from tests.support.servers import CLIENT, ROOT, wav_of

Env = Mapping[str, str]
NO_ENV: Env = {}
TALK = wav_of(bytes(range(200)) * 20, 8000)  # 0.25 s
FAKE_SOUNDDEVICE = """
import os
from threading import Thread
class PortAudioError(Exception): pass
RATE = int(os.environ["FAKE_RATE"])
def check_input_settings(channels, dtype, samplerate):
    if samplerate != RATE: raise PortAudioError("Invalid sample rate")
def query_devices(kind): return {"default_samplerate": float(RATE)}
class RawInputStream:
    def __init__(self, samplerate, blocksize, channels, dtype, callback):
        if not RATE: raise PortAudioError("Device unavailable")
        self.blocks = [memoryview(bytes([n, 0]) * blocksize) for n in range(3)]
        self.callback = callback
    def start(self):
        Thread(target=lambda: [self.callback(block, len(block) // 2, None, None) for block in self.blocks]).start()
    def stop(self): pass
    def close(self): pass
"""


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(TALK)
    return path


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """A recording with words that the scripted server understands."""
    path = tmp_path / "spoken.wav"
    path.write_bytes(wav_of(speech((1, 2), (3,), (4, 5), seconds=0.2)))
    return path


async def start(
    url: str, *arguments: object, stdin: int = DEVNULL, stdout: int = PIPE, stderr: int = PIPE, env: Env = NO_ENV
) -> Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STT_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stt_client.cli", *map(str, arguments)),
        cwd=ROOT,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=inherited | {"STT_URL": url, "NO_PROXY": "*", "PYTHONPATH": str(CLIENT)} | dict(env),
    )


async def run(url: str, *arguments: object, env: Env = NO_ENV) -> tuple[int | None, str, str]:
    """Exit code, standard output, standard error."""
    return await ended(await start(url, *arguments, env=env))


async def ended(process: Process) -> tuple[int | None, str, str]:
    out, err = await process.communicate()
    return process.returncode, (out or b"").decode(), (err or b"").decode()


# --- what is shown --------------------------------------------------------------------------------------------------


async def test_a_file_goes_up_as_it_is_and_its_finals_come_out_one_a_line(
    scripted: ScriptedServer, url: str, talk: Path
) -> None:
    scripted.first_words = [("token", {"text": "안녕"}), final("안녕하세요", 0.1, 61.25)]
    scripted.last_words = [final("색\x1b[31m과\n줄", 62.0, 63.0), final("")]
    assert await run(url, talk) == (0, "[0:00.1 - 1:01.2] 안녕하세요\n[1:02.0 - 1:03.0] 색 [31m과 줄\n", "")
    assert scripted.newest.audio == TALK
    assert scripted.newest.config == {}


async def test_a_format_is_printed_alone(scripted: ScriptedServer, url: str, talk: Path) -> None:
    scripted.first_words = [final("안녕")]
    assert await run(url, talk, "--format", "srt") == (0, "srt: 안녕\n", "")
    code, out, _ = await run(url, talk, "--format", "json")
    assert (code, json.loads(out)["text"]) == (0, "안녕")


async def test_a_format_goes_to_a_file_named_for_it_while_finals_are_shown(
    scripted: ScriptedServer, url: str, talk: Path, tmp_path: Path
) -> None:
    scripted.first_words = [final("안녕")]
    for name, content in (("a.vtt", "vtt: 안녕\n"), ("a.txt", "text: 안녕\n")):
        assert await run(url, talk, "--output", tmp_path / name) == (0, "[0:00.0 - 0:01.0] 안녕\n", "")
        assert (tmp_path / name).read_text("utf-8") == content


async def test_on_a_terminal_the_interim_is_rewritten_in_one_line_and_finals_stay(
    scripted: ScriptedServer, url: str, talk: Path
) -> None:
    interim = "아주 긴 문장이 화면보다 길게 이어지고 있습니다 그리고 아직 끝나지 않았습니다"
    scripted.first_words = [("token", {"text": interim[:5]}), ("token", {"text": interim})]
    scripted.last_words = [final("안녕하세요")]
    screen, terminal = open_terminal(columns=40)
    process = await start(url, talk, stdout=terminal, env={"TERM": "xterm"})
    os.close(terminal)
    shown = await asyncio.to_thread(read_terminal, screen)
    assert (await process.wait(), shown.count("안녕하세요")) == (0, 1)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))
    cut = [line for line in lines if line.startswith("…")]
    assert cut
    assert all(interim.endswith(line[1:]) and 36 <= cell_len(line) <= 39 for line in cut)
    assert "\x1b[2K" in shown  # the line is erased


async def test_progress_is_shown_beside_finals_that_go_elsewhere(
    scripted: ScriptedServer, url: str, talk: Path
) -> None:
    scripted.first_words = [("token", {"text": "interim"})]
    scripted.last_words = [final("안녕")]
    scripted.finish_open.clear()
    screen, terminal = open_terminal(columns=80)
    process = await start(url, talk, stderr=terminal, env={"TERM": "xterm"})
    os.close(terminal)
    shown = await asyncio.to_thread(read_terminal, screen, until="recognised 0:00.0 of 0:00.3")
    scripted.finish_open.set()
    shown += await asyncio.to_thread(read_terminal, screen)
    assert await ended(process) == (0, "[0:00.0 - 0:01.0] 안녕\n", "")
    assert "uploaded 0:00." in shown
    assert "안녕" not in shown
    assert "interim" not in shown


def open_terminal(columns: int) -> tuple[int, int]:
    """The side of the screen and the side of the program."""
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    return screen, terminal


def read_terminal(screen: int, until: str | None = None) -> str:
    """What is written to a terminal until ``until``, or until its last writer has closed it."""
    shown = b""
    while until is None or until.encode() not in shown:
        try:
            shown += os.read(screen, 4096)
        except OSError:  # how Linux says that nobody holds the other end
            os.close(screen)
            break
    return shown.decode()


async def test_quiet_tells_errors_and_finals_only(scripted: ScriptedServer, url: str, talk: Path) -> None:
    scripted.first_words = [
        final("안녕"),
        ("error", {"code": "engine_failed", "message": "Gone.", "recoverable": False}),
    ]
    code, out, err = await run(url, talk, "--quiet")
    assert (code, out, err) == (1, "[0:00.0 - 0:01.0] 안녕\n", "stt: Gone. (engine_failed)\n")


async def test_a_reader_that_leaves_is_no_error(scripted: ScriptedServer, url: str, talk: Path) -> None:
    scripted.first_words = [final("안녕")]
    reader, writer = os.pipe()
    process = await start(url, talk, stdout=writer)
    os.close(writer)
    os.close(reader)
    assert await ended(process) == (0, "", "")


# --- what is asked --------------------------------------------------------------------------------------------------


async def test_options_reach_the_session(scripted: ScriptedServer, url: str, talk: Path) -> None:
    recognition = ("--language", "en", "--engine", "local", "--endpointing-ms", 300, "--no-interim")
    keywords = ("--keyword", "Seoul", "--keyword", "Jeju")
    assert (await run(url, talk, *recognition, *keywords, env={"STT_API_KEY": "secret"}))[0] == 0
    assert scripted.newest.config == {
        "language": "en",
        "engine": "local",
        "endpointing_ms": 300,
        "keywords": ["Seoul", "Jeju"],
        "interim_results": False,
    }
    assert {request.headers["authorization"] for request in scripted.requests} == {"Bearer secret"}


async def test_standard_input_is_raw_pcm_of_the_given_rate(scripted: ScriptedServer, url: str) -> None:
    pcm = bytes(range(256)) * 1000
    process = await start(url, "-", "--sample-rate", 8000, stdin=PIPE)
    await process.communicate(pcm)
    assert process.returncode == 0
    assert scripted.newest.audio == pcm
    assert scripted.newest.config == {"sample_rate": 8000, "channels": 1, "encoding": "linear16"}


async def test_realtime_sends_the_same_bytes(scripted: ScriptedServer, url: str, talk: Path) -> None:
    assert (await run(url, talk, "--realtime"))[0] == 0
    assert scripted.newest.audio == TALK


@pytest.mark.parametrize(
    ("sent", "now", "wait"), [(800, 10.0, 0.1), (1600, 10.0, 0.2), (800, 10.04, 0.06), (800, 99.0, 0.0)]
)
def test_a_chunk_is_due_when_it_has_been_spoken(sent: int, now: float, wait: float) -> None:
    assert seconds_until_due(sent, 8000, 10.0, now) == pytest.approx(wait)


def test_the_byte_rate_is_found_behind_other_chunks() -> None:
    plain = wav_of(bytes(1600), 8000)
    assert wav_byte_rate(plain) == 16000
    odd_chunk = b"LIST" + (3).to_bytes(4, "little") + b"abc\0"
    assert wav_byte_rate(plain[:12] + odd_chunk + plain[12:]) == 16000
    assert wav_byte_rate(b"RIFF0000AVI " + plain[12:]) is None
    assert wav_byte_rate(b"") is None


# --- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["absent.wav"], "absent.wav: No such file or directory."),
        (["."], ".: Is a directory."),
        (["pyproject.toml", "--realtime"], "--realtime needs a WAV file"),
        (["-", "--realtime"], "--realtime is for files"),
        (["pyproject.toml", "--output", "nowhere/a.srt"], "there is no folder nowhere"),
        (["pyproject.toml", "--url", "localhost:8001"], "is no http:// or https:// address"),
    ],
)
async def test_wrong_usage_is_exit_code_2(arguments: list[str], complaint: str) -> None:
    code, out, err = await run("http://127.0.0.1:9", *arguments)
    assert (code, out) == (2, "")
    assert complaint in err


async def test_a_file_that_is_empty_or_no_wav_is_exit_code_2(url: str, tmp_path: Path) -> None:
    for content, complaint in ((b"", "is empty"), (b"no sound", "is no WAV file, in spite of its name")):
        path = tmp_path / "x.wav"
        path.write_bytes(content)
        code, _, err = await run(url, path)
        assert (code, complaint in err) == (2, True)


async def test_a_server_that_is_not_there_is_exit_code_3(talk: Path) -> None:
    code, out, err = await run("http://127.0.0.1:9", talk, "--give-up", "0")
    assert (code, out) == (3, "")
    assert err.startswith("stt: The server does not answer") and err.count("\n") == 1


async def test_a_refusal_is_exit_code_4_and_says_why(scripted: ScriptedServer, url: str, talk: Path) -> None:
    scripted.refusal = problem(422, "invalid_request")
    assert await run(url, talk) == (4, "", "stt: scripted invalid_request (422 invalid_request)\n")


async def test_a_session_that_ends_before_its_audio_is_exit_code_1(
    scripted: ScriptedServer, url: str, talk: Path
) -> None:
    scripted.first_words = [final("안녕"), ("session_end", {"reason": "undecodable_audio"})]
    scripted.uploads_open.clear()  # until the event stream is being read
    process = await start(url, "-", stdin=PIPE)
    assert process.stdin
    process.stdin.write(b"pcm")
    await scripted.upload_waits.wait()
    scripted.uploads_open.set()
    assert process.stdout
    assert (await process.stdout.readline()).decode() == "[0:00.0 - 0:01.0] 안녕\n"
    await process.wait()  # standard input is still open
    assert process.stderr
    assert (await process.stderr.read()).decode() == "stt: The server ended the session: undecodable_audio.\n"
    assert process.returncode == 1
    process.stdin.close()


async def test_a_server_that_stops_midway_is_exit_code_1(scripted: ScriptedServer, url: str, talk: Path) -> None:
    scripted.last_words = [("session_end", {"reason": "server_shutdown"})]
    assert (await run(url, talk))[0] == 1


async def test_a_session_that_the_server_has_lost_goes_on_with_a_notice(
    scripted: ScriptedServer, url: str, spoken: Path
) -> None:
    scripted.listens = True
    scripted.upload_faults.extend(["lose session", ""])
    code, out, err = await run(url, spoken)
    assert (code, [line.partition("] ")[2] for line in out.splitlines()]) == (0, ["1 2", "3", "4 5"])
    assert err == "stt: The session goes on in a new one from 0:00.0 on: session_not_found.\n"
    scripted.upload_faults.extend(["lose session", ""])
    code, out, err = await run(url, spoken, "--quiet", "--format", "text")
    assert (code, out, err) == (0, "1 2\n3\n4 5\n", "")


# --- microphone and Ctrl-C ------------------------------------------------------------------------------------------


@pytest.fixture
def microphone(tmp_path: Path) -> dict[str, str]:
    """The environment of a process with a microphone that has 0.3 s to say."""
    (tmp_path / "sounddevice.py").write_text(FAKE_SOUNDDEVICE)
    return {"PYTHONPATH": f"{tmp_path}{os.pathsep}{CLIENT}", "FAKE_RATE": "16000"}


async def test_ctrl_c_on_the_microphone_finishes_and_prints_the_last_final(
    scripted: ScriptedServer, url: str, microphone: dict[str, str]
) -> None:
    scripted.last_words = [final("끝")]
    process = await start(url, env=microphone)
    await scripted.upload_waits.wait()
    process.send_signal(signal.SIGINT)
    code, out, err = await ended(process)
    assert (code, out) == (0, "[0:00.0 - 0:01.0] 끝\n")
    assert err.splitlines()[0] == "stt: Listening; Ctrl-C ends."
    assert scripted.newest.audio == b"".join(bytes([n, 0]) * 1600 for n in range(3))
    assert scripted.newest.config == {"sample_rate": 16000, "encoding": "linear16"}


async def test_enter_asks_for_the_final_of_what_was_said_so_far(
    scripted: ScriptedServer, url: str, microphone: dict[str, str]
) -> None:
    scripted.listens = True  # the blocks of the microphone are words without an end
    keys, terminal = open_terminal(columns=80)
    process = await start(url, stdin=terminal, env=microphone)
    assert process.stdout and process.stderr
    assert (await process.stderr.readline()).decode() == (
        "stt: Listening; Enter asks for what was said so far; Ctrl-C ends.\n"
    )
    await scripted.upload_waits.wait()
    os.write(keys, b"\n")
    assert (await process.stdout.readline()).decode().startswith("[0:00.")
    process.send_signal(signal.SIGINT)
    await process.stdout.read()
    assert await process.wait() == 0
    assert [
        event["data"].get("flushed") is not None for event in scripted.newest.events if event["event_type"] == "final"
    ]
    os.close(keys)
    os.close(terminal)


async def test_a_second_ctrl_c_leaves_at_once(scripted: ScriptedServer, url: str, microphone: dict[str, str]) -> None:
    scripted.finish_open.clear()
    process = await start(url, env=microphone)
    await scripted.upload_waits.wait()
    process.send_signal(signal.SIGINT)
    await scripted.finish_waits.wait()
    process.send_signal(signal.SIGINT)
    assert (await ended(process))[0] == 130


async def test_ctrl_c_ends_standard_input_that_stays_open(scripted: ScriptedServer, url: str) -> None:
    scripted.last_words = [final("끝")]
    process = await start(url, "-", stdin=PIPE)
    assert process.stdin and process.stdout
    process.stdin.write(b"pcm")
    await scripted.upload_waits.wait()
    process.send_signal(signal.SIGINT)
    assert (await process.stdout.read()).decode() == "[0:00.0 - 0:01.0] 끝\n"
    assert await process.wait() == 0
    process.stdin.close()


async def test_a_microphone_that_cannot_do_16_khz_records_at_its_own_rate(
    scripted: ScriptedServer, url: str, microphone: dict[str, str]
) -> None:
    process = await start(url, env=microphone | {"FAKE_RATE": "48000"})
    await scripted.upload_waits.wait()
    process.send_signal(signal.SIGINT)
    assert (await ended(process))[0] == 0
    assert scripted.newest.config["sample_rate"] == 48000


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        (FAKE_SOUNDDEVICE, "The microphone cannot be opened: Device unavailable"),
        ("raise OSError('PortAudio library not found')", "pip install sounddevice"),
        ("raise ImportError('No module named sounddevice')", "pip install sounddevice"),
    ],
)
async def test_without_a_microphone_the_exit_code_is_2_and_nothing_is_opened(
    scripted: ScriptedServer, url: str, tmp_path: Path, module: str, complaint: str
) -> None:
    (tmp_path / "sounddevice.py").write_text(module)
    code, _, err = await run(url, env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{CLIENT}", "FAKE_RATE": "0"})
    assert (code, err.count("\n"), complaint in err) == (2, 1, True)
    assert not scripted.sessions
