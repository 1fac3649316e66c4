"""What the tests of the documents share: where they are, and the code blocks in them."""

import re
from dataclasses import dataclass

from tests.support.servers import ROOT

INSIDE = ("streaming_flow_explanation", "docs/ARCHITECTURE")
"""The documents that tell of the code."""
NAMES = ("README", "QUICK_START", "CLIENT_API_GUIDE", "CONTRIBUTING", *INSIDE)
"""Paths from the root, without language and ending."""
BLOCK = re.compile(r"((?:^<!-- run(?:: [^\n]*)? -->\n)*)^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = re.compile(r"<!-- run(?:: ([^\n]*))? -->")


@dataclass(frozen=True)
class Block:
    """A fenced block. ``run``: it works when pasted; ``prints``: what its output then contains."""

    language: str
    code: str
    run: bool
    prints: tuple[str, ...]


def english(name: str) -> str:
    return (ROOT / f"{name}.md").read_text("utf-8")


def korean(name: str) -> str:
    return (ROOT / f"{name}.ko.md").read_text("utf-8")


def blocks(text: str) -> list[Block]:
    return [_block(*found.groups()) for found in BLOCK.finditer(text)]


def _block(marks: str, language: str, code: str) -> Block:
    return Block(language, code, bool(marks), tuple(each for each in RUN.findall(marks) if each))


def rows(text: str) -> list[list[str]]:
    """The cells of every table row."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r" \|(?= )", line.strip("|"))] for line in lines]


def row_of(text: str, *cells: str) -> list[str]:
    """The first row that has all these cells."""
    found = [row for row in rows(text) if all(cell in row for cell in cells)]
    assert found, f"no row has {cells}"
    return found[0]


def section(guide: str, event_type: str) -> str:
    """What the guide says about events of a type."""
    _, heading, rest = guide.partition(f"\n#### `{event_type}`\n")
    assert heading, f"no section about {event_type}"
    return re.split(r"^###", rest, maxsplit=1, flags=re.MULTILINE)[0]
