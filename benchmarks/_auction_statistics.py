"""What ``auctions.py`` measures of a mechanism: errors, money, lies and time."""

import time
import warnings
from dataclasses import dataclass

import numpy as np
import torch

from _auction_rivals import Rival
from equigrad.market import BidBook, Ladder, Terms
from equigrad.market.aggregation import optimum
from equigrad.market.learned.selection import books
from equigrad.market.misreports import best_gain
from equigrad.market.regret import Bidders, SearchPlan, strong_regret
from equigrad.market.units import SCALE
from equigrad.market.workload import Profiles


@dataclass(frozen=True)
class Measured:
    """One mechanism at one budget rate.

    Attributes
    ----------
    errors
        ``(rounds,)``, ``ERR*/L^2`` of each round; inf where nobody sells.
    spent
        Mean of payments over budget.
    shortfall
        What sellers are paid below their true cost, over all true costs.
    seconds
        Median processor time of one clearing.
    """

    errors: np.ndarray
    spent: float
    shortfall: float
    seconds: float

    @property
    def row(self) -> dict[str, float]:
        """The statistics of the protocol."""
        valid = np.isfinite(self.errors)
        return {
            "mean ERR": float(self.errors[valid].mean()) if valid.any() else float("nan"),
            "median ERR": float(np.median(self.errors)),
            "invalid": float(1 - valid.mean()),
            "spent/B": self.spent,
            "shortfall/cost": self.shortfall,
            "ms": 1000 * self.seconds,
        }


class Work:
    """Rounds of one size, cleared again and again.

    Parameters
    ----------
    profiles
        The bidders.
    ladder
        The epsilons for sale.
    dim
        Dimension of the model.
    """

    def __init__(self, profiles: Profiles, ladder: Ladder, dim: int) -> None:
        self.profiles, self.ladder, self.dim = profiles, ladder, dim
        self.books = books(profiles, ladder)
        warnings.filterwarnings("ignore", "The first price is", UserWarning)  # coarse is fine here

    def budgets(self, rate: float) -> list[int]:
        """Return the budgets in ledger units."""
        return [int(budget * SCALE) for budget in self.profiles.budgets(rate)]

    def measure(self, rival: Rival, rate: float) -> Measured:
        """Clear all rounds with true bids."""
        errors, spent, seconds = [], [], []
        short = cost = 0
        for place, (book, budget) in enumerate(zip(self.books, self.budgets(rate), strict=True)):
            terms = rival.terms(book, budget, self.ladder)
            start = time.process_time()
            found = rival.clear(book, terms, place)
            seconds.append(time.process_time() - start)
            spent.append(found.spent / budget)
            short += int(np.maximum(found.costs - found.payments, 0).sum())
            cost += int(found.costs.sum())
            precision = found.eps**2 / (8 * self.dim)
            errors.append(optimum(book.dcap, precision).error if found.valid else np.inf)
        return Measured(
            np.asarray(errors, dtype=np.float64),
            float(np.mean(spent)),
            short / max(cost, 1),
            float(np.median(seconds)),
        )

    def regret(self, rival: Rival, rate: float, reports: int, seed: int) -> tuple[float, int, int]:
        """Return the best gains found over true cost, who gains, and out of how many parties.

        A network's lies are searched by gradients, then at random; others' at random alone.
        """
        if rival.net is not None:
            return self._searched(rival, rate, reports, seed)
        rng = np.random.default_rng(seed)
        gain = cost = won = parties = 0
        for book, budget in zip(self.books, self.budgets(rate), strict=True):
            terms = rival.terms(book, budget, self.ladder)
            for row in range(book.n):
                found = _best(rival, book, terms, row, rng, reports)
                gain, cost = gain + found.gain, cost + found.cost
                won, parties = won + (found.gain > 0), parties + 1
        return gain / max(cost, 1), won, parties

    def _searched(
        self, rival: Rival, rate: float, reports: int, seed: int
    ) -> tuple[float, int, int]:
        bidders = Bidders.of(self.profiles, rate)
        plan = SearchPlan(steps=100 if reports >= 100 else 5, random=reports)
        gain = strong_regret(rival.net, bidders, plan, torch.Generator().manual_seed(seed))
        truth = bidders.truth(rival.net.levels)
        with torch.no_grad():
            cost = rival.net.outcome(truth, bidders.budget).costs(bidders, truth)
        own = bidders.sizes * bidders.cost(bidders.caps)
        won = int((gain > 1e-4 * own).sum())  # single precision
        return float(gain.sum() / cost.sum().clamp_min(1e-9)), won, gain.numel()


def _best(
    rival: Rival, book: BidBook, terms: Terms, row: int, rng: np.random.Generator, reports: int
):
    return best_gain(rival.auction, book, terms, row, rng, count=reports, kinds=rival.lies)


def beats(one: Measured, other: Measured) -> tuple[float, float, bool]:
    """Return both means over the rounds valid under both, and whether ``one`` is not above.

    The protocol's "A beats B" also asks that A has no more invalid rounds.
    """
    both = np.isfinite(one.errors) & np.isfinite(other.errors)
    if not both.any():
        return float("nan"), float("nan"), False
    a, b = float(one.errors[both].mean()), float(other.errors[both].mean())
    fewer = np.isinf(one.errors).sum() <= np.isinf(other.errors).sum()
    return a, b, bool(a <= b and fewer)
