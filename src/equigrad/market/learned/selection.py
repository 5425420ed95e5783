"""Choosing among checkpoints, and where to use the one chosen, by exact clearing of other rounds.

Training smooths the auction; selection does not. A cell of rounds (so many parties, so much money
per record) keeps the plain clock unless the menu lowers the mean error there by more than its
standard error, in every population of validation rounds that has some in the cell.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad.errors import ConfigError
from equigrad.market.aggregation import optimum
from equigrad.market.auctions.clock import Clock
from equigrad.market.auctions.learned_clock import LearnedClock
from equigrad.market.bids import bid_tables
from equigrad.market.book import BidBook
from equigrad.market.ladder import Ladder
from equigrad.market.learned.bands import Bands
from equigrad.market.learned.schedule import Schedule
from equigrad.market.terms import Terms
from equigrad.market.units import SCALE
from equigrad.market.workload import Profiles

__all__ = ["MONEY_EDGES", "PARTY_EDGES", "Validation", "books", "cleared_errors", "select_schedule"]

Float64 = npt.NDArray[np.float64]

PARTY_EDGES = (5.0, 18.0, 55.0, 180.0, 550.0, 2000.0)
"""Cells by number of parties; rounds of 10, 30, 100, 300 and 1000 lie one in each."""

MONEY_EDGES = tuple(float(edge) for edge in np.round(np.geomspace(0.1, 12.8, 29), 4))
"""Cells by budget per record, in units of ``v_ref``: four to a doubling."""

_FEWEST = 4


@dataclass(frozen=True, eq=False)
class Validation:
    """Rounds that decide: profiles of several sizes, each at several budget rates.

    Attributes
    ----------
    profiles
        One entry for each number of parties.
    rates
        Budget rates, each used for each profile.
    others
        More populations, of other kinds: they choose no candidate, but where the menu is not
        better in one of them, too, the plain clock stays.
    """

    profiles: Sequence[Profiles]
    rates: Sequence[float]
    others: Sequence[Profiles] = ()


def books(profiles: Profiles, ladder: Ladder, scale: int = SCALE) -> list[BidBook]:
    """Return the canonical bids of each profile, parties named by their places."""
    tables = bid_tables(profiles.unit_costs(ladder.levels), scale)
    caps = ladder.top_level(profiles.caps)
    names = [f"{place:06d}" for place in range(profiles.parties)]
    columns = zip(tables, caps, profiles.sizes, strict=True)
    return [BidBook.of(names, u, kcap, d) for u, kcap, d in columns]


def cleared_errors(
    auction: Clock, rounds: Sequence[BidBook], budgets: Float64, ladder: Ladder, precision: Float64
) -> Float64:
    """Return ``ERR*/L^2`` of each round after exact clearing, ``(rounds,)``; inf if nobody sells.

    Parameters
    ----------
    auction
        A clock.
    rounds
        Bids.
    budgets
        ``(rounds,)``, currency units.
    ladder
        The levels for sale.
    precision
        ``(K+1,)``, ``c(eps_k)``.
    """
    errors = np.full(len(rounds), np.inf)
    for place, (book, budget) in enumerate(zip(rounds, budgets, strict=True)):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The first price is")
            found = auction.clear(book, Terms(int(budget * SCALE), ladder))
        if found.valid:
            errors[place] = optimum(book.dcap, precision[found.levels]).error
    return errors


def select_schedule(
    candidates: Sequence[Mapping[str, npt.ArrayLike]],
    validation: Validation,
    *,
    mechanism: str,
    dim: int,
    ladder: Ladder,
    precision: npt.ArrayLike,
    value_scale: float = 1.0,
    notes: Mapping[str, str] | None = None,
) -> Schedule:
    """Return the candidate of least mean log error, to be used where it beats the plain clock.

    Parameters
    ----------
    candidates
        Weights of menus, at least one.
    validation
        Rounds that no candidate was trained on.
    mechanism, dim, ladder, precision
        The market: local mechanism, dimension, levels, ``c(eps_k)`` of each.
    value_scale, notes
        As in :class:`Schedule`.

    Raises
    ------
    ConfigError
        If there is no candidate or no validation round.
    """
    if not candidates or not validation.profiles or not validation.rates:
        raise ConfigError("Expected at least one candidate and one validation round, got none.")
    c = np.asarray(precision, dtype=np.float64)
    cells = (len(PARTY_EDGES) - 1, len(MONEY_EDGES) - 1)
    everywhere = Bands(PARTY_EDGES, MONEY_EDGES, ((True,) * cells[1],) * cells[0])
    schedules = [
        Schedule(w, mechanism, dim, ladder.eps_max, everywhere, value_scale, notes or {})
        for w in candidates
    ]
    auctions: list[Clock] = [Clock(), *(LearnedClock(schedule) for schedule in schedules)]
    rates, market = validation.rates, (everywhere, ladder, c, value_scale)
    found = [_measure(auctions, p, rates, *market) for p in validation.profiles]
    scores = np.concatenate([errors for errors, _ in found], axis=1)
    best = int(np.argmin(np.log(np.minimum(scores[1:], 1e300)).mean(axis=1)))
    both = [auctions[0], auctions[1 + best]]
    seen = [(errors[[0, 1 + best]], places) for errors, places in found]
    seen += [_measure(both, p, rates, *market) for p in validation.others]
    learned = _better_cells(seen, cells)
    chosen = schedules[best]
    said = {**(notes or {}), "checkpoint": f"{best + 1} of {len(candidates)}"}
    bands = Bands(PARTY_EDGES, MONEY_EDGES, learned)
    return Schedule(chosen.weights, mechanism, dim, ladder.eps_max, bands, value_scale, said)


Place = tuple[int, int] | None


def _measure(
    auctions: Sequence[Clock],
    profiles: Profiles,
    rates: Sequence[float],
    bands: Bands,
    ladder: Ladder,
    precision: Float64,
    value_scale: float,
) -> tuple[Float64, list[Place]]:
    """Return errors ``(auctions, rounds)`` of one population and the cell of each round."""
    scores: list[Float64] = []
    places: list[Place] = []
    rounds = books(profiles, ladder)
    for rate in rates:
        budgets = profiles.budgets(rate)
        money = budgets / profiles.sizes.sum(axis=1) / value_scale
        places += [bands.cell(profiles.parties, m) for m in money]
        errors = [cleared_errors(a, rounds, budgets, ladder, precision) for a in auctions]
        scores.append(np.stack(errors))
    return np.concatenate(scores, axis=1), places


def _better_cells(
    populations: Sequence[tuple[Float64, list[Place]]], cells: tuple[int, int]
) -> tuple[tuple[bool, ...], ...]:
    """Return where the menu is better in every population that has a few rounds there."""
    return tuple(
        tuple(_better(populations, (p, m)) for m in range(cells[1])) for p in range(cells[0])
    )


def _better(populations: Sequence[tuple[Float64, list[Place]]], cell: tuple[int, int]) -> bool:
    judged = []
    for (plain, menu), places in populations:
        here = np.fromiter((place == cell for place in places), bool, len(places))
        both = here & np.isfinite(plain) & np.isfinite(menu)
        if int(both.sum()) < _FEWEST:
            continue
        gain = plain[both] - menu[both]
        clearly = gain.mean() > gain.std(ddof=1) / np.sqrt(gain.size)
        no_worse = np.isinf(menu[here]).sum() <= np.isinf(plain[here]).sum()
        judged.append(bool(clearly and no_worse))
    return bool(judged) and all(judged)
