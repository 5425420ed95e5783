"""Sparse rewards and their form on the wire.

A reward is a few (or all) entries of the aggregate. Sent as indices it costs 4 bytes per kept
entry for the positions, as a bitmap one eighth of a byte per parameter; the two meet at a density
of 1/32, hence the change of form at 3 %. Rewards are made by ``masks.take``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.errors import DataError

__all__ = ["SPARSE_DENSITY", "Sparse", "add_to", "decode", "encode"]

SPARSE_DENSITY = 0.03
"""Below this share of kept entries a reward travels as indices and values."""


@dataclass(frozen=True, eq=False)
class Sparse:
    """Some entries of a vector of length ``size``; all others are zero.

    Attributes
    ----------
    size
        Length D of the dense vector.
    indices
        ``(k,) int64``, strictly ascending.
    values
        ``(k,)`` floating.
    """

    size: int
    indices: npt.NDArray[np.int64]
    values: npt.NDArray[np.floating[Any]]

    def dense(self) -> npt.NDArray[np.floating[Any]]:
        """Return the dense vector, ``(D,)`` in the dtype of the values."""
        vector = np.zeros(self.size, dtype=self.values.dtype)
        vector[self.indices] = self.values
        return vector


def add_to(vector: npt.NDArray[np.floating[Any]], sparse: Sparse) -> None:
    """Add a reward to ``vector`` in place.

    Raises
    ------
    DataError
        When the vector is not flat or its length is not the reward's.
    """
    if vector.shape != (sparse.size,):
        raise DataError(
            f"Expected a vector of shape ({sparse.size},), got shape {vector.shape}. "
            "Flatten the model's parameters in the order of the run."
        )
    vector[sparse.indices] += sparse.values.astype(vector.dtype, copy=False)


def encode(sparse: Sparse) -> dict[str, np.ndarray[Any, Any]]:
    """Return the reward as named arrays, ready to send.

    Always present: ``size`` ``() int64`` and ``values`` ``(k,)``. Below a density of 3 % the
    positions are ``indices`` (``uint32`` where they fit, else ``int64``); above, they are
    ``bitmap`` (``ceil(D/8)`` ``uint8``, lowest bit first) with ``threshold`` ``()``, the smallest
    kept magnitude. ``decode`` returns exactly what was encoded, dtype included.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "size": np.asarray(sparse.size, dtype=np.int64),
        "values": sparse.values,
    }
    if sparse.indices.size < SPARSE_DENSITY * sparse.size or not sparse.indices.size:
        narrow = np.uint32 if sparse.size <= 2**32 else np.int64
        arrays["indices"] = sparse.indices.astype(narrow)
        return arrays
    keep = np.zeros(sparse.size, dtype=np.bool_)
    keep[sparse.indices] = True
    arrays["bitmap"] = np.packbits(keep, bitorder="little")
    arrays["threshold"] = np.asarray(np.abs(sparse.values).min())
    return arrays


def decode(arrays: Mapping[str, np.ndarray[Any, Any]]) -> Sparse:
    """Return the reward that :func:`encode` turned into ``arrays``.

    Raises
    ------
    DataError
        When an array is missing or malformed: positions out of range, not ascending or not as
        many as values, values not finite or not floating, threshold not that of the values.
    """
    missing = {"size", "values"} - arrays.keys()
    if missing or ("indices" in arrays) == ("bitmap" in arrays):
        raise DataError(
            "Expected a reward with size, values and either indices or bitmap, got "
            f"{', '.join(sorted(arrays)) or 'nothing'}. Ask the coordinator to send it again."
        )
    size, values = _size(arrays["size"]), np.asarray(arrays["values"])
    if values.ndim != 1 or values.dtype.kind != "f" or not np.isfinite(values).all():
        raise DataError(
            f"Expected flat, finite, floating reward values, got shape {values.shape} of "
            f"{values.dtype}. Ask the coordinator to send it again."
        )
    if "indices" in arrays:
        indices = _listed(np.asarray(arrays["indices"]), size)
    else:
        indices = _mapped(np.asarray(arrays["bitmap"]), size)
        _check_threshold(arrays.get("threshold"), values)
    if indices.size != values.size:
        raise DataError(
            f"Expected as many reward values as positions ({indices.size}), got {values.size}. "
            "Ask the coordinator to send it again."
        )
    return Sparse(size, indices, values)


def _size(array: np.ndarray[Any, Any]) -> int:
    array = np.asarray(array)
    if array.shape != () or array.dtype.kind not in "iu" or int(array) < 0:
        raise DataError(f"Expected the reward's size to be one whole number >= 0, got {array!r}.")
    return int(array)


def _listed(array: np.ndarray[Any, Any], size: int) -> npt.NDArray[np.int64]:
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"Expected flat whole reward indices, got {array.dtype} {array.shape}.")
    indices = array.astype(np.int64)
    if indices.size and (indices[0] < 0 or indices[-1] >= size or (np.diff(indices) <= 0).any()):
        raise DataError(f"Expected reward indices ascending in 0..{size - 1}, got others.")
    return indices


def _mapped(array: np.ndarray[Any, Any], size: int) -> npt.NDArray[np.int64]:
    expected = -(-size // 8)
    if array.dtype != np.uint8 or array.shape != (expected,):
        raise DataError(
            f"Expected a reward bitmap of {expected} uint8, got {array.dtype} {array.shape}."
        )
    bits = np.unpackbits(array, bitorder="little")
    if bits[size:].any():
        raise DataError("Expected a reward bitmap with zero padding, got set bits behind its end.")
    return np.flatnonzero(bits[:size]).astype(np.int64)


def _check_threshold(
    threshold: np.ndarray[Any, Any] | None, values: npt.NDArray[np.floating[Any]]
) -> None:
    smallest = np.abs(values).min() if values.size else None
    if threshold is None or smallest is None or np.asarray(threshold) != smallest:
        raise DataError(
            f"Expected the reward's threshold to be its smallest magnitude {smallest}, "
            f"got {threshold}. Ask the coordinator to send it again."
        )
