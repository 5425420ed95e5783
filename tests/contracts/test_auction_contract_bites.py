"""The auctions' contract suite fails for mechanisms that break the contract."""

import numpy as np
import pytest

from equigrad.market import Allotment, Auction, Claims, Clearing
from equigrad.market.auctions import AllIn, Clock
from equigrad.market.auctions.clock import clock_prices
from equigrad.market.auctions.grid import default_grid, tops
from equigrad.market.auctions.reach import levels_at
from equigrad.testing.auctions import AuctionContract

EXACT = Claims("exact", rational=True, within_budget=True)


class BoldAllIn(AllIn):
    """The reference's form, said to be truthful for single-minded parties."""

    claims = Claims("single-minded", rational=True, within_budget=True)

    def __init__(self):
        super().__init__("reference")


class ExactAllIn(AllIn):
    """The truthful form, said to be truthful for everybody."""

    claims = EXACT


class OnePrice(Clock):
    """The highest price that clears all, the same for all: no leave-one-out."""

    def allot(self, book, terms, public_seed):
        q = terms.qualities().of(book.party)
        top = tops(book.dcap, book.kbar, q)
        grid = default_grid(terms.budget, top) if terms.grid is None else terms.grid
        _, reach = clock_prices(book, terms.budget, q, grid, top)
        best = [np.zeros(book.n, np.int64)] * 2
        for g, price in enumerate(grid.tolist()):
            levels = levels_at(reach, np.full(book.n, g))
            paid = price * book.d * q[np.arange(book.n), levels]
            if paid.sum() <= terms.budget:
                best = [levels, paid]
        return Allotment(*best)


class ReportedTop(Clock):
    """The clock whose upper bound of a party's supply uses the size that the party reports."""

    def allot(self, book, terms, public_seed):
        q = terms.qualities().of(book.party)
        top = tops(book.d, book.kbar, q)
        grid = terms.grid
        if grid is None:
            grid = default_grid(terms.budget, tops(book.dcap, book.kbar, q))
        index, reach = clock_prices(book, terms.budget, q, grid, top)
        levels = levels_at(reach, index)
        return Allotment(levels, grid[index] * book.d * q[np.arange(book.n), levels])


class PaysCost(Clock):
    """The clock's levels at the declared cost: whoever asks for more gets more."""

    def allot(self, book, terms, public_seed):
        found = super().allot(book, terms, public_seed)
        return Allotment(found.levels, book.d * book.u[np.arange(book.n), found.levels])


class Changed(Clock):
    """The clock with its outcome changed by :meth:`change`."""

    def allot(self, book, terms, public_seed):
        found = super().allot(book, terms, public_seed)
        levels, payments = self.change(book, terms, found.levels.copy(), found.payments.copy())
        return Allotment(levels, payments, notes=found.notes)


class Generous(Changed):
    """Pays each seller the whole budget."""

    def change(self, book, terms, levels, payments):
        return levels, np.where(levels > 0, terms.budget, 0)


class Mean(Changed):
    """Pays half of what it should."""

    def change(self, book, terms, levels, payments):
        return levels, payments // 2


class Greedy(Changed):
    """Sells the top level of everybody who sells."""

    def change(self, book, terms, levels, payments):
        return np.where(levels > 0, book.steps, 0), payments


class Fickle(Changed):
    """Draws who is paid one unit more from the global generator."""

    def change(self, book, terms, levels, payments):
        payments[np.random.randint(book.n)] += np.random.randint(1000)  # noqa: NPY002
        return levels, payments


class Wrapping(Changed):
    """Multiplies without looking."""

    def change(self, book, terms, levels, payments):
        with np.errstate(over="ignore"):
            return np.full(book.n, book.steps), book.d * book.u[:, -1]


class Scribbling(Changed):
    """Keeps its notes in the bids."""

    def change(self, book, terms, levels, payments):
        caps = book.kcap.base if book.kcap.base is not None else book.kcap
        caps.flags.writeable = True
        caps[...] = 0
        return levels, payments


class Silent(Changed):
    """Buys nothing from anybody."""

    def change(self, book, terms, levels, payments):
        return 0 * levels, 0 * payments


class Forgetful(Clock):
    """Leaves the bids out of the digest."""

    def clear(self, book, terms, public_seed=None):
        found = super().clear(book, terms, public_seed)
        object.__setattr__(found, "digest", "0" * 64)
        return found


class Remembering(Changed):
    """Pays one unit more from its second clearing on."""

    calls = 0

    def change(self, book, terms, levels, payments):
        Remembering.calls += 1
        return levels, payments + Remembering.calls


def suite(broken):
    class Suite(AuctionContract):
        def auction(self) -> Auction:
            return broken()

    return Suite()


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (BoldAllIn, "test_random_misreports"),
        (ExactAllIn, "test_random_misreports"),
        (ExactAllIn, "test_lattice_of_three"),
        (OnePrice, "test_random_misreports"),
        (OnePrice, "test_lattice_of_three"),
        (ReportedTop, "test_random_misreports"),
        (PaysCost, "test_random_misreports"),
        (PaysCost, "test_lattice_of_three"),
        (Generous, "test_payments_fit_the_budget"),
        (Mean, "test_truth_never_loses"),
        (Greedy, "test_awards"),
        (Fickle, "test_global_random_state_is_left_alone"),
        (Fickle, "test_digest"),
        (Wrapping, "test_huge_amounts"),
        (Wrapping, "test_nobody_sells"),
        (Scribbling, "test_awards"),
        (Silent, "test_somebody_sells"),
        (Forgetful, "test_digest"),
        (Remembering, "test_order_of_arrival"),
        (Remembering, "test_digest"),
    ],
)
def test_a_broken_auction_is_caught(broken, test):
    with pytest.raises(AssertionError):
        getattr(suite(broken), test)()


@pytest.mark.parametrize("broken", [BoldAllIn])
def test_a_broken_auction_is_caught_by_the_lattice_of_two(broken):
    game = suite(broken)
    game.lattice_budgets = range(1, 30)
    with pytest.raises(AssertionError):
        game.test_lattice_of_two()


def test_another_name_is_caught():
    class Anonymous(Clock):
        name = "all-in"

    with pytest.raises(AssertionError):
        suite(Anonymous).test_name()


def test_an_auction_without_notes_is_caught():
    class Wordless(Clock):
        def clear(self, book, terms, public_seed=None) -> Clearing:
            found = super().clear(book, terms, public_seed)
            object.__setattr__(found, "notes", ())
            return found

    for test in ("test_nobody_bids", "test_nobody_sells"):
        with pytest.raises(AssertionError):
            getattr(suite(Wordless), test)()
