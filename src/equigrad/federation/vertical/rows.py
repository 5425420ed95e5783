"""A party's own rows: read from its file, encoded by itself, found by digest.

Neighbours: ``source`` reads the file, ``target`` the sponsor's labels, ``queries`` rows to predict.
No identifier leaves here: rows are known by digest.
"""

import hashlib
import warnings
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from equigrad.assistance import AssistanceWarning
from equigrad.data.alignment import intersect, order_by_digest
from equigrad.data.columns import ColumnEncoder
from equigrad.data.own_check import declared
from equigrad.data.own_read import RawRecords
from equigrad.errors import DataError
from equigrad.federation.vertical.source import (
    RowSource,
    feature_columns,
    pixels,
    read_records,
    row_digests,
)

__all__ = ["PartyRows", "RowSource", "encoded", "read_rows"]

Bool = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Digests = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PartyRows:
    """A party's rows in digest order.

    Attributes
    ----------
    party
        Its name.
    digests
        ``(N, 32)``, sorted.
    X
        ``(N, d)``, or ``(N, channels, height, width)`` for images, float64; empty cells are NaN.
    records
        ``(N,)``: each row's record number in the file, from 0.
    encoder
        How the columns became numbers; None for images.
    """

    party: str
    digests: Digests
    X: Float64 = field(repr=False)
    records: Int64 = field(repr=False)
    encoder: ColumnEncoder | None = None

    def __len__(self) -> int:
        return len(self.digests)

    def lookup(self, digests: Digests) -> tuple[Bool, Float64]:
        """Return which of ``digests (n, 32)`` the party holds, ``(n,)``, and those rows in order.

        Rows come in the order of ``digests``; ``(held, ...)`` of them, a copy.
        """
        at = intersect(digests, self.digests)
        held = at >= 0
        return held, self.X[at[held]]

    def fingerprint(self, digests: Digests) -> str:
        """Return SHA-256 over the digests and values of the rows held among ``digests``, in hex.

        Two files that give the same one give the same fits.
        """
        held, X = self.lookup(digests)
        content = hashlib.sha256(np.ascontiguousarray(digests[held]).tobytes())
        content.update(str(X.shape[1:]).encode())
        content.update(np.ascontiguousarray(X, dtype="<f8").tobytes())
        return content.hexdigest()

    def check_missing(self, *, taken: bool) -> None:
        """Raise ``DataError``, naming columns, for empty cells that a learner does not take."""
        if taken or not self.X.size:
            return
        empty = np.isnan(self.X.reshape(len(self.X), -1)).any(axis=0)
        if not empty.any():
            return
        names = self.encoder.names if self.encoder is not None else ()
        at = np.flatnonzero(empty)
        told = ", ".join(repr(names[j]) for j in at[:5]) if names else f"{len(at)} pixels"
        more = f" and {len(at) - 5} more" if names and len(at) > 5 else ""
        raise DataError(
            f"Expected a number in every cell of party {self.party!r}, got empty ones in its "
            f"columns {told}{more}. Fill them, leave the columns out, or choose a learner that "
            "takes missing values (hist_gradient_boosting)."
        )


def read_rows(source: RowSource, key: bytes, encoder: ColumnEncoder | None = None) -> PartyRows:
    """Read a party's rows, without labels.

    Parameters
    ----------
    source
        The file and its columns.
    key
        The alignment key.
    encoder
        The one of an earlier reading, or None to fit one on this file's rows.

    Raises
    ------
    DataError
        If the file cannot be read, a column is missing (the nearest is named), is used twice or
        does not hold what was declared.
    AlignmentError
        If identifiers are missing or repeat; record numbers are told, never identifiers.
    """
    records = read_records(source, encoder)
    return encoded(source, records, key, encoder)


def encoded(
    source: RowSource, records: RawRecords, key: bytes, encoder: ColumnEncoder | None
) -> PartyRows:
    """Return the rows of what was read, in digest order."""
    frame = records.frame
    digests = row_digests(source, frame, key)
    order = order_by_digest(digests)
    if records.images is not None:
        X, encoder = pixels(source, records.images), None
    else:
        X, encoder = _features(source, frame, encoder)
    return PartyRows(source.party, digests[order], X[order], order, encoder)


def _features(
    source: RowSource, frame: pd.DataFrame, encoder: ColumnEncoder | None
) -> tuple[Float64, ColumnEncoder]:
    if encoder is None:
        chosen = feature_columns(source, frame)
        encoder = ColumnEncoder.fit(
            frame,
            chosen,
            source.categorical,
            standardise=source.standardise,
            whose=source.whose,
        )
        if encoder.dropped:
            warnings.warn(
                f"Expected columns of {source.whose} that tell rows apart, got one value only in "
                f"{', '.join(map(repr, encoder.dropped))}. The run goes on without.",
                AssistanceWarning,
                stacklevel=4,
            )
    for name in encoder.columns:
        declared(frame, source.path, feature=name)
    return encoder.transform(frame, source.whose), encoder
