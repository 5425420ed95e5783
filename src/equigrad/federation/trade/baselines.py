"""What the same rounds would have given without privacy, and by buying from everybody.

Rehearsals from the dealt records, beside the run; nobody is asked, paid or charged. They are
possible because all parties are in one process, and say so in the record. Neighbours: ``gradient``
is what parties sell, ``aggregating`` weighs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.federation.gathering import finite
from equigrad.federation.streams import numpy_stream
from equigrad.federation.trade.aggregating import aggregate
from equigrad.federation.trade.setup import MarketSetup
from equigrad.federation.trade.state import MarketState
from equigrad.market import Ladder, canonical_bid

__all__ = ["rehearse"]

Float64 = npt.NDArray[np.float64]


def rehearse(setup: MarketSetup, told: Callable[[int, int], None]) -> dict[str, Any]:
    """Return the record's line ``baselines``: scores after every round that the run measures.

    Parameters
    ----------
    setup
        The run.
    told
        Called with the rounds that are done, and how many there are.

    Returns
    -------
    dict
        By baseline; ``buy-all`` also has what it would cost at the curves' prices, in ledger units,
        which no budget and no account limits.
    """
    config = setup.config
    wanted = list(dict.fromkeys(config.evaluation.baselines))
    gradients = {party: setup.gradient(party) for party in setup.parties} if wanted else {}
    every, rounds = config.evaluation.every, config.rounds
    bought = _BuyAll(setup)
    found: dict[str, Any] = {}
    for number, name in enumerate(wanted):
        state = MarketState.begin(setup.initial, {})
        measured: list[Mapping[str, float | None]] = []
        at = []
        for round_ in range(rounds):
            invited = setup.invited(round_, {})
            exact = {party: gradients[party](state.model, round_) for party in invited}
            direction = None
            if invited and name == "non-private":
                direction = _mean(setup, exact)
            elif invited:
                direction = bought.direction(round_, exact)
            state.step(config.step, round_, rounds, direction)
            if (round_ + 1) % every == 0 or round_ + 1 == rounds:
                measured.append(finite(setup.measure(state.delivered())) or {})
                at.append(round_)
            told(number * rounds + round_ + 1, len(wanted) * rounds)
        found[name] = {
            "rounds": at,
            "score": [facts["score"] for facts in measured],
            "loss": [facts["loss"] for facts in measured],
        }
    if "buy-all" in found:
        found["buy-all"]["cost"] = bought.cost
        found["buy-all"]["epsilons"] = bought.epsilons
    return found


def _mean(setup: MarketSetup, exact: Mapping[str, Float64]) -> Float64:
    """Return the gradient of all invited records: neither clipped nor noised."""
    sizes = {party: setup.offered[party].size for party in exact}
    total = sum(sizes.values())
    mean = np.zeros(setup.local.dim)
    for party, gradient in exact.items():
        mean += sizes[party] / total * gradient
    return mean


class _BuyAll:
    """Everybody sells its cap."""

    def __init__(self, setup: MarketSetup) -> None:
        self._setup = setup
        trade = setup.config.market
        ladder = Ladder(trade.eps_max, trade.steps)
        bids = {
            party: canonical_bid(
                party, offer.curve, offer.eps_cap, offer.size, ladder, scale=trade.scale
            )
            for party, offer in setup.offered.items()
        }
        self._prices = {p: bid.size * bid.table[bid.cap_level] for p, bid in bids.items()}
        self.epsilons = {p: float(ladder.eps(bid.cap_level)) for p, bid in bids.items()}
        self.cost = 0

    def direction(self, round_: int, exact: Mapping[str, Float64]) -> Float64 | None:
        """Return the aggregate of everybody's protected gradient, and add up what it costs."""
        setup = self._setup
        estimates = {}
        for party, gradient in exact.items():
            epsilon = self.epsilons[party]
            stream = numpy_stream(setup.config.seed, "buy-all", round_=round_, party=party)
            upload = None
            if epsilon > 0 and np.isfinite(gradient).all():
                upload = setup.local.release(gradient, epsilon, stream)
            if upload is not None:
                estimates[party] = setup.local.estimate(upload)
                self.cost += self._prices[party]
        found = aggregate(
            setup.config.market.aggregator,
            setup.noise,
            list(exact),
            [setup.offered[party].size for party in exact],
            [self.epsilons[party] for party in exact],
            estimates,
            counts=bool(estimates),
        )
        return found.direction
