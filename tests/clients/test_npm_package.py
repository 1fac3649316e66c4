"""The JavaScript client as an npm package: installed into an empty folder, with types, as its users have it."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from server import __version__
from tests.support.fake_engine import said, speech
from tests.support.servers import ROOT, wav_of

WEB = ROOT / "server" / "web"
PACKAGE = json.loads((WEB / "package.json").read_text("utf-8"))
TSC = ROOT / "node_modules" / ".bin" / "tsc"
UTTERANCES = ((1, 2), (3,))
SCRIPT = """
import { openAsBlob } from 'node:fs';
import { STTClient } from 'stt-realtime-client';

const session = await new STTClient(process.argv[2]).createSession({ language: 'ko' });
session.addEventListener('final', ({ detail }) => console.log(detail.text));
await session.sendBlob(await openAsBlob(process.argv[3]));
console.log(`whole: ${(await session.finish()).text}`);
"""
TYPED = """
import { CODES, Microphone, Recording, STTClient, STTError, type STTSession } from 'stt-realtime-client';

export async function talk(url: string, bytes: Uint8Array): Promise<string | null> {
    const client = new STTClient(url, { apiKey: 'key', holdSeconds: 60 });
    const onWaiting = ({ code, seconds }: { code: string; seconds: number }) => console.log(code, seconds);
    const config = { language: 'ko', ...Microphone.FORMAT };
    const session: STTSession = await client.createSession(config, { giveUpSeconds: 10, onWaiting });
    session.addEventListener('final', ({ detail }) => console.log(detail.text.length, detail.through?.toFixed(1)));
    session.addEventListener('reopened', ({ detail }) => console.log(detail.previous, detail.fromSeconds + 1));
    session.addEventListener('failed', ({ detail }) => console.log(detail instanceof STTError, detail.action));
    session.send(bytes);
    const text: string | null = await session.flush();
    const subtitles: string = await session.transcript('srt');
    const { segments, duration } = await session.finish();
    console.log(subtitles, segments[0].words?.[0].start, duration.toFixed(), CODES.answers.draining);
    return text;
}

export const recording = new Recording(new STTClient('http://localhost:8001'), { language: 'ko' });
"""
MISTAKES = {
    "session.addEventListener('final', ({ detail }) => detail.txt)": "txt",
    "session.send('text')": "string",
    "client.createSession({ language: 1 })": "number",
    "session.flush().then((text) => text.length)": "null",
}


def run(*command: str | Path, folder: Path, check: bool = True) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", timeout=90)
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty folder, with nothing but the packed package installed into it."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("npm")
    (folder / "package.json").write_text('{ "private": true, "type": "module" }', "utf-8")
    packed = json.loads(run("npm", "pack", "--json", "--pack-destination", folder, folder=WEB))
    archive = next(folder.glob("*.tgz"))
    assert packed
    run("npm", "install", "--offline", "--no-audit", "--no-fund", f"./{archive.name}", folder=folder)
    yield folder


def test_the_package_has_the_modules_of_the_client_and_nothing_else(folder: Path) -> None:
    needed, found = {"stt-client.js"}, set[str]()
    while needed > found:
        found |= needed
        for name in found:
            needed |= set(re.findall(r"(?:from |URL\()'\./([\w-]+\.js)'", (WEB / name).read_text("utf-8")))
    installed = folder / "node_modules" / PACKAGE["name"]
    assert needed | {"stt-events.js"} == {path.name for path in installed.glob("*.js")}
    assert "dependencies" not in PACKAGE
    assert PACKAGE["version"] == __version__
    assert [path.name for path in (folder / "node_modules").iterdir() if not path.name.startswith(".")] == [
        PACKAGE["name"]
    ]


def test_a_script_transcribes_with_the_installed_package(folder: Path, fake_server: str) -> None:
    (folder / "transcribe.mjs").write_text(SCRIPT, "utf-8")
    (folder / "talk.wav").write_bytes(wav_of(speech(*UTTERANCES)))
    told = run("node", "transcribe.mjs", fake_server, "talk.wav", folder=folder).splitlines()
    assert told == [*said(*UTTERANCES), "whole: " + " ".join(said(*UTTERANCES))]


@pytest.fixture(scope="module")
def tsc() -> Path:
    if not TSC.exists():
        pytest.skip("make check-js installs TypeScript")
    return TSC


def types_of(folder: Path, tsc: Path, program: str) -> str:
    """What TypeScript complains about."""
    (folder / "program.ts").write_text(program, "utf-8")
    options = ("--strict", "--noEmit", "--module", "nodenext", "--lib", "es2023,dom", "--types", "")
    return run(tsc, *options, "program.ts", folder=folder, check=False)


def test_a_typescript_program_that_uses_it_is_checked(folder: Path, tsc: Path) -> None:
    assert types_of(folder, tsc, TYPED) == ""


@pytest.mark.parametrize(("mistake", "told"), MISTAKES.items())
def test_the_types_find_mistakes(folder: Path, tsc: Path, mistake: str, told: str) -> None:
    program = "import { STTClient } from 'stt-realtime-client';\nconst client = new STTClient('http://x');\n"
    complaint = types_of(
        folder, tsc, f"{program}const session = await client.createSession();\n{mistake};\nexport {{}};\n"
    )
    assert complaint.count("error TS") == 1
    assert told in complaint


def test_the_types_are_those_of_the_sources(tsc: Path, tmp_path: Path) -> None:
    run(tsc, "-p", WEB, "--outDir", tmp_path, folder=ROOT)
    made = {path.name: path.read_text("utf-8") for path in tmp_path.rglob("*.d.ts")}
    kept = {path.name: path.read_text("utf-8") for path in (WEB / "types").glob("*.d.ts")}
    assert len(made) > 10
    assert made == kept, "npm run types"


def test_all_javascript_is_checked(tsc: Path) -> None:
    run("npm", "run", "--silent", "check", folder=ROOT)
