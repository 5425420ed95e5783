"""Who sells how much in every round of a training, and how the uploads are weighed.

Auctions clear with the library's own code on canonical bids. Two more rules are limits, not
mechanisms: ``equal-eps`` knows every cost and buys the largest common level (cut at each cap) that
the budget pays; ``all-caps`` buys every cap, whatever it costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad.market import Auction, BidBook, Curve, Ladder, Terms
from equigrad.market.aggregation import AGGREGATORS, optimum
from equigrad.market.auctions import AllIn, Clock
from equigrad.market.workload import KINDS, Profiles

__all__ = ["AUCTIONS", "Awards", "Setting", "awarded", "clear_rounds", "weights_of"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

AUCTIONS: dict[str, Auction] = {"clock": Clock(), "all-in": AllIn()}


@dataclass(frozen=True)
class Setting:
    """One way to buy: the rule and the budget over what all caps of the round cost."""

    rule: str
    rate: float


@dataclass(frozen=True, eq=False)
class Awards:
    """Epsilons sold and money spent over what was there, by round.

    Attributes
    ----------
    eps
        ``(rounds, invited)``; 0 sells nothing.
    spent
        ``(rounds,)``, payments (of ``equal-eps`` and ``all-caps``: costs) over the budget.
    """

    eps: Float64
    spent: Float64

    @property
    def invalid(self) -> float:
        """Share of the rounds in which nobody sells."""
        return float((self.eps == 0).all(axis=1).mean())


def clear_rounds(
    profiles: Profiles, rounds: Int64, settings: Sequence[Setting], ladder: Ladder
) -> list[Awards]:
    """Return the awards of each setting.

    Parameters
    ----------
    profiles
        One population.
    rounds
        ``(rounds, invited)``, parties of each round, ascending in each row.
    settings
        What is to be cleared.
    ladder
        The epsilons for sale.
    """
    curves = [
        Curve(KINDS[kind], float(factor))
        for kind, factor in zip(profiles.kinds[0], profiles.factors[0], strict=True)
    ]
    names = [f"party-{i:06d}" for i in range(profiles.parties)]
    everybody = BidBook.from_curves(names, curves, profiles.caps[0], profiles.sizes[0], ladder)
    books = [everybody.take(rows) for rows in rounds]
    found = []
    for setting in settings:
        outcomes = [awarded(book, setting, ladder) for book in books]
        eps, spent = zip(*outcomes, strict=True)
        found.append(Awards(np.array(eps), np.array(spent)))
    return found


def awarded(book: BidBook, setting: Setting, ladder: Ladder) -> tuple[Float64, float]:
    """Return the epsilons of one round's bidders, and spending over the budget."""
    at = np.arange(book.n)
    budget = int(setting.rate * float((book.d * book.u[at, book.kcap]).sum()))
    if setting.rule in AUCTIONS:
        cleared = AUCTIONS[setting.rule].clear(book, Terms(budget, ladder))
        return cleared.eps, cleared.spent / budget
    levels = book.kcap
    if setting.rule == "equal-eps":
        common = np.minimum(np.arange(book.steps + 1)[:, None], book.kcap)
        costs = (book.d * book.u[at, common]).sum(axis=1)
        levels = common[np.flatnonzero(costs <= budget)[-1]]
    return ladder.eps(levels), float((book.d * book.u[at, levels]).sum()) / budget


def weights_of(aggregator: str, sizes: Int64, precision: Float64) -> Float64:
    """Return the weights of each round's uploads, all 0 where nobody sells.

    Parameters
    ----------
    aggregator
        A name in the library's registry.
    sizes, precision
        ``(rounds, invited)``.
    """
    if aggregator == "opt-aggr":  # all rounds at once
        found, some = np.zeros(sizes.shape), (precision > 0).any(axis=1)
        if some.any():
            found[some] = optimum(sizes[some], precision[some]).weights
        return found
    rule = AGGREGATORS[aggregator]()
    each = (rule.weights(d, c) for d, c in zip(sizes, precision, strict=True))
    return np.array([np.zeros(sizes.shape[1]) if w is None else w for w in each])
