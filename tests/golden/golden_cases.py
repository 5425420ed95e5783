"""Golden cases: inputs and expected outputs written by an independent oracle.

The folder comes from the environment variable ``EQUIGRAD_GOLDEN``; without it, from this folder.
A file holds any number of cases of any kind: a kind that a file does not hold gives no cases, and
pytest then skips the test. A file that is missing is an error, since nothing would be tested.
"""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GOLDEN_ENV = "EQUIGRAD_GOLDEN"


@dataclass(frozen=True)
class Case:
    """One golden case with what its file says about all of its cases."""

    name: str
    kind: str
    inputs: dict[str, Any]
    expected: dict[str, Any]
    tolerance: float
    conventions: dict[str, Any]

    def array(self, key: str) -> np.ndarray:
        """Return input ``key`` as a float64 array."""
        return np.asarray(self.inputs[key], dtype=np.float64)

    def want(self, key: str) -> np.ndarray:
        """Return expected output ``key`` as a float64 array."""
        return np.asarray(self.expected[key], dtype=np.float64)

    def check(self, got: Any, key: str) -> None:
        """Compare ``got`` with expected output ``key`` within the file's absolute tolerance."""
        np.testing.assert_allclose(got, self.want(key), rtol=0, atol=self.tolerance, err_msg=key)


def folder() -> Path:
    """Return the folder that holds the golden files."""
    chosen = os.environ.get(GOLDEN_ENV)
    return Path(chosen) if chosen else Path(__file__).parent


@cache
def load(file: str) -> dict[str, Any]:
    """Return the whole content of one golden file."""
    path = folder() / file
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected golden file {path}, got none. Set {GOLDEN_ENV} to the folder that holds it."
        )
    return json.loads(path.read_text(encoding="utf-8"))


def cases(file: str, kind: str) -> list[Any]:
    """Return the cases of ``kind`` in ``file`` as pytest parameters named after the cases."""
    content = load(file)
    conventions = dict(content.get("conventions", {}))
    tolerance = float(content.get("tolerance", 1e-6))
    return [
        pytest.param(
            Case(case["name"], kind, case["inputs"], case["expected"], tolerance, conventions),
            id=case["name"],
        )
        for case in content["cases"]
        if case["kind"] == kind
    ]
