"""ERR* of many rounds at once, with its envelope gradient: what the market's networks minimise."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["optimal_error"]


def optimal_error(precision: Tensor, shares: Tensor) -> Tensor:
    """Return ``ERR*/L^2`` of each round, ``(rounds,)``; differentiable in ``precision``.

    The exact minimum over aggregation weights in closed form (specification 3.2); its gradient is
    ``-clip(w_i/c_i, a, b)^2`` and so not zero at ``c_i = 0``. A round in which nobody sells has
    the error inf and the gradient 0.

    Parameters
    ----------
    precision
        ``(rounds, N)``, ``c_i = L^2/V_i`` >= 0; 0 for a party that sells nothing.
    shares
        ``(rounds, N)``, ``w_i`` over all bidders, > 0, each row sums to 1.
    """
    error: Tensor = _OptimalError.apply(precision, shares)  # type: ignore[no-untyped-call]
    return error


class _OptimalError(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, precision: Tensor, shares: Tensor) -> Tensor:
        c, w = precision.to(torch.float64), shares.to(torch.float64)
        a, b, two_h = _prices(c, w)
        ratio = w / c  # inf for a non-seller, whose clip is then b
        clipped = torch.minimum(torch.maximum(ratio, a[:, None]), b[:, None])
        weights = clipped * c
        error = (clipped * weights).sum(-1) + two_h**2
        sold = (c > 0).any(-1)
        ctx.save_for_backward(torch.where(sold[:, None], -clipped.square(), 0.0))
        return torch.where(sold, error, torch.inf).to(precision.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (slope,) = ctx.saved_tensors
        return (upstream[:, None] * slope.to(upstream.dtype)), None


def _prices(c: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a, b and D of every round."""
    seller = c > 0
    idle = torch.where(seller, 0.0, w).sum(-1, keepdim=True)
    ratio = torch.where(seller, w / c, 0.0)
    largest = ratio.amax(-1, keepdim=True)
    ratio, order = torch.sort(torch.where(seller, ratio, largest), dim=-1, stable=True)
    # a non-seller that sorts before a seller of the same ratio adds zero to both sums
    c = torch.gather(torch.where(seller, c, 0.0), -1, order)
    step = torch.diff(ratio, dim=-1)
    below = c.cumsum(-1)
    above = c.flip(-1).cumsum(-1).flip(-1)
    zero = torch.zeros_like(idle)
    up = torch.cat([zero, (step * below[:, :-1]).cumsum(-1)], -1)
    down = torch.cat([(step * above[:, 1:]).flip(-1).cumsum(-1).flip(-1), zero], -1)

    def low(h: Tensor) -> Tensor:
        k = torch.searchsorted(up, h, right=True) - 1
        rise = (h - up.gather(-1, k)) / below.gather(-1, k).clamp_min(1e-300)
        return ratio.gather(-1, k) + rise

    def high(g: Tensor) -> Tensor:
        k = down.shape[-1] - torch.searchsorted(down.flip(-1).contiguous(), g, right=True)
        fall = (g - down.gather(-1, k)) / above.gather(-1, k).clamp_min(1e-300)
        return ratio.gather(-1, k) - fall

    points = torch.cat([idle, up, idle + down], -1).clamp_min(idle).sort(-1).values
    value = high((points - idle).clamp_min(0)) - low(points) - 4 * points
    last = ((value > 0).sum(-1, keepdim=True) - 1).clamp_min(0)
    following = (last + 1).clamp_max(points.shape[-1] - 1)
    left, right = value.gather(-1, last), value.gather(-1, following)
    x, y = points.gather(-1, last), points.gather(-1, following)
    part = torch.where(left > 0, left / (left - right).clamp_min(1e-300), torch.zeros_like(left))
    h = x + part.clamp(0, 1) * (y - x)
    a = low(h)
    plain = low(idle)
    alone = (idle > 0) & (plain + 4 * idle >= largest)
    h, a = torch.where(alone, idle, h), torch.where(alone, plain, a)
    return a[:, 0], (a + 4 * h)[:, 0], 2 * h[:, 0]
