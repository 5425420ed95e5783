"""From the bytes that a data set's home publishes to the tables that our loaders read.

Each function is pure, ``bytes -> bytes``; :mod:`equigrad.data.manifest` names it beside the
address, and :mod:`equigrad.data.download` checks its result by SHA-256. A home that changes its
file is therefore refused, never half understood.
"""

import csv
import io
from collections.abc import Callable

__all__ = ["adult", "as_is", "compas", "semicolons", "unix_lines", "with_header"]


def as_is(raw: bytes) -> bytes:
    """Return a table that is published as we read it."""
    return raw


def unix_lines(raw: bytes) -> bytes:
    """Return the table with Unix line ends, the last line ended too."""
    text = raw.replace(b"\r\n", b"\n")
    return text if text.endswith(b"\n") else text + b"\n"


def semicolons(raw: bytes) -> bytes:
    """Return a semicolon-separated table as comma-separated; no value holds either sign."""
    return unix_lines(raw).replace(b";", b",")


def with_header(columns: str) -> Callable[[bytes], bytes]:
    """Return the converter for a table that is published without its header row."""

    def convert(raw: bytes) -> bytes:
        return columns.encode() + b"\n" + unix_lines(raw)

    return convert


def adult(columns: str) -> Callable[[bytes], bytes]:
    """Return the converter for the UCI form of Adult.

    It has blanks after the commas, empty lines, a comment line, and a full stop after the labels
    of the test part; none of them carries meaning.
    """

    def convert(raw: bytes) -> bytes:
        lines = [line for line in raw.decode().splitlines() if "," in line]
        rows = [",".join(v.strip() for v in line.split(",")).removesuffix(".") for line in lines]
        return "\n".join([columns, *rows, ""]).encode()

    return convert


#: Columns of the COMPAS table that identify people; they are dropped on purpose.
_PERSONAL = ("name", "first", "last", "dob", "c_case_number", "r_case_number", "vr_case_number")


def compas(raw: bytes) -> bytes:
    """Return the COMPAS table without the columns that identify people.

    A column name that occurs a second time gets the ending ``_2``.
    """
    header, *rows = csv.reader(io.StringIO(raw.decode()))
    kept = [i for i, name in enumerate(header) if name not in _PERSONAL]
    names = [header[i] + ("_2" if header[i] in header[:i] else "") for i in kept]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([names, *([row[i] for i in kept] for row in rows)])
    return out.getvalue().encode()
