"""Any differentiable loss written in PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from equigrad.assistance.arrays import Float64, mean_of_rows
from equigrad.assistance.losses.base import Loss, column_means
from equigrad.errors import ConfigError

__all__ = ["TorchLoss"]


class TorchLoss(Loss):
    """A user's loss; its residual comes from automatic differentiation.

    It should be convex in the scores: then the step is exact. It is not in :data:`LOSSES`, since a
    function has no name that would find it again.

    Parameters
    ----------
    function
        ``(scores (n, K), target (n, K)) -> (n,)`` float64 tensors: the loss of each row, from that
        row alone.
    classification
        Targets are one-hot classes and scores are logits.
    """

    name = "torch"

    def __init__(
        self, function: Callable[[Tensor, Tensor], Tensor], *, classification: bool = False
    ) -> None:
        if not callable(function):
            raise ConfigError(
                f"Expected a loss function of (scores, target), got {function!r}. Name one of the "
                "registered losses, or give a function."
            )
        self.function = function
        self.classification = classification  # type: ignore[misc]  # each user's loss has its own

    def rows(self, target: Float64, scores: Float64) -> Float64:
        """Return what the function returns."""
        with torch.no_grad():
            return (
                self._checked(torch.from_numpy(np.array(scores)), target).numpy().astype(np.float64)
            )

    def residual(self, target: Float64, scores: Float64, scale: float = 1.0) -> Float64:
        """Return minus the gradient of the summed loss."""
        del scale
        leaf = torch.from_numpy(np.array(scores)).requires_grad_()
        with torch.enable_grad():
            total = self._checked(leaf, target).sum()
            (gradient,) = torch.autograd.grad(total, leaf)
        return -gradient.numpy()

    def start(self, target: Float64, weight: Float64 | None = None) -> Float64:
        """Return the constant of least loss: by BFGS from the means, or zero logits."""
        first = np.zeros(target.shape[1]) if self.classification else column_means(target, weight)

        def loss(constant: Float64) -> tuple[float, Float64]:
            scores = np.broadcast_to(constant, target.shape).copy()
            pull = column_means(self.residual(target, scores), weight)
            return mean_of_rows(self.rows(target, scores), weight), -pull

        found = minimize(loss, first, jac=True, method="BFGS")
        best = found.x if found.fun <= loss(first)[0] else first
        return np.asarray(best, dtype=np.float64)

    def step_limit(self, eta_max: float, scale: float) -> float:
        """Return ``eta_max * max(1, scale)`` in regression: the residual may be without unit."""
        return eta_max if self.classification else eta_max * max(1.0, scale)

    def describe(self) -> dict[str, Any]:
        """Return that it is a user's, and the function's name."""
        return {"loss": self.name, "function": getattr(self.function, "__name__", "unnamed")}

    def _checked(self, scores: Tensor, target: Float64) -> Tensor:
        found = self.function(scores, torch.from_numpy(np.array(target)))
        if not isinstance(found, Tensor) or found.shape != scores.shape[:1]:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ConfigError(
                f"Expected the loss function to return one loss a row, shape "
                f"({scores.shape[0]},); got {got}. Sum over columns, never over rows."
            )
        return found
