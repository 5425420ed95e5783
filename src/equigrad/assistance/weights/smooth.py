"""Weights under other convex local losses of the single errors."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from scipy.optimize import LinearConstraint, minimize
from torch import Tensor

from equigrad._validate import positive
from equigrad.assistance.arrays import Float64
from equigrad.assistance.weights.base import WEIGHERS, Weigher, WeighProblem
from equigrad.assistance.weights.quadratic import simplex_quadratic

__all__ = ["Huber", "SmoothWeigher", "TorchWeigher", "WeighL4", "WeighL15"]

_KKT: Final = 1e-6
_MOST_REWEIGHTED: Final = 100
_SHARES: Final = (1.0, 2 / 3, 1 / 3, 0.1, 0.01)


class SmoothWeigher(Weigher):
    """Minimises ``sum phi(r - sum_m w_m f_m)`` for a convex, differentiable ``phi``.

    By SLSQP from 1/M with the analytic gradient; where its relative KKT residual stays above 1e-6,
    further by iteratively reweighted least squares, and then by a trust-region method.
    """

    @abstractmethod
    def loss(self, errors: Float64) -> tuple[Float64, Float64]:
        """Return ``phi`` and its derivative for ``(n,)`` errors."""

    def _weights(self, problem: WeighProblem) -> Float64:
        start = np.full(len(problem.c), 1.0 / len(problem.c))
        unit = max(float(np.abs(self._gradient(problem, start)[1]).max()), np.finfo(float).tiny)

        def objective(w: Float64) -> tuple[float, Float64]:
            value, gradient = self._gradient(problem, w)
            return value / unit, gradient / unit

        bounds = [(0.0, 1.0)] * len(start)
        options = {"ftol": 1e-12, "maxiter": 1000}
        total = {"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": lambda w: np.ones_like(w)}
        found = minimize(
            objective, start, jac=True, bounds=bounds, constraints=total, options=options
        )
        w = _feasible(found.x)
        if _kkt(w, objective(w)[1]) > _KKT:
            w = self._reweighted(problem, w)
        if _kkt(w, objective(w)[1]) > _KKT:
            again = minimize(
                objective,
                w,
                jac=True,
                hess=lambda w: np.zeros((len(w), len(w))),
                bounds=bounds,
                method="trust-constr",
                constraints=LinearConstraint(np.ones((1, len(w))), 1.0, 1.0),
                options={"gtol": 1e-10, "xtol": 1e-12, "maxiter": 3000},
            )
            other = _feasible(again.x)
            w = min((w, other), key=lambda v: objective(v)[0])
        return w

    def _reweighted(self, problem: WeighProblem, w: Float64) -> Float64:
        """Return better weights from quadratic programmes with the curvature ``phi'(e) / e``.

        For powers p above 2 the step is cut to ``1 / (p - 1)``, which makes it Newton's.
        """
        value, gradient = self._gradient(problem, w)
        for _ in range(_MOST_REWEIGHTED):
            if _kkt(w, gradient) <= _KKT:
                break
            errors = problem.residual - w @ problem.fits
            safe = np.where(np.abs(errors) > 1e-12 * np.abs(errors).max(), errors, 1.0)
            curvature = np.maximum(self.loss(safe)[1] / safe, 0.0)
            if problem.weight is not None:
                curvature = curvature * problem.weight
            heavy = problem.fits * curvature
            aim = simplex_quadratic(heavy @ problem.fits.T, heavy @ problem.residual)
            tries = [w + share * (aim - w) for share in _SHARES]
            values = [self._gradient(problem, moved)[0] for moved in tries]
            best = int(np.argmin(values))
            if values[best] >= value:
                break
            w = tries[best]
            value, gradient = self._gradient(problem, w)
        return w

    def _gradient(self, problem: WeighProblem, w: Float64) -> tuple[float, Float64]:
        """Return the mean loss and its gradient in w."""
        values, slopes = self.loss(problem.residual - w @ problem.fits)
        if problem.weight is not None:
            values, slopes = values * problem.weight, slopes * problem.weight
        return float(values.mean()), -(problem.fits @ slopes) / len(slopes)


def _feasible(w: Float64) -> Float64:
    w = np.maximum(w, 0.0)
    return np.asarray(w / w.sum())


def _kkt(w: Float64, gradient: Float64) -> float:
    """Return how far below the mix's gradient the smallest one lies, relative to the largest."""
    return float((w @ gradient - gradient.min()) / max(np.abs(gradient).max(), 1e-300))


class _Power(SmoothWeigher):
    power: float

    def loss(self, errors: Float64) -> tuple[Float64, Float64]:
        """Return ``|e|^p`` and its derivative."""
        size = np.abs(errors)
        return size**self.power, self.power * size ** (self.power - 1.0) * np.sign(errors)


@WEIGHERS.register("l1.5")
class WeighL15(_Power):
    """``|e|^1.5``."""

    name = "l1.5"
    power = 1.5


@WEIGHERS.register("l4")
class WeighL4(_Power):
    """``|e|^4``."""

    name = "l4"
    power = 4.0


@WEIGHERS.register("huber")
class Huber(SmoothWeigher):
    """Squared up to ``delta``, linear beyond.

    Parameters
    ----------
    delta
        > 0, in units of the residual's root mean square.
    """

    name = "huber"

    def __init__(self, delta: float = 1.35) -> None:
        self.delta = float(positive("delta", delta))

    def _weights(self, problem: WeighProblem) -> Float64:
        unit = float(np.sqrt(np.mean(problem.residual**2))) or 1.0
        scaled = WeighProblem.of(problem.fits / unit, problem.residual / unit, problem.weight)
        return super()._weights(scaled)

    def loss(self, errors: Float64) -> tuple[Float64, Float64]:
        """Return Huber's loss and its derivative."""
        size = np.abs(errors)
        near = np.minimum(size, self.delta)
        return near * (size - 0.5 * near), near * np.sign(errors)

    def describe(self) -> dict[str, Any]:
        """Return name and bound."""
        return {"weights": self.name, "delta": self.delta}


class TorchWeigher(SmoothWeigher):
    """A user's convex local loss in PyTorch.

    Parameters
    ----------
    function
        ``errors (n,) -> (n,)`` float64 tensors.
    """

    name = "torch"

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def loss(self, errors: Float64) -> tuple[Float64, Float64]:
        """Return what the function returns, and its derivative."""
        leaf = torch.from_numpy(np.array(errors)).requires_grad_()
        with torch.enable_grad():
            values = self.function(leaf)
            (slopes,) = torch.autograd.grad(values.sum(), leaf)
        return values.detach().numpy(), slopes.numpy()
