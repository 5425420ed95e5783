"""All-in equals its slow form, and its claims end where the documentation says."""

from fractions import Fraction

import numpy as np
import pytest
from market_worlds import random_book

from equigrad.errors import ConfigError
from equigrad.market import BidBook, Ladder, Terms
from equigrad.market.auctions import AllIn
from equigrad.market.misreports import utilities


def slow(book, budget, form):
    """The definition in fractions, one party at a time."""
    offers = []
    for i in range(book.n):
        k = int(book.limit[i])
        if k:
            d, price = int(book.d[i]), int(book.u[i, k])
            offers.append((Fraction(price, k), i, d * k, k))
    offers.sort()
    total, winners, refused = 0, [], None
    for unit, i, amount, k in offers:
        if (total + amount) * unit <= budget:
            total += amount
            winners.append((i, amount, k))
        elif form == "truthful":
            refused = unit
            break
    levels, payments = [0] * book.n, [0] * book.n
    for i, amount, k in winners:
        price = Fraction(budget, total)
        if refused is not None:
            price = min(price, refused)
        levels[i], payments[i] = k, int(amount * price)
    return levels, payments


@pytest.mark.parametrize("form", ["truthful", "reference"])
@pytest.mark.parametrize("most", [9, 2**58])
def test_fast_path_is_the_slow_path(form, most):
    rng = np.random.default_rng(4)
    for _ in range(150):
        book = random_book(rng, int(rng.integers(1, 9)), int(rng.integers(1, 5)), most)
        budget = int(rng.integers(1, 40 * most)) if most < 100 else int(rng.integers(1, 2**62))
        found = AllIn(form).clear(book, Terms(budget, Ladder(2.0, book.steps)))
        assert (found.levels.tolist(), found.payments.tolist()) == slow(book, budget, form)


def test_the_reference_form_is_not_truthful():
    """Costs 0.6 and 0.7, budget 1: the second wins 1.0 by a bid of 0.1."""
    truth = BidBook.of(["a", "b"], [[0, 600_000], [0, 700_000]], [1, 1], [1, 1])
    terms = Terms(10**6, Ladder(1.0, 1))
    lie = truth.with_report(1, u=[0, 100_000])
    honest, lied = (AllIn("reference").clear(book, terms) for book in (truth, lie))
    assert utilities(truth, honest).tolist() == [400_000, 0]
    assert utilities(truth, lied).tolist() == [0, 300_000]
    assert lied.payments.tolist() == [0, 1_000_000]
    assert utilities(truth, AllIn().clear(lie, terms))[1] < 0


def test_understating_the_cap_can_pay_even_in_the_truthful_form():
    truth = BidBook.of(["a", "b"], [[0, 10, 100], [0, 30, 60]], [2, 2], [1, 1])
    terms = Terms(100, Ladder(2.0, 2))
    lied = AllIn().clear(truth.with_report(0, kcap=1), terms)
    honest = AllIn().clear(truth, terms)
    assert utilities(truth, lied)[0] > utilities(truth, honest)[0]
    assert AllIn().claims.truthful == "single-minded"


def test_equal_prices_go_by_name():
    book = BidBook.of(["b", "a", "c"], [[0, 5]] * 3, [1] * 3, [1] * 3)
    found = AllIn().clear(book, Terms(10, Ladder(1.0, 1)))
    assert found.levels.tolist() == [1, 1, 0]
    assert found.payments.tolist() == [5, 5, 0]


def test_the_reference_form_spends_all_but_rounding():
    book = BidBook.of(["a", "b", "c"], [[0, 1]] * 3, [1] * 3, [1] * 3)
    found = AllIn("reference").clear(book, Terms(100, Ladder(1.0, 1)))
    assert (found.payments.tolist(), found.unspent) == ([33, 33, 33], 1)


def test_free_privacy_shares_the_budget():
    book = BidBook.of(["a", "b"], [[0, 0]] * 2, [1] * 2, [1, 3])
    assert AllIn().clear(book, Terms(100, Ladder(1.0, 1))).payments.tolist() == [25, 75]


def test_forms():
    assert AllIn("reference").claims.truthful == "no"
    assert AllIn().label == "all-in form=truthful"
    with pytest.raises(ConfigError, match="reference, truthful"):
        AllIn("paper")
