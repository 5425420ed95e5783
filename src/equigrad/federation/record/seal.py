"""One line of a record: how it is sealed, read back and checked.

The record as a file is :mod:`equigrad.federation.record.chain`; here is what holds for each line.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from equigrad.errors import VerificationError
from equigrad.federation.record.canonical import canonical_json

__all__ = ["ZERO_HASH", "Line", "scan", "sealed"]

ZERO_HASH = "0" * 64
"""What the first line names as its predecessor."""

_KEYS = {"body", "hash", "index", "prev", "round", "stage"}


@dataclass(frozen=True)
class Line:
    """One line of a record: its place, the stage and round it tells of, what it says, its hash."""

    index: int
    stage: str
    round: int | None
    body: dict[str, Any]
    hash: str


def sealed(index: int, prev: str, round_: int | None, stage: str, body: Any) -> tuple[str, str]:
    """Return a line's text without its end, and its hash."""
    inside = canonical_json(body)
    rest = {"index": index, "prev": prev, "round": round_, "stage": stage}
    tail = canonical_json(rest)[1:-1]
    digest = _seal(prev, f'{{"body":{inside},{tail}}}'.encode())
    return f'{{"body":{inside},"hash":"{digest}",{tail}}}', digest


def scan(
    path: Path, file: BinaryIO, *, check: bool, allow_cut: bool = False
) -> Iterator[tuple[bytes, Line]]:
    """Yield each line as bytes and parsed, from the file's beginning.

    Parameters
    ----------
    path
        The file's name, for messages.
    file
        The open file.
    check
        Whether each line must carry its own hash, its place and its predecessor's hash.
    allow_cut
        Whether to leave out a last line without an end.

    Raises
    ------
    VerificationError
        At the first line that does not fit.
    """
    prev = ZERO_HASH
    file.seek(0)
    for index, raw in enumerate(file):
        if allow_cut and not raw.endswith(b"\n"):
            return
        where = f"{path}, line {index + 1}"
        line = _parse(where, raw)
        if check:
            _check(where, raw, line, index, prev)
        prev = line["hash"]
        yield raw, Line(line["index"], line["stage"], line["round"], line["body"], prev)


def _seal(prev: str, unsealed: bytes) -> str:
    digest = hashlib.sha256(prev.encode())
    digest.update(unsealed)
    return digest.hexdigest()


def _parse(where: str, raw: bytes) -> dict[str, Any]:
    if not raw.endswith(b"\n"):
        raise VerificationError(f"{where}: the line is cut short (the run or a copy was stopped).")
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{where}: expected JSON, got {error}.") from error
    if not isinstance(line, dict) or set(line) != _KEYS or not _typed(line):
        raise VerificationError(f"{where}: expected exactly the keys {', '.join(sorted(_KEYS))}.")
    return line


def _typed(line: dict[str, Any]) -> bool:
    return (
        isinstance(line["body"], dict)
        and isinstance(line["hash"], str)
        and isinstance(line["prev"], str)
        and isinstance(line["stage"], str)
        and type(line["index"]) is int
        and (line["round"] is None or type(line["round"]) is int)
    )


def _check(where: str, raw: bytes, line: dict[str, Any], index: int, prev: str) -> None:
    """Check one line's seal, then its place. The seal is taken over the bytes as they stand."""
    seal = f'"hash":"{line["hash"]}",'.encode()
    at = raw.rfind(seal)
    unsealed = raw[:at] + raw[at + len(seal) : -1]
    if at < 0 or _seal(line["prev"], unsealed) != line["hash"]:
        raise VerificationError(f"{where}: the hash does not fit; the line was changed.")
    if line["index"] != index:
        raise VerificationError(
            f"{where}: expected index {index}, got {line['index']}; "
            "lines were removed, added or swapped."
        )
    if line["prev"] != prev:
        raise VerificationError(
            f"{where}: expected the previous hash {prev[:12]}..., got {line['prev'][:12]}...; "
            "lines were removed, added or replaced."
        )
