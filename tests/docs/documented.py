"""Reads pages of the documentation: their fenced blocks, what is to be run, what it shows.

A block of ``console`` holds commands (lines after ``$ ``) and lines of their output; ``bash`` holds
commands alone; ``python`` is run; a block of any language with a ``title`` is a file. The blocks
of one page belong together and are followed in order in one folder.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=fence)\s*$", re.M | re.S
)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    title: str | None
    body: str
    line: int


@dataclass(frozen=True)
class Command:
    """One documented command with the lines of output that the page shows for it."""

    words: tuple[str, ...]
    output: tuple[str, ...]


def pages() -> list[Path]:
    """Return every page whose blocks are run."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
    return top + sorted((ROOT / "docs").rglob("*.md"))


def name(page: Path) -> str:
    """Return a page's path as the tests show it."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    found = []
    for match in _FENCE.finditer(text):
        info = match["info"].strip()
        title = _TITLE.search(info)
        found.append(
            Block(
                language=info.split()[0] if info else "",
                title=title[1] if title else None,
                body=match["body"],
                line=text.count("\n", 0, match.start()) + 1,
            )
        )
    return found


def commands(block: Block) -> list[Command]:
    """Return the commands of a ``console`` or ``bash`` block; a backslash continues a line."""
    if block.language not in ("console", "bash"):
        return []
    lines = block.body.replace("\\\n", " ").splitlines()
    if block.language == "bash":
        return [Command(tuple(shlex.split(line, comments=True)), ()) for line in lines if line]
    found: list[tuple[list[str], list[str]]] = []
    for line in lines:
        if line.startswith("$ "):
            found.append((shlex.split(line[2:], comments=True), []))
        elif line.strip() and found:
            found[-1][1].append(line)
    return [Command(tuple(words), tuple(output)) for words, output in found]


def shape(text: str) -> str:
    """Return text without what changes from run to run: numbers, paddings, frames of tables."""
    plain = re.sub(r"[─-╿|+=-]+", " ", text)
    plain = re.sub(r"\d+(\.\d+)?(\s*%)?", "0", plain)
    return re.sub(r"\s+", " ", plain).strip()
