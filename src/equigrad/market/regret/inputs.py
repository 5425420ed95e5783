"""What a regret net sees: reports, centred and scaled within each round.

The features of the reference (specification 3.7): every group of numbers has its mean taken off
and is divided by its range; what is then NaN or infinite becomes 0.
"""

from typing import Literal

import torch
from torch import Tensor

from equigrad.market.regret.bidders import Reports

__all__ = ["Mode", "features"]

Mode = Literal["right", "reference"]
"""``"right"``: as the mechanism is meant. ``"reference"``: as the reference's code does it."""


def features(reports: Reports, budget: Tensor, mode: Mode = "right") -> tuple[Tensor, Tensor]:
    """Return features of the parties, ``(rounds, N, M + 2)``, and of the budget, ``(rounds, 1)``.

    Party by party: M values, cap, size. The budget is ``B / sum_j d_j``, scaled with the values.

    Parameters
    ----------
    reports
        What the parties say.
    budget
        ``(rounds,)``, currency units.
    mode
        The reference leaves the last party out of mean and range of caps and sizes.
    """
    flat = reports.values.flatten(1)
    money = (budget / reports.sizes.sum(1))[:, None]
    joined = torch.cat([flat, money], dim=1)
    scaled = _scaled(joined, flat)
    values = scaled[:, :-1].reshape(reports.values.shape)
    caps, sizes = (_group(array, mode) for array in (reports.caps, reports.sizes))
    return torch.cat([values, caps[..., None], sizes[..., None]], dim=-1), scaled[:, -1:]


def _group(array: Tensor, mode: Mode) -> Tensor:
    seen = array[:, :-1] if mode == "reference" and array.shape[1] > 1 else array
    return _scaled(array, seen)


def _scaled(array: Tensor, seen: Tensor) -> Tensor:
    """Return ``(array - mean) / range`` with mean and range of ``seen``; 0 where the range is 0."""
    spread = seen.amax(1, keepdim=True) - seen.amin(1, keepdim=True)
    centred = array - seen.mean(1, keepdim=True)
    return torch.where(spread > 0, centred / torch.where(spread > 0, spread, 1.0), 0.0)
