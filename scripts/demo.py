"""``make demo FILE=talk.wav``: play a recording through the running service in real time, tokens live."""

import sys
from pathlib import Path

from client import cli

URL = "http://127.0.0.1:8001"


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("Name a recording: make demo FILE=samples/ko.wav")
    if not Path(sys.argv[1]).is_file():
        sys.exit(f"There is no file {sys.argv[1]}.")
    sys.exit(cli.main([sys.argv[1], "--realtime", *sys.argv[2:]]))


if __name__ == "__main__":
    main()
