"""Fair-query equals its slow form, and its claims end where the documentation says."""

from fractions import Fraction

import numpy as np
from market_worlds import random_book

from equigrad.market import BidBook, Ladder, Terms
from equigrad.market.auctions import FairQuery


def slow(book, budget):
    """The definition, one party at a time: levels as fractions, payments."""
    offers = sorted(
        (int(book.d[i]) * int(book.u[i, book.limit[i]]), i) for i in range(book.n) if book.limit[i]
    )
    n = len(offers)
    caps = [int(book.limit[i]) for _, i in offers]
    k = 0
    while k + 1 < n:
        lowest = min(caps[: k + 1])
        if offers[k][0] * (k + 1) > budget or lowest * (n - (k + 1)) < max(caps):
            break
        k += 1
    levels, payments = [Fraction(0)] * book.n, [0] * book.n
    for _, i in offers[:k]:
        levels[i] = Fraction(max(caps), n - k)
        payments[i] = min(budget // k, offers[k][0])
    return levels, payments


def test_fast_path_is_the_slow_path():
    rng = np.random.default_rng(5)
    sold = 0
    for _ in range(400):
        book = random_book(rng, int(rng.integers(1, 12)), int(rng.integers(1, 5)))
        budget = int(rng.integers(1, 300))
        found = FairQuery().clear(book, Terms(budget, Ladder(2.0, book.steps)))
        levels, payments = slow(book, budget)
        assert [Fraction(int(k), found.parts) for k in found.levels] == levels
        assert found.payments.tolist() == payments
        np.testing.assert_allclose(found.eps, [2.0 * float(k) / book.steps for k in levels])
        sold += found.valid
    assert sold > 100


def test_all_winners_sell_and_earn_the_same():
    rng = np.random.default_rng(6)
    book = random_book(rng, 30, 4, loose=False)
    found = FairQuery().clear(book, Terms(200, Ladder(2.0, 4)))
    assert found.sellers.sum() > 1
    assert len(set(found.eps[found.sellers])) == len(set(found.payments[found.sellers])) == 1


def test_one_party_is_never_bought():
    book = BidBook.of(["a"], [[0, 0]], [1], [1])
    found = FairQuery().clear(book, Terms(100, Ladder(2.0, 1)))
    assert (found.valid, found.spent) == (False, 0)
    assert found.notes == ("Nobody sells: a party that alone can sell is never bought.",)


def test_the_declared_cost_is_that_of_the_level_above():
    book = BidBook.of(["a", "b", "c"], [[0, 1, 2], [0, 2, 4], [0, 9, 9]], [2, 2, 2], [1, 1, 1])
    found = FairQuery().clear(book, Terms(100, Ladder(2.0, 2)))
    assert (found.levels.tolist(), found.parts) == ([2, 0, 0], 2) or found.parts == 1
    assert found.costs.tolist() == [
        int(book.u[i, -(-int(k) // found.parts)]) for i, k in enumerate(found.levels)
    ]
