"""Everything that a page tells the reader to run is run, in order, in a folder of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documented import ROOT, Block, Command, blocks, commands, name, pages, shape

# These change the machine or take minutes; other tests look at what can be looked at.
NOT_RUN = {"make", "pip", "pre-commit", "source"}
RUN = {"env", "equigrad", "python", "pytest"}

TEXTS = {name(page): page.read_text(encoding="utf-8") for page in pages()}
WITH_CODE = [
    page
    for page, text in TEXTS.items()
    if any(
        block.title or block.language == "python" or any(c.words[0] in RUN for c in commands(block))
        for block in blocks(text)
    )
]
COMMANDS = [
    pytest.param(page, command, id=f"{page}: {' '.join(command.words)}")
    for page, text in TEXTS.items()
    for block in blocks(text)
    for command in commands(block)
]


def environment(folder: Path) -> dict[str, str]:
    """Return an environment with our programs first and no data but what a fresh machine has."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith("EQUIGRAD_")}
    return keep | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "EQUIGRAD_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "160",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run(words: tuple[str, ...], folder: Path) -> str:
    """Run one command to its end and return what it wrote; a failure fails the test."""
    if words[0] == "pytest":
        words = ("python", "-m", "pytest", "-p", "no:cacheprovider", *words[1:])
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, f"$ {' '.join(words)}\n{done.stdout}"
    return done.stdout


def follow(page: str, block: Block, folder: Path) -> None:
    """Do what one block of a page says."""
    if block.title:
        target = folder / block.title
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.body, encoding="utf-8")
    elif block.language == "python":
        script = folder / f"line_{block.line}_of_{re.sub(r'[^a-z]+', '_', page.lower())}.py"
        script.write_text(block.body, encoding="utf-8")
        run(("python", "-W", "error", script.name), folder)
    for command in commands(block):
        if command.words[0] in RUN:
            written = shape(run(command.words, folder))
            for line in command.output:
                assert line.strip() == "..." or shape(line) in written, f"{page}: no {line!r}"


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE)
def test_page_can_be_followed(page: str, tmp_path: Path) -> None:
    """Files, scripts and commands of a page work in the order in which they stand."""
    for block in blocks(TEXTS[page]):
        follow(page, block, tmp_path)


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_command_is_ours(page: str, command: Command) -> None:
    """Every documented command is run above, or is one of a few whose parts exist."""
    program, *rest = command.words
    assert program in RUN | NOT_RUN, f"{page} tells the reader to run {program!r}"
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
        assert {word for word in rest if "=" not in word} <= set(targets)


def test_quick_start_is_executed() -> None:
    """The pages that promise runnable examples have some."""
    promised = {
        "README.md",
        "CONTRIBUTING.md",
        "docs/assistance.md",
        "docs/quick-start.md",
        "docs/fair-rewards.md",
        "docs/private-training.md",
        "docs/per-sample.md",
        "docs/group-fairness.md",
        "docs/market.md",
        "docs/market-runs.md",
        "docs/market-settings.md",
        "docs/opacus-migration.md",
        "docs/valuation.md",
        "docs/vertical.md",
        "docs/vertical-settings.md",
    }
    assert promised <= set(WITH_CODE)
