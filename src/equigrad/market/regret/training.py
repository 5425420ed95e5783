"""Training of regret nets: an augmented Lagrangian over regret, shortfall and indeterminacy.

Source: Zheng et al., FL-Market (multipliers, penalties, determinism); the search for misreports,
the exact error bound and its gradient are ours (specification 3.7).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from equigrad._validate import in_range, positive, positive_int
from equigrad.market.ladder import harmonic_levels
from equigrad.market.learned.error import optimal_error
from equigrad.market.learned.training import Sampler, synthetic_sampler
from equigrad.market.regret.bidders import Bidders
from equigrad.market.regret.mechanism import Outcome, RegretMechanism
from equigrad.market.regret.search import SearchPlan, best_misreport, report_at, utilities_of

__all__ = ["RegretPlan", "Violations", "train_regret_net"]

_LEAST_COST = 0.01  # of what the cap costs: a declined party's cost of 0 scales nothing


@dataclass(frozen=True)
class RegretPlan:
    """How a regret net is trained. The reference: batch 1024, 100 steps an epoch, 100 epochs.

    Attributes
    ----------
    steps
        Gradient steps.
    batch
        Rounds in a step.
    rates
        Least and largest budget rate, drawn uniformly for each round.
    learning_rate
        Adam's.
    epoch
        Steps after which the penalties' weight grows by ``growth``.
    growth
        What it grows by, for regret and shortfall.
    multiplier_every
        Steps between two updates of the multipliers.
    memory
        Rounds that are drawn once and revisited, with their last misreport as one more start.
    search
        How misreports are looked for.
    """

    steps: int = 10_000
    batch: int = 64
    rates: tuple[float, float] = (0.1, 2.0)
    learning_rate: float = 1e-3
    epoch: int = 100
    growth: float = 1.0
    multiplier_every: int = 10
    memory: int = 4096
    search: SearchPlan = field(
        default_factory=lambda: SearchPlan(steps=25, starts=3, random=0, shifts=False)
    )

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "epoch", "multiplier_every", "memory"):
            positive_int(name, getattr(self, name))
        positive("learning_rate", self.learning_rate)
        in_range("rates", self.rates[0], 0.0, self.rates[1], left_open=True)
        in_range("growth", self.growth, 0.0, 1e6)


@dataclass(frozen=True, eq=False)
class Violations:
    """What training penalises, ``(rounds, N)`` each: regret and shortfall over cost, and more.

    Attributes
    ----------
    regret, shortfall
        Over the expected true cost.
    indeterminacy
        How far the first softmax is from choosing one level (``dm-regret`` only, else zeros).
    """

    regret: Tensor
    shortfall: Tensor
    indeterminacy: Tensor

    def detached(self) -> "Violations":
        """Return the numbers alone, without what led to them."""
        return Violations(
            self.regret.detach(), self.shortfall.detach(), self.indeterminacy.detach()
        )


class _Penalty:
    """One multiplier per party and a growing quadratic weight."""

    def __init__(self, parties: int, growth: float) -> None:
        self.multiplier = torch.ones(parties)
        self.rho, self.growth = 1.0, growth

    def __call__(self, violation: Tensor) -> Tensor:
        return (self.multiplier * violation).mean() + self.rho / 2 * violation.square().mean()

    def update(self, violation: Tensor) -> None:
        self.multiplier += self.rho * violation.detach().mean(0)


def train_regret_net(
    mechanism: RegretMechanism,
    plan: RegretPlan,
    *,
    dim: int = 1,
    generator: np.random.Generator,
    starts: torch.Generator,
    sampler: Sampler = synthetic_sampler,
    progress: Callable[[int, Violations, float], bool | None] | None = None,
) -> None:
    """Train the mechanism's network in place, for the Laplace mechanism at ``dim``.

    Memory: about ``batch * N`` rounds of activations.

    Parameters
    ----------
    mechanism
        What is trained.
    plan
        Steps, penalties, search.
    dim
        Dimension of the model, for ``dm-regret``'s error bound.
    generator, starts
        Sources of rounds and of misreports' starts.
    sampler
        Draws profiles of a given number of parties. Never those of parties that will bid again.
    progress
        Called after every step with its number, violations and loss; True ends the training.
    """
    pool = _Pool(mechanism, plan, generator, sampler)
    names = ("regret", "shortfall", "indeterminacy")
    growth = (plan.growth, plan.growth, 0.0)
    penalties = {n: _Penalty(mechanism.parties, g) for n, g in zip(names, growth, strict=True)}
    optimizer = torch.optim.Adam(mechanism.net.parameters(), lr=plan.learning_rate)
    for step in range(plan.steps):
        index = torch.as_tensor(generator.integers(0, len(pool.bidders), plan.batch))
        bidders = pool.bidders.rows(index)
        _, place = best_misreport(mechanism, bidders, plan.search, starts, pool.last[index])
        pool.last[index] = place
        found, outcome = _violations(mechanism, bidders, place)
        loss = _objective(mechanism, bidders, outcome, dim)
        for name in names if mechanism.deterministic else names[:2]:
            loss = loss + penalties[name](getattr(found, name))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(mechanism.net.parameters(), 10.0)
        optimizer.step()
        if step % plan.multiplier_every == plan.multiplier_every - 1:
            for name in names:
                penalties[name].update(getattr(found, name))
        if step % plan.epoch == plan.epoch - 1:
            for penalty in penalties.values():
                penalty.rho += penalty.growth
        if progress is not None and progress(step, found.detached(), float(loss.detach())):
            break


class _Pool:
    """Rounds that are drawn once, each with the last misreport found for it."""

    def __init__(
        self,
        mechanism: RegretMechanism,
        plan: RegretPlan,
        generator: np.random.Generator,
        sampler: Sampler,
    ) -> None:
        rounds: list[Bidders] = []
        while sum(map(len, rounds)) < plan.memory:
            profiles = sampler(generator, mechanism.parties)
            rounds.append(Bidders.of(profiles, generator.uniform(*plan.rates, len(profiles))))
        columns = ("kinds", "factors", "caps", "sizes", "budget")
        joined = (torch.cat([getattr(r, name) for r in rounds]) for name in columns)
        self.bidders = Bidders(*joined).rows(slice(plan.memory))
        shape = (*self.bidders.caps.shape, mechanism.levels + 2)
        self.last = torch.zeros(shape)


def _violations(
    mechanism: RegretMechanism, bidders: Bidders, place: Tensor
) -> tuple[Violations, Outcome]:
    """Return the violations at the truth, differentiable in the weights, and its outcome."""
    truth = bidders.truth(mechanism.levels)
    outcome = mechanism.outcome(truth, bidders.budget, smooth=True)
    honest = outcome.utilities(bidders, truth)
    lying = utilities_of(mechanism, bidders, truth, report_at(place, bidders), smooth=True)
    least = _LEAST_COST * bidders.sizes * bidders.cost(bidders.caps)
    cost = torch.maximum(outcome.costs(bidders, truth), least).detach()
    found = Violations(
        regret=(lying - honest).clamp_min(0) / cost,
        shortfall=(-honest).clamp_min(0) / cost,
        indeterminacy=_indeterminacy(outcome.first),
    )
    return found, outcome


def _indeterminacy(first: Tensor) -> Tensor:
    """Return 0 where one entry of ``first`` is 1, more where it is spread."""
    slots = first.shape[-1]
    most = (1 - 1 / slots) ** 2 + (slots - 1) / slots**2
    return (most - (first - 1 / slots).square().sum(-1)).clamp_min(0)


def _objective(mechanism: RegretMechanism, bidders: Bidders, outcome: Outcome, dim: int) -> Tensor:
    """Return what is minimised besides the penalties."""
    eps = bidders.truth(mechanism.levels).eps
    if not mechanism.deterministic:
        size = bidders.sizes / bidders.sizes.mean(1, keepdim=True)
        return -((outcome.chance * eps).sum(-1) * size).mean()
    if mechanism.mode == "reference":
        unit = harmonic_levels(1.0, mechanism.levels)
        eps = bidders.caps[..., None] * torch.as_tensor(unit, dtype=torch.float32)
    precision = (outcome.chance * eps**2).sum(-1) / (8 * dim)
    error = optimal_error(precision, bidders.sizes)
    valid = torch.isfinite(error)
    return torch.where(valid, error, 0.0).sum() / valid.sum().clamp_min(1)
