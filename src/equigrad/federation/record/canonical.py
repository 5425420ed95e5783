"""One way to write a value down: canonical JSON, matrices, and the digests of both.

A record can be recomputed by others only if equal values always give equal bytes. The neighbours
are :mod:`equigrad.federation.record.chain` (which writes lines of canonical JSON) and
:mod:`equigrad.federation.record.checkpoint` (which names files by their digest).
"""

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from equigrad.errors import RecordError

__all__ = [
    "NESTED_UP_TO",
    "canonical_json",
    "decode_matrix",
    "encode_matrix",
    "plain",
    "sha256_array",
    "sha256_file",
    "sha256_json",
]

NESTED_UP_TO = 32
"""Matrices with at most this many rows are written as nested lists, larger ones as base64."""

Array = npt.NDArray[Any] | torch.Tensor


def plain(value: Any) -> Any:
    """Return ``value`` as what JSON holds: dict, list, str, int, float, bool or None.

    NumPy and torch scalars and arrays become numbers and lists, tuples lists, paths strings, keys
    strings. NaN and infinities, which JSON lacks, become ``"nan"``, ``"inf"`` and ``"-inf"``, so
    that ``float(x)`` reads them back.

    Raises
    ------
    RecordError
        If the value is of another kind.
    """
    match value:
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else str(float(value))
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case np.ndarray() | np.generic():
            return plain(value.tolist())
        case torch.Tensor():
            return plain(value.detach().cpu().tolist())
        case Path():
            return value.as_posix()
        case _:
            kind = type(value).__name__
            raise RecordError(f"Expected a value that JSON can hold, got a {kind}.")


def canonical_json(value: Any) -> str:
    """Return the only JSON text of ``value``: sorted keys, no spaces, ASCII, floats by ``repr``.

    ``value`` goes through :func:`plain` first. ``json.loads`` of the text gives it back, floats to
    the last bit.
    """
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_json(value: Any) -> str:
    """Return the SHA-256 (hex) of :func:`canonical_json`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def sha256_array(*arrays: Array) -> str:
    """Return the SHA-256 (hex) of the arrays' entries, one array after the other.

    Hashed are the entries alone, C-ordered, little-endian and in the array's own dtype; neither
    shape nor dtype enters, so a flat ``float32`` model has the digest of its bytes.
    """
    digest = hashlib.sha256()
    for array in arrays:
        entries = array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else array
        entries = np.ascontiguousarray(entries)
        little = entries.astype(entries.dtype.newbyteorder("<"), copy=False)
        digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def encode_matrix(matrix: npt.ArrayLike) -> list[list[float]] | dict[str, Any]:
    """Return a ``(rows, columns)`` matrix of float64 in the record's form.

    Nested lists up to :data:`NESTED_UP_TO` rows, above ``{"shape": [...], "f64": base64 of the
    little-endian entries}``. :func:`decode_matrix` gives it back to the last bit.
    """
    array = np.asarray(matrix, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"Expected a matrix, got shape {array.shape}.")
    if array.shape[0] <= NESTED_UP_TO:
        nested: list[list[float]] = plain(array)
        return nested
    entries = np.ascontiguousarray(array, dtype="<f8").tobytes()
    return {"shape": list(array.shape), "f64": base64.b64encode(entries).decode()}


def decode_matrix(value: Any) -> npt.NDArray[np.float64]:
    """Return the ``(rows, columns) float64`` matrix that :func:`encode_matrix` wrote down.

    Raises
    ------
    RecordError
        If ``value`` has neither form.
    """
    try:
        if isinstance(value, Mapping):
            entries = base64.b64decode(value["f64"], validate=True)
            rows, columns = (int(n) for n in value["shape"])
            return np.frombuffer(entries, dtype="<f8").reshape(rows, columns).astype(np.float64)
        array = np.array(value, dtype=np.float64)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise RecordError(f"Expected a matrix in the record's form, got {error}.") from error
    if array.size == 0 and array.ndim == 1:
        return array.reshape(0, 0)
    if array.ndim != 2:
        raise RecordError(f"Expected a matrix in the record's form, got shape {array.shape}.")
    return array
