"""Rows of a report as CSV, the same way for every kind of run.

Numbers are written by ``repr``, so that they come back to the last bit; what is not known is empty.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

__all__ = ["rows_csv"]


def rows_csv(kind: type[Any], rows: Sequence[Any]) -> str:
    """Return rows of the dataclass ``kind`` as CSV with a header.

    Columns are named by the fields; an underscore at the end of a name, which keeps it from being
    a word of Python, is left out.
    """
    names = [field.name for field in fields(kind)]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(name.rstrip("_") for name in names)
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
