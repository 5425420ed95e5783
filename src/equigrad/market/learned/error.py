"""ERR* of many rounds at once, with its envelope gradient: what the market's networks minimise."""

from typing import Any

import torch
from torch import Tensor

from equigrad.market.aggregation import optimum

__all__ = ["optimal_error"]


def optimal_error(precision: Tensor, sizes: Tensor) -> Tensor:
    """Return ``ERR*/L^2`` of each round, ``(rounds,)``; differentiable in ``precision``.

    The exact minimum over aggregation weights (:func:`equigrad.market.aggregation.optimum`), in
    float64; its gradient is ``-clip(w_i/c_i, a, b)^2`` and so not zero at ``c_i = 0``. A round in
    which nobody sells has the error inf and the gradient 0.

    Parameters
    ----------
    precision
        ``(rounds, N)``, ``c_i = L^2/V_i`` >= 0; 0 for a party that sells nothing.
    sizes
        ``(rounds, N)``, the records of all bidders, > 0.
    """
    error: Tensor = _OptimalError.apply(precision, sizes)  # type: ignore[no-untyped-call]
    return error


class _OptimalError(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, precision: Tensor, sizes: Tensor) -> Tensor:
        found = optimum(
            sizes.detach().cpu().to(torch.float64).numpy(),
            precision.detach().cpu().to(torch.float64).numpy(),
        )
        slope = torch.as_tensor(found.gradient_precision)
        error = torch.as_tensor(found.error)
        valid = torch.as_tensor(found.valid)
        slope = torch.where(valid[:, None], slope, 0.0)
        error = torch.where(valid, error, torch.inf)
        ctx.save_for_backward(slope.to(precision))
        return error.to(precision)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return upstream[:, None] * slope, None
