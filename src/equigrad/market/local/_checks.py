"""What a public check of a delivery finds; each reason says what was expected and what was got.

Neighbours: ``base`` and the mechanisms ask here.
"""

from typing import Any, Final

import numpy as np

from equigrad.market.local.upload import Upload

__all__ = ["REJECT", "dense_faults", "differences"]

REJECT: Final = 1e-9
"""Probability at most with which a sound delivery is rejected for its norm."""

_KINDS: Final = {"float64": "<f8", "float32": "<f4", "lattice": "<i8"}


def differences(upload: Upload, **wanted: Any) -> tuple[str, ...]:
    """Return which public fields of an upload are others than wanted, and that it is not finite."""
    reasons = [
        f"Expected {name}={want!r}, got {getattr(upload, name)!r}."
        for name, want in wanted.items()
        if getattr(upload, name) != want
    ]
    kind = _KINDS[wanted["form"]]
    if upload.values.dtype != np.dtype(kind):
        reasons.append(f"Expected numbers of type {kind}, got {upload.values.dtype.str}.")
    elif not np.isfinite(upload.values).all():
        reasons.append("Expected finite numbers, got NaN or inf.")
    return tuple(reasons)


def dense_faults(upload: Upload, norm: float, limit: float) -> list[str]:
    """Return what is wrong with an upload of all coordinates, whose norm has a limit."""
    if upload.places is not None or upload.values.shape != (upload.dim,):
        return [f"Expected {upload.dim} coordinates, got {upload.values.size}."]
    if not norm <= limit:
        return [f"Expected a norm of at most {limit:.9g}, got {norm:.9g}."]
    return []
