"""The same weight for every party that answered."""

import numpy as np

from equigrad.assistance.arrays import Float64
from equigrad.assistance.weights.base import WEIGHERS, Weigher, WeighProblem

__all__ = ["Equal"]


@WEIGHERS.register("equal")
class Equal(Weigher):
    """1/M for each of M parties: what learned weights are compared with."""

    name = "equal"

    def _weights(self, problem: WeighProblem) -> Float64:
        return np.full(len(problem.c), 1.0 / len(problem.c))
