"""``make demo [FILE=talk.wav]``: play a recording through the running service in real time, tokens live."""

import os
import sys
import urllib.request
from importlib.resources import files
from pathlib import Path

from stt_client import cli

URL = os.environ.get("STT_URL") or f"http://127.0.0.1:{os.environ.get('PORT', '8001')}"
PACKAGED = ("moonshine_voice", "assets/two_cities.wav")
"""Real English speech (MIT) from a package that the tests need anyway; "A Tale of Two Cities", 44 s."""


def recording() -> tuple[str, list[str]]:
    """The file to play, and what the service must be told about it."""
    if len(sys.argv) > 1:
        if not Path(sys.argv[1]).is_file():
            sys.exit(f"There is no file {sys.argv[1]}.")
        return sys.argv[1], sys.argv[2:]
    package, name = PACKAGED
    return str(files(package) / name), ["--language", "en"]


def main() -> None:
    file, options = recording()
    try:
        urllib.request.urlopen(f"{URL}/health", timeout=5).close()
    except OSError:
        sys.exit(f"No server answers at {URL}. Start it in another terminal: make run")
    sys.exit(cli.main([file, "--realtime", "--url", URL, *options]))


if __name__ == "__main__":
    main()
