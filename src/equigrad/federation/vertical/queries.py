"""Rows to predict, as the sponsor's file names them.

Neighbours: ``source`` reads the file; the answer goes back in its order.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from equigrad.data.alignment import identifier_texts
from equigrad.data.columns import ColumnEncoder
from equigrad.data.own_check import declared
from equigrad.federation.vertical.source import RowSource, pixels, read_records, row_digests

__all__ = ["Queries", "read_queries"]


@dataclass(frozen=True, eq=False)
class Queries:
    """Rows to predict, in the order of their file.

    Attributes
    ----------
    ids
        Their identifiers as the file spells them, for the sponsor's answer alone.
    digests
        ``(n, 32)``.
    X
        The sponsor's columns ``(n, d)``, or None if the file holds none of them.
    """

    ids: tuple[str, ...] = field(repr=False)
    digests: npt.NDArray[np.uint8]
    X: npt.NDArray[np.float64] | None = field(repr=False)


def read_queries(
    path: Path, source: RowSource, key: bytes, encoder: ColumnEncoder | None
) -> Queries:
    """Read rows to predict: identifiers, and the sponsor's columns unless the file has none.

    A label column is not looked at.

    Raises
    ------
    DataError
        As :func:`read_rows`; and if the file has some of the sponsor's columns but not all.
    AlignmentError
        As :func:`read_rows`.
    """
    asked = source.at(path)
    records = read_records(asked, encoder)
    frame = records.frame
    ids = identifier_texts(frame[source.identifier], f"the column {source.identifier!r} of {path}")
    X: npt.NDArray[np.float64] | None = None
    if records.images is not None:
        X = pixels(asked, records.images)
    elif encoder is not None and any(name in frame.columns for name in encoder.columns):
        for name in encoder.columns:
            declared(frame, path, **{"sponsor's": name})
        X = encoder.transform(frame, asked.whose)
    return Queries(tuple(ids), row_digests(asked, frame, key), X)
