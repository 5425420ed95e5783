"""Editing records as a forger would: one value changed, all hashes made anew."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from equigrad.federation.record.chain import ZERO_HASH
from equigrad.federation.record.seal import sealed


def read(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "record.jsonl").read_text().splitlines()]


def write(folder: Path, lines: list[dict[str, Any]]) -> None:
    """Write lines with a chain of their own: what a forger would do."""
    head, text = ZERO_HASH, ""
    for index, line in enumerate(lines):
        raw, head = sealed(index, head, line["round"], line["stage"], line["body"])
        text += raw + "\n"
    (folder / "record.jsonl").write_text(text)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every leaf."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*at, index))
    else:
        yield at


def edited(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 1.001 + 0.001
    if isinstance(value, str):
        return "0" + value[1:] if value[:1] != "0" else "1" + value[1:]
    return 1


def edits(lines: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for number, line in enumerate(lines):
        for at in places(line["body"]):
            changed = copy.deepcopy(lines)
            here = changed[number]["body"]
            for step in at[:-1]:
                here = here[step]
            here[at[-1]] = edited(here[at[-1]])
            yield f"{line['stage']}: {'.'.join(map(str, at))}", changed
