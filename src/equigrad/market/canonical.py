"""Canonical bytes and their SHA-256: what is signed, committed, recorded and recomputed.

A text form for small things (bids, terms) and a binary form for tables. Both are the same on every
machine: integers and strings only, fixed order, fixed byte order.
"""

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["array_bytes", "canonical_json", "sha256"]


def canonical_json(value: Any) -> bytes:
    """Return ``value`` as ASCII JSON without blanks, keys sorted.

    Parameters
    ----------
    value
        Nested lists, tuples and dicts of integers, strings, booleans and None.

    Raises
    ------
    TypeError
        If a float is in it: its text is not the same everywhere, so it would not be canonical.
    """
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def array_bytes(array: npt.NDArray[np.int64]) -> bytes:
    """Return shape and entries of an integer array as little-endian bytes."""
    entries = np.ascontiguousarray(array, dtype="<i8")
    return np.asarray([entries.ndim, *entries.shape], dtype="<i8").tobytes() + entries.tobytes()


def sha256(*parts: bytes) -> str:
    """Return the SHA-256 of ``parts``, each preceded by its length, as 64 hexadecimal digits.

    The lengths make the parts unambiguous: no two different lists of parts have the same input.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _refuse_floats(value: Any) -> None:
    """Raise ``TypeError`` at the first float in ``value``."""
    if isinstance(value, float):
        raise TypeError(f"Expected integers, strings, booleans or None, got the float {value!r}.")
    if isinstance(value, dict):
        for key, entry in value.items():
            _refuse_floats(key)
            _refuse_floats(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            _refuse_floats(entry)
