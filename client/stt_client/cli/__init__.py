"""The command ``stt``: transcribe a file, standard input or the microphone."""

import sys

MISSING = 'stt: the command line needs the package rich: pip install rich, or "./client[cli]" in the repository\n'


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    try:
        import rich
    except ImportError:
        sys.stderr.write(MISSING)
        return 2
    del rich
    from stt_client.cli.command import main as run

    return run(arguments)
