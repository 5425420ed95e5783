"""What is measured of a regret net, since nothing but its budget is promised."""

from dataclasses import dataclass

import numpy as np
import torch

from equigrad.market.aggregation import optimum
from equigrad.market.regret.bidders import Bidders
from equigrad.market.regret.mechanism import RegretMechanism
from equigrad.market.regret.search import SearchPlan, strong_regret

__all__ = ["Measured", "measure"]


@dataclass(frozen=True)
class Measured:
    """Statistics of one mechanism over rounds, as in the benchmark's protocol.

    Attributes
    ----------
    mean_error
        Mean ``ERR*/L^2`` over valid rounds (somebody sells); NaN if there is none.
    median_error
        Median with invalid rounds as infinite.
    invalid
        Share of rounds in which nobody sells.
    spent
        Mean of payments over budget.
    shortfall
        What parties are paid below their expected true cost, over all true costs.
    underpaid
        Share of parties paid below their expected true cost.
    regret
        What parties could gain, as far as the strong search finds it, over all true costs; NaN
        where it was not searched. A lower bound.
    """

    mean_error: float
    median_error: float
    invalid: float
    spent: float
    shortfall: float
    underpaid: float
    regret: float


def measure(
    mechanism: RegretMechanism,
    bidders: Bidders,
    generator: torch.Generator,
    *,
    dim: int = 1,
    search: SearchPlan | None = None,
) -> tuple[Measured, np.ndarray]:
    """Return statistics of truthful rounds under Laplace noise, and the rounds' errors.

    Parameters
    ----------
    mechanism, bidders
        The auction and its rounds.
    generator
        Draws the levels of randomised mechanisms and the starts of the search.
    dim
        Dimension of the model.
    search
        How regret is searched; None: it is not.
    """
    truth = bidders.truth(mechanism.levels)
    with torch.no_grad():
        outcome = mechanism.outcome(truth, bidders.budget)
        cost = outcome.costs(bidders, truth)
        short = (cost - outcome.payments).clamp_min(0)
        eps = _sold_eps(outcome.chance, truth.eps, generator)
    precision = eps.double().numpy() ** 2 / (8 * dim)
    found = optimum(bidders.sizes.double().numpy(), precision)
    errors = np.where(found.valid, found.error, np.inf)
    total = float(cost.sum())
    regret = float("nan")
    if search is not None and total > 0:
        regret = float(strong_regret(mechanism, bidders, search, generator).sum()) / total
    measured = Measured(
        mean_error=float(errors[found.valid].mean()) if found.valid.any() else float("nan"),
        median_error=float(np.median(errors)),
        invalid=float(1 - found.valid.mean()),
        spent=float((outcome.payments.sum(1) / bidders.budget).mean()),
        shortfall=float(short.sum()) / total if total > 0 else float("nan"),
        underpaid=float((short > 1e-6 * cost).double().mean()),
        regret=regret,
    )
    return measured, errors


def _sold_eps(chance: torch.Tensor, eps: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the epsilon of the level drawn for each party, 0: none, ``(rounds, N)``."""
    draws = torch.rand(chance.shape[:-1], generator=generator)
    level = (torch.cumsum(chance, -1) <= draws[..., None]).sum(-1)
    padded = torch.nn.functional.pad(eps, (0, 1))
    return padded.gather(-1, level[..., None])[..., 0]
