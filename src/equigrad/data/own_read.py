"""Reading a user's files: CSV, Parquet or npz, one file or a folder with one per party.

:mod:`equigrad.data.own` decides what the columns mean; here they are only read.
"""

import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from equigrad.data.tables import read_csv
from equigrad.errors import DataError

__all__ = ["PARTY_OF_FILE", "SUFFIXES", "RawRecords", "read", "read_file"]

#: The column that holds the file's stem where a folder with one file per party was read.
PARTY_OF_FILE = "party (file name)"
#: What a data file's name ends in.
SUFFIXES = (".csv", ".csv.gz", ".parquet", ".npz")


@dataclass(frozen=True, eq=False)
class RawRecords:
    """What files hold: a frame of columns, and images if an npz file brought some.

    Parameters
    ----------
    frame
        One row per record, as read.
    images
        ``(n, channels, height, width)``, uint8 or float; None for tables.
    """

    frame: pd.DataFrame
    images: npt.NDArray[Any] | None = None


def read(path: Path) -> RawRecords:
    """Read a file, or each file of a folder (one per party, named by its stem).

    In an npz file the array ``features`` holds the features, ``(n, d)`` for a table or
    ``(n, height, width)`` or ``(n, channels, height, width)`` for images; every other array is a
    column ``(n,)`` under its own name. Nothing is unpickled.

    Raises
    ------
    DataError
        If nothing is there, a file cannot be read or holds no records, arrays differ in length,
        or the files of a folder differ in their columns (the message names file and columns).
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise DataError(f"Expected a data file or folder at {path}, got nothing. Check the path.")
    return read_file(path)


def _read_folder(folder: Path) -> RawRecords:
    files = sorted(f for f in folder.iterdir() if f.is_file() and _suffix(f))
    if not files:
        raise DataError(
            f"Expected files ending in {', '.join(SUFFIXES)} in the folder {folder}, got none. "
            "Put one file per party there."
        )
    stems = [file.name.removesuffix(_suffix(file)) for file in files]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise DataError(
            f"Expected one file per party in {folder}, got several named {', '.join(twice)}. "
            "Rename or remove one."
        )
    parts = [read_file(file) for file in files]
    for file, part in zip(files[1:], parts[1:], strict=True):
        _same_columns(files[0], parts[0], file, part)
    frames = [part.frame.assign(**{PARTY_OF_FILE: s}) for part, s in zip(parts, stems, strict=True)]
    images = [part.images for part in parts if part.images is not None]
    return RawRecords(
        pd.concat(frames, ignore_index=True), np.concatenate(images) if images else None
    )


def _same_columns(first: Path, ours: RawRecords, file: Path, theirs: RawRecords) -> None:
    want, got = list(ours.frame.columns), list(theirs.frame.columns)
    missing = [str(c) for c in want if c not in got]
    extra = [str(c) for c in got if c not in want]
    if missing or extra:
        raise DataError(
            f"Expected {file.name} to have the columns of {first.name}, got "
            f"{', '.join(extra) or 'none'} more and {', '.join(missing) or 'none'} missing. "
            "Give all parties the same columns."
        )
    shapes = [None if r.images is None else r.images.shape[1:] for r in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise DataError(
            f"Expected {file.name} to hold images of shape {shapes[0]} as {first.name} does, got "
            f"{shapes[1]}. Give all parties the same image shape."
        )


def _suffix(path: Path) -> str:
    return next((s for s in SUFFIXES if path.name.lower().endswith(s)), "")


def read_file(path: Path, *, text: Collection[str] = ()) -> RawRecords:
    """Read one file; see :func:`read`. Columns in ``text`` of a CSV file stay as they are spelt."""
    suffix = _suffix(path)
    if suffix == ".npz":
        records = _read_npz(path)
    elif suffix == ".parquet":
        records = RawRecords(_read_parquet(path))
    elif suffix:
        records = RawRecords(read_csv(path, text=text))
    else:
        raise DataError(
            f"Expected a file ending in {', '.join(SUFFIXES)}, got {path}. Convert it first."
        )
    if not len(records.frame):
        raise DataError(f"Expected records in {path}, got none. Remove or fill the file.")
    return records


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # Arrow's errors are ValueErrors
        raise DataError(
            f"Expected a Parquet file at {path}, got: {error}. Check the file."
        ) from error


def _read_npz(path: Path) -> RawRecords:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        pickled = "pickle" in str(error)  # NumPy's own remedy is unsafe: it is not passed on
        reason = "pickled objects, or no npz file at all" if pickled else str(error)
        raise DataError(
            f"Expected an npz file without pickled objects at {path}, got: {reason}. "
            "Save it by numpy.savez from plain arrays."
        ) from error
    features = arrays.pop("features", None)
    if features is None or features.ndim not in (2, 3, 4):
        got = "none" if features is None else f"one with {features.ndim} dimensions"
        raise DataError(
            f"Expected an array 'features' with 2 (table), 3 or 4 (images) dimensions in {path}, "
            f"got {got}. Name and shape it so."
        )
    for name, array in arrays.items():
        if array.shape != features.shape[:1]:
            raise DataError(
                f"Expected the array {name!r} of {path} of shape ({len(features)},), one value "
                f"for each record of 'features', got {array.shape}. Correct its length."
            )
    return _records(features, arrays)


def _records(features: npt.NDArray[Any], arrays: dict[str, npt.NDArray[Any]]) -> RawRecords:
    columns = pd.DataFrame(dict(arrays), index=range(len(features)))
    if features.ndim == 2:
        frame = pd.DataFrame({f"x{i}": column for i, column in enumerate(features.T)})
        return RawRecords(pd.concat([frame, columns], axis=1))
    images = features[:, None] if features.ndim == 3 else features
    return RawRecords(columns, images)
