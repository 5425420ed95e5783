"""Strong search for misreports: how much a party could gain, at least.

The reference looks for better reports by additive steps of 0.1, which cannot move sizes of
thousands and see no gradient through a hard choice; measured, it understates regret 9 to 55 times.
Here reports live in log space, are followed by Adam through the smoothed mechanism from several
starts, and are judged on the hard one (derived here). What is found is a lower bound of regret.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from equigrad._validate import positive, positive_int
from equigrad.market.regret.bidders import Bidders, Reports
from equigrad.market.regret.mechanism import RegretMechanism

__all__ = [
    "SearchPlan",
    "best_misreport",
    "deviations",
    "report_at",
    "strong_regret",
    "utilities_of",
]

_TINY = 1e-6
_FULL = 8.0  # logit of a report at the true cap and size, within 0.04 %


@dataclass(frozen=True)
class SearchPlan:
    """How hard a search is; the defaults are those of tests, training uses fewer.

    Attributes
    ----------
    steps
        Gradient steps from each start.
    starts
        Random starts besides the truth.
    random
        Random multiplicative reports tried afterwards.
    shifts
        Whether curves moved by one level up and down are tried, too.
    rate
        Step of Adam, in log space.
    """

    steps: int = 100
    starts: int = 9
    random: int = 150
    shifts: bool = True
    rate: float = 0.1

    def __post_init__(self) -> None:
        positive_int("steps", self.steps, least=0)
        positive_int("starts", self.starts, least=0)
        positive_int("random", self.random, least=0)
        positive("rate", self.rate)


def deviations(reports: Reports, changed: Reports) -> Reports:
    """Return ``rounds * N`` rounds, in each of which one party alone makes its changed report.

    Round ``r * N + i`` is round r with party i's report from ``changed``.
    """
    rounds, n, _ = reports.values.shape
    own = torch.eye(n, dtype=torch.bool, device=reports.caps.device)[None]

    def mix(old: Tensor, new: Tensor) -> Tensor:
        picked = own.reshape(1, n, n, *(1,) * (old.dim() - 2))
        return torch.where(picked, new[:, None], old[:, None]).reshape(rounds * n, *old.shape[1:])

    return Reports(
        mix(reports.values, changed.values),
        mix(reports.caps, changed.caps),
        mix(reports.sizes, changed.sizes),
    )


def utilities_of(
    mechanism: RegretMechanism,
    bidders: Bidders,
    reports: Reports,
    changed: Reports,
    *,
    smooth: bool,
) -> Tensor:
    """Return each party's true utility if it alone makes its changed report, ``(rounds, N)``."""
    rounds, n = bidders.caps.shape
    every = deviations(reports, changed)
    outcome = mechanism.outcome(every, bidders.budget.repeat_interleave(n), smooth=smooth)
    own = torch.arange(n, device=bidders.caps.device)
    chance = outcome.chance.reshape(rounds, n, n, -1)[:, own, own]
    paid = outcome.payments.reshape(rounds, n, n)[:, own, own]
    # The true function at the epsilons of the misreported ladder, times the size it delivers.
    return paid - (chance * bidders.cost(changed.eps)).sum(-1) * changed.sizes


def best_misreport(
    mechanism: RegretMechanism,
    bidders: Bidders,
    plan: SearchPlan,
    generator: torch.Generator,
    last: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the best utility found by gradient search, ``(rounds, N)``, and where it was found.

    Parameters
    ----------
    mechanism, bidders
        The auction and who takes part.
    plan
        Steps and starts.
    generator
        Source of random starts.
    last
        ``(rounds, N, M + 2)``, places returned earlier for the same rounds: one more start.

    Returns
    -------
    utility
        On the hard mechanism; at least that of the starts tried.
    place
        ``(rounds, N, M + 2)``, in log space; :func:`strong_regret` and training pass it back.
    """
    truth = bidders.truth(mechanism.levels)
    best = torch.full_like(bidders.caps, -torch.inf)
    place = _log_space(truth)
    for start in _starts(truth, plan, generator, last):
        point = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([point], lr=plan.rate)
        for _ in range(plan.steps):
            gain = utilities_of(mechanism, bidders, truth, report_at(point, bidders), smooth=True)
            scale = (bidders.budget[:, None] / bidders.parties).clamp_min(_TINY)
            (point.grad,) = torch.autograd.grad((-gain / scale).sum(), [point])
            optimizer.step()
        with torch.no_grad():
            found = point.detach()
            gain = utilities_of(mechanism, bidders, truth, report_at(found, bidders), smooth=False)
            better = gain > best
            best = torch.where(better, gain, best)
            place = torch.where(better[..., None], found, place)
    return best, place


@torch.no_grad()
def _random_and_shifted(
    mechanism: RegretMechanism, bidders: Bidders, plan: SearchPlan, generator: torch.Generator
) -> Tensor:
    """Return the best utility among random multiplicative reports and shifted curves."""
    truth = bidders.truth(mechanism.levels)
    best = torch.full_like(bidders.caps, -torch.inf)
    for changed in _tries(truth, plan, generator):
        gain = utilities_of(mechanism, bidders, truth, changed, smooth=False)
        best = torch.maximum(best, gain)
    return best


def strong_regret(
    mechanism: RegretMechanism, bidders: Bidders, plan: SearchPlan, generator: torch.Generator
) -> Tensor:
    """Return each party's regret, as far as the search finds it, ``(rounds, N)``; >= 0.

    Memory: about ``rounds * N`` rounds of activations at a time.
    """
    with torch.no_grad():
        truth = bidders.truth(mechanism.levels)
        honest = mechanism.outcome(truth, bidders.budget).utilities(bidders, truth)
    best, _ = best_misreport(mechanism, bidders, plan, generator)
    best = torch.maximum(best, _random_and_shifted(mechanism, bidders, plan, generator))
    return (best - honest).clamp_min(0)


def _log_space(reports: Reports) -> Tensor:
    """Return reports as increments in log space and logits of cap and size."""
    before = torch.nn.functional.pad(reports.values[..., :-1], (1, 0))
    rise = torch.log((reports.values - before).clamp_min(_TINY))
    full = torch.full_like(reports.caps, _FULL)[..., None]
    return torch.cat([rise, full, full], dim=-1)


def report_at(point: Tensor, bidders: Bidders) -> Reports:
    """Return the reports at a point: nondecreasing curves, caps and sizes up to the true ones."""
    values = torch.cumsum(torch.exp(point[..., :-2]), dim=-1)
    caps = bidders.caps * torch.sigmoid(point[..., -2]).clamp_min(0.01)
    sizes = 1 + (bidders.sizes - 1) * torch.sigmoid(point[..., -1])
    return Reports(values, caps, sizes)


def _starts(
    truth: Reports, plan: SearchPlan, generator: torch.Generator, last: Tensor | None
) -> Iterator[Tensor]:
    honest = _log_space(truth)
    yield honest
    if last is not None:
        yield last
    for _ in range(plan.starts):
        noise = torch.randn(honest.shape, generator=generator)
        lift = torch.randn((*honest.shape[:2], 1), generator=generator)
        start = honest + 0.5 * noise
        start[..., :-2] += lift
        start[..., -2:] = 2 * noise[..., -2:] + 1
        yield start


def _tries(truth: Reports, plan: SearchPlan, generator: torch.Generator) -> Iterator[Reports]:
    shape = truth.caps.shape
    for _ in range(plan.random):
        factor = torch.exp(torch.randn((*shape, 1), generator=generator))
        bend = torch.exp(0.3 * torch.randn(truth.values.shape, generator=generator))
        values = torch.cummax(truth.values * factor * bend, dim=-1).values
        keep = torch.rand((2, *shape), generator=generator)
        caps = torch.where(keep[0] < 0.5, truth.caps, truth.caps * keep[0])
        sizes = torch.where(keep[1] < 0.5, truth.sizes, (truth.sizes * keep[1]).clamp_min(1.0))
        yield Reports(values, caps, sizes)
    if plan.shifts and truth.levels > 1:
        up = torch.cat([truth.values[..., 1:], truth.values[..., -1:]], dim=-1)
        down = torch.nn.functional.pad(truth.values[..., :-1], (1, 0))
        yield Reports(up, truth.caps, truth.sizes)
        yield Reports(down, truth.caps, truth.sizes)
