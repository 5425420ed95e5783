"""Where a party's rows lie: the file is read, and its columns are checked for what they are for.

Neighbours: ``rows``, ``target`` and ``queries`` make arrays of what is read here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from equigrad.data.alignment import digest_ids, identifier_texts
from equigrad.data.columns import ColumnEncoder
from equigrad.data.own_check import declared
from equigrad.data.own_read import RawRecords, read_file
from equigrad.errors import DataError

__all__ = ["RowSource", "feature_columns", "pixels", "read_records", "row_digests"]


@dataclass(frozen=True)
class RowSource:
    """Where a party's rows lie and what its columns are for.

    Attributes
    ----------
    party
        Its name.
    path
        A ``.csv``, ``.csv.gz``, ``.parquet`` or ``.npz`` file.
    identifier
        The column that names a record.
    label
        The label columns, the sponsor's alone; no feature is read from them.
    columns
        Feature columns; None for all others.
    categorical
        Feature columns that are categories although they hold numbers.
    standardise
        Whether numbers are standardised by the party's own rows.
    fold
        Declared foldings of identifiers.
    forbidden
        Columns that must not be features: the sponsor's labels, at an assistor.
    """

    party: str
    path: Path
    identifier: str
    label: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    categorical: tuple[str, ...] = ()
    standardise: bool = True
    fold: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    @property
    def whose(self) -> str:
        """The file as an error names it."""
        return f"{self.path.name} of party {self.party!r}"

    def at(self, path: Path) -> Self:
        """Return the source with another file."""
        return replace(self, path=path)


def read_records(source: RowSource, encoder: ColumnEncoder | None = None) -> RawRecords:
    """Read the file, with identifiers and categories as they are spelt, and check its columns."""
    if not source.path.is_file():
        raise DataError(
            f"Expected the data of party {source.party!r} at {source.path}, got no file. Check "
            "the path."
        )
    categorical = encoder.categorical if encoder is not None else source.categorical
    records = read_file(source.path, text=(source.identifier, *categorical))
    declared(records.frame, source.path, identifier=source.identifier)
    return records


def row_digests(source: RowSource, frame: pd.DataFrame, key: bytes) -> npt.NDArray[np.uint8]:
    """Return the digests of a frame's rows, in its order."""
    whose = f"the column {source.identifier!r} of {source.whose}"
    ids = identifier_texts(frame[source.identifier], whose)
    return digest_ids(ids, key, source.fold, whose=whose)


def feature_columns(source: RowSource, frame: pd.DataFrame) -> list[str]:
    """Return the feature columns; one that is missing or has another role is a ``DataError``."""
    aside = {source.identifier, *source.label}
    if source.columns is None:
        chosen = [str(name) for name in frame.columns if name not in aside]
    else:
        chosen = list(source.columns)
    for name in (*chosen, *source.categorical):
        declared(frame, source.path, feature=name)
    _refuse_roles(source, chosen, dict.fromkeys(aside, "identifier or label"))
    forbidden = dict.fromkeys(source.forbidden, "label of the sponsor")
    _refuse_roles(source, chosen, forbidden)
    stray = [name for name in source.categorical if name not in chosen]
    if stray or len(set(chosen)) < len(chosen):
        what = f"categorical column {stray[0]!r} among them" if stray else "each of them once"
        raise DataError(
            f"Expected the columns of party {source.party!r} with the {what}, got "
            f"{', '.join(chosen)}. Correct columns or categorical."
        )
    return chosen


def _refuse_roles(source: RowSource, chosen: Collection[str], roles: Mapping[str, str]) -> None:
    for name in chosen:
        if name in roles:
            raise DataError(
                f"Expected features only among the columns of party {source.party!r}, got the "
                f"{roles[name]} {name!r}. A label as a feature would make the model worthless: "
                "take it out, or rename it if it is something else."
            )


def pixels(source: RowSource, images: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return images ``(n, channels, height, width) float64``; bytes are divided by 255."""
    if source.columns is not None or source.categorical:
        raise DataError(
            f"Expected no columns or categorical for the images {source.whose}. Remove them."
        )
    if not (np.issubdtype(images.dtype, np.number) or images.dtype == np.bool_):
        raise DataError(f"Expected numbers as pixels of {source.whose}, got {images.dtype}.")
    scale = 255.0 if images.dtype == np.uint8 else 1.0
    X = images.astype(np.float64) / scale
    if np.isinf(X).any():
        raise DataError(f"Expected finite pixels of {source.whose}, got infinity. Clean them.")
    return X
