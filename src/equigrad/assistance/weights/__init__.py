"""Assistance weights: the best convex mix of the parties' answers.

The contract is :class:`Weigher`.
"""

from collections.abc import Callable
from typing import Any

from equigrad.assistance.weights.absolute import LeastAbsolute
from equigrad.assistance.weights.base import WEIGHERS, Weigher, WeighProblem
from equigrad.assistance.weights.cone import Cone, cone_quadratic
from equigrad.assistance.weights.equal import Equal
from equigrad.assistance.weights.quadratic import Quadratic, simplex_quadratic
from equigrad.assistance.weights.reference import ReferenceAdam
from equigrad.assistance.weights.smooth import (
    Huber,
    SmoothWeigher,
    TorchWeigher,
    WeighL4,
    WeighL15,
)

__all__ = [
    "WEIGHERS",
    "Cone",
    "Equal",
    "Huber",
    "LeastAbsolute",
    "Quadratic",
    "ReferenceAdam",
    "SmoothWeigher",
    "TorchWeigher",
    "WeighL4",
    "WeighL15",
    "WeighProblem",
    "Weigher",
    "cone_quadratic",
    "make_weigher",
    "simplex_quadratic",
]


def make_weigher(weights: Weigher | str | Callable[..., Any]) -> Weigher:
    """Return a weigher from the name of a local loss, a function in PyTorch, or itself.

    Raises
    ------
    RegistryError
        If the name is unknown.
    """
    if isinstance(weights, Weigher):
        return weights
    return WEIGHERS[weights]() if isinstance(weights, str) else TorchWeigher(weights)
