"""Misreports: what is generated, what a sale above the cap is worth, and a gain that is found."""

import numpy as np
import pytest
from market_worlds import random_book

from equigrad.errors import ConfigError
from equigrad.market import BidBook, Ladder, Terms
from equigrad.market.auctions import AllIn, Clock
from equigrad.market.misreports import FORBIDDEN, best_gain, random_reports, utilities


@pytest.mark.parametrize("kinds", [("price",), ("curve",), ("cap",), ("size",), ("cap", "size")])
def test_reports_are_bids_and_change_what_they_may(kinds):
    book = random_book(np.random.default_rng(0), 5, 6, most=1000, sizes=50)
    row = int(np.argmax(book.d))
    found = random_reports(book, row, np.random.default_rng(1), 200, kinds)
    for i in range(200):
        book.with_report(row, u=found.u[i], kcap=found.kcap[i], d=found.d[i])  # checked there
    moved = {
        "curve": (found.u != book.u[row]).any(),
        "cap": (found.kcap != book.kcap[row]).any(),
        "size": (found.d != book.d[row]).any(),
    }
    for kind, changed in moved.items():
        assert changed == (kind in kinds or (kind == "curve" and "price" in kinds))
    assert found.d.max() <= book.d[row]


def test_equal_generators_give_equal_reports():
    book = random_book(np.random.default_rng(0), 5, 6)
    one, two = (random_reports(book, 2, np.random.default_rng(1), 9) for _ in range(2))
    assert (one.u == two.u).all()
    with pytest.raises(ConfigError, match="kind of report"):
        random_reports(book, 2, np.random.default_rng(1), 9, ("name",))


def test_a_sale_above_the_true_cap_is_worth_minus_infinity():
    truth = BidBook.of(["a", "b"], [[0, 1, 2]] * 2, [1, 2], [1, 2])
    terms = Terms(10**6, Ladder(2.0, 2))
    found = Clock().clear(truth.with_report(0, kcap=2), terms)
    assert found.levels.tolist() == [2, 2]
    got = utilities(truth, found)
    assert got[0] == FORBIDDEN
    assert got[1] == found.payments[1] - 2 * 2


def test_the_gain_of_the_textbook_lie_is_found():
    truth = BidBook.of(["a", "b"], [[0, 600_000], [0, 700_000]], [1, 1], [1, 1])
    terms = Terms(10**6, Ladder(1.0, 1))
    found = best_gain(
        AllIn("reference"), truth, terms, 1, np.random.default_rng(0), kinds=["price"]
    )
    assert (found.truth, found.best, found.gain) == (0, 300_000, 300_000)
    assert found.table[1] < 600_000
    assert (found.cost, found.cap_cost, found.tried) == (0, 700_000, 50)
    honest = best_gain(AllIn(), truth, terms, 1, np.random.default_rng(0), kinds=["price"])
    assert (honest.gain, honest.table, honest.size) == (0, None, None)
