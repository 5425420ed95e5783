"""Bidders as tensors: what is true of them, and what they report. ``(rounds, N)`` throughout.

Neighbours: ``inputs`` turns reports into features, ``mechanism`` into awards, ``search`` looks for
better reports.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equigrad.market.workload import Profiles

__all__ = ["Bidders", "Reports"]


@dataclass(frozen=True, eq=False)
class Reports:
    """What the parties say: prices per record at ``k cap / M``, caps and sizes.

    Attributes
    ----------
    values
        ``(rounds, N, M)``, currency per record at ``k cap / M``, k = 1..M; >= 0, nondecreasing.
    caps
        ``(rounds, N)``, the largest epsilon for sale, > 0.
    sizes
        ``(rounds, N)``, records, >= 1.
    """

    values: Tensor
    caps: Tensor
    sizes: Tensor

    @property
    def levels(self) -> int:
        """M."""
        return self.values.shape[-1]

    @property
    def eps(self) -> Tensor:
        """The levels' epsilons, ``(rounds, N, M)``."""
        parts = torch.arange(1, self.levels + 1, dtype=self.caps.dtype, device=self.caps.device)
        return self.caps[..., None] * parts / self.levels

    def rows(self, index: Tensor | slice) -> "Reports":
        """Return the reports of some rounds."""
        return Reports(self.values[index], self.caps[index], self.sizes[index])


@dataclass(frozen=True, eq=False)
class Bidders:
    """What is true of the parties, and what the buyer has.

    Attributes
    ----------
    kinds
        ``(rounds, N) int64``, places in :data:`equigrad.market.workload.KINDS`.
    factors, caps, sizes
        ``(rounds, N)``, as in :class:`equigrad.market.workload.Profiles`.
    budget
        ``(rounds,)``, currency units.
    """

    kinds: Tensor
    factors: Tensor
    caps: Tensor
    sizes: Tensor
    budget: Tensor

    @classmethod
    def of(cls, profiles: Profiles, rates: float | np.ndarray) -> "Bidders":
        """Return float32 bidders with budgets of ``rates`` times what all caps cost.

        Parameters
        ----------
        profiles
            The rounds.
        rates
            One rate, or ``(rounds,)``.
        """
        budget = np.broadcast_to(rates, (len(profiles),)) * profiles.total_costs().sum(axis=1)
        single = [
            torch.as_tensor(array, dtype=torch.float32)
            for array in (profiles.factors, profiles.caps, profiles.sizes, budget)
        ]
        return cls(torch.as_tensor(profiles.kinds), *single)

    @property
    def parties(self) -> int:
        """N."""
        return self.caps.shape[1]

    def __len__(self) -> int:
        return self.caps.shape[0]

    def rows(self, index: Tensor | slice) -> "Bidders":
        """Return some rounds."""
        return Bidders(
            self.kinds[index],
            self.factors[index],
            self.caps[index],
            self.sizes[index],
            self.budget[index],
        )

    def cost(self, eps: Tensor) -> Tensor:
        """Return the true cost per record at epsilons ``(rounds, N, ...)``, all > 0."""
        extra = (1,) * (eps.dim() - self.kinds.dim())
        kinds = self.kinds.reshape(*self.kinds.shape, *extra)
        shape = torch.where(kinds == 0, eps**2, torch.expm1(eps))
        shape = torch.where(kinds == 1, 2 * torch.sqrt(eps), shape)
        shape = torch.where(kinds == 2, 2 * eps, shape)
        return self.factors.reshape(*self.factors.shape, *extra) * shape

    def truth(self, levels: int) -> Reports:
        """Return the truthful reports at M levels."""
        blank = torch.empty(*self.caps.shape, levels, dtype=self.caps.dtype)
        eps = Reports(blank, self.caps, self.sizes).eps
        return Reports(self.cost(eps), self.caps, self.sizes)
