"""Golden cases of the market, whose file is a list of cases for each key.

A case is used as it stands in the file (``case["eps"]``); outputs are compared with
:func:`check` at the specification's tolerances: relative 1e-9, absolute below 1; weights 1e-7.
"""

from typing import Any

import numpy as np
import pytest
from golden_cases import load

FILE = "market.json"
TOLERANCE = 1e-9
WEIGHT_TOLERANCE = 1e-7


def cases(key: str) -> list[Any]:
    """Return the cases of ``key`` as pytest parameters; none if the file does not hold it."""
    return [pytest.param(case, id=f"{key}-{i}") for i, case in enumerate(load(FILE).get(key, []))]


def check(got: Any, want: Any, tolerance: float = TOLERANCE) -> None:
    """Compare numbers or arrays: relative, and absolute where the expected number is below 1."""
    expected = np.asarray(want, dtype=np.float64)
    found = np.asarray(got, dtype=np.float64)
    assert found.shape == expected.shape, f"got shape {found.shape}, want {expected.shape}"
    allowed = tolerance * np.maximum(np.abs(expected), 1.0)
    gap = np.abs(found - expected)
    assert (gap <= allowed).all(), f"got {found}, want {expected}, largest gap {gap.max():g}"
