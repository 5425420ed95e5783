"""The weights of the authors' code: softmax of free numbers, trained by Adam."""

from typing import Final

import numpy as np
from scipy.special import softmax

from equigrad.assistance.arrays import Float64
from equigrad.assistance.weights.base import WEIGHERS, Weigher, WeighProblem

__all__ = ["ReferenceAdam"]

_STEPS: Final = 100
_RATE, _DECAY = 0.1, 5e-4
_BETAS: Final = (0.9, 0.999)


@WEIGHERS.register("reference")
class ReferenceAdam(Weigher):
    """``w = softmax(theta)`` after 100 full-batch steps of Adam from ones (the authors' recipe).

    Learning rate 0.1, betas 0.9 and 0.999, ``5e-4 theta`` added to the gradient of the mean squared
    error. It only comes near the optimum: no weight is ever 0.
    """

    name = "reference"

    def _weights(self, problem: WeighProblem) -> Float64:
        theta = np.ones(len(problem.c))
        first, second = np.zeros_like(theta), np.zeros_like(theta)
        for t in range(1, _STEPS + 1):
            w = softmax(theta)
            pull = 2.0 * (problem.H @ w - problem.c)
            gradient = w * (pull - w @ pull) + _DECAY * theta
            first = _BETAS[0] * first + (1 - _BETAS[0]) * gradient
            second = _BETAS[1] * second + (1 - _BETAS[1]) * gradient**2
            unbiased = second / (1 - _BETAS[1] ** t)
            theta = theta - _RATE * (first / (1 - _BETAS[0] ** t)) / (np.sqrt(unbiased) + 1e-8)
        return np.asarray(softmax(theta))
