"""The clock, smoothed: a differentiable stand-in for clearing that trains a schedule.

Level choices become probabilities and the clearing price is interpolated between two points of a
grid; nothing else changes. It is used in training only: clearing itself is exact, in integers.
"""

import torch
from torch import Tensor

__all__ = ["relaxed_precision"]

PRICES = 72
"""Points of the price grid."""

_SPAN = 6.5


def relaxed_precision(
    quality: Tensor,
    costs: Tensor,
    allowed: Tensor,
    sizes: Tensor,
    budget: Tensor,
    precision: Tensor,
    temperature: float,
    prices: int = PRICES,
) -> Tensor:
    """Return the expected precision that every party sells, ``(rounds, N)``.

    Parameters
    ----------
    quality
        ``(rounds, N, K+1)``, the schedule; gradients flow through it.
    costs
        ``(rounds, N, K+1)``, true cost per record of each level.
    allowed
        ``(rounds, N, K+1)`` bool, levels up to the party's cap.
    sizes, budget
        ``(rounds, N)`` records and ``(rounds,)`` currency units.
    precision
        ``(K+1,)``, ``c(eps_k)`` of the local mechanism.
    temperature
        Softness of a choice, relative to half the cost of the largest level.
    prices
        Points of the price grid.
    """
    grid = _price_grid(quality, sizes, budget, prices)
    soft = temperature * costs[..., -1:].clamp_min(1e-30) / 2
    # (rounds, N, G, K+1): utilities per record of every level at every price
    margin = grid[:, None, :, None] * quality[..., None, :] - costs[..., None, :]
    chance = _choice(margin / soft[..., None], allowed[..., None, :])
    sold = (chance * quality[..., None, :]).sum(-1)
    money = grid[:, None, :] * sizes[..., None]
    supply = money * sold
    top = money * quality[..., -1:]
    excess = (supply.sum(1, keepdim=True) - supply + top) / budget[:, None, None] - 1
    price = _stopping_price(grid, excess)
    margin = price[..., None] * quality - costs
    return _choice(margin / soft, allowed) @ precision


def _price_grid(quality: Tensor, sizes: Tensor, budget: Tensor, prices: int) -> Tensor:
    """Return log-spaced prices from "everybody's top fits" to "one smallest top fits"."""
    tops = (sizes * quality[..., -1]).detach()
    low = torch.log(budget / tops.sum(-1))
    high = torch.minimum(torch.log(budget / tops.amin(-1)), low + _SPAN)
    steps = torch.linspace(0, 1, prices, dtype=low.dtype, device=low.device)
    return torch.exp(low[:, None] + (high - low)[:, None] * steps)


def _choice(score: Tensor, allowed: Tensor) -> Tensor:
    return torch.softmax(score.masked_fill(~allowed, -torch.inf), dim=-1)


def _stopping_price(grid: Tensor, excess: Tensor) -> Tensor:
    """Return each party's price: where its excess, of share of budget, passes zero."""
    over = (excess > 0).to(torch.int8)
    # argmax finds the first point over the budget; none over: the last interval
    first = torch.where(over.any(-1), over.argmax(-1), excess.shape[-1] - 1).clamp_min(1)
    before = torch.gather(excess, -1, (first - 1)[..., None])[..., 0]
    after = torch.gather(excess, -1, first[..., None])[..., 0]
    rise = (after - before).clamp_min(1e-12)
    part = (-before / rise).clamp(0, 1)
    logs = torch.log(grid)[:, None, :].expand_as(excess)
    low = torch.gather(logs, -1, (first - 1)[..., None])[..., 0]
    high = torch.gather(logs, -1, first[..., None])[..., 0]
    return torch.exp(low + part * (high - low))
