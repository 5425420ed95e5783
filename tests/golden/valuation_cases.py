"""Golden cases of valuation, whose file has a form of its own: one dict for each case.

A case is used as it stands in the file (``case["X"]``, ``case["dp"]["clip"]``); expected outputs
are compared with :meth:`ValuationCase.check` at the file's tolerances. Where a case does not hold
an expected key, :meth:`ValuationCase.check` skips the test: ``None`` within an array is NaN.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from golden_cases import load

FILE = "valuation.json"


@dataclass(frozen=True)
class ValuationCase:
    """One case of the file: inputs by name, expected outputs, and the file's tolerances."""

    id: str
    content: Mapping[str, Any]
    rel: float
    abs: float

    def __getitem__(self, key: str) -> Any:
        return self.content[key]

    def array(self, key: str) -> np.ndarray:
        """Return input ``key`` as a float64 array."""
        return np.asarray(self.content[key], dtype=np.float64)

    def holds(self, key: str) -> bool:
        """Return whether the case expects anything of ``key``."""
        return key in self.content["expected"]

    def raw(self, key: str) -> Any:
        """Return expected output ``key`` as it stands in the file; skip the test without it."""
        if not self.holds(key):
            pytest.skip(f"case {self.id} does not hold {key}")
        return self.content["expected"][key]

    def want(self, key: str) -> np.ndarray:
        """Return expected output ``key`` as a float64 array (``null`` becomes NaN)."""
        return np.asarray(self.raw(key), dtype=np.float64)

    def check(self, got: Any, key: str) -> None:
        """Compare ``got`` with expected output ``key`` at the file's tolerances."""
        want = self.want(key)
        assert np.shape(got) == want.shape, f"{key}: {np.shape(got)}, want {want.shape}"
        np.testing.assert_allclose(got, want, rtol=self.rel, atol=self.abs, err_msg=key)


def cases(*needed: str) -> list[Any]:
    """Return the cases that expect all of the keys ``needed``, as pytest parameters with ids."""
    content = load(FILE)
    tolerance = content["tolerance"]
    found = [
        ValuationCase(case["id"], case, float(tolerance["rel"]), float(tolerance["abs"]))
        for case in content["cases"]
    ]
    return [pytest.param(case, id=case.id) for case in found if all(map(case.holds, needed))]
