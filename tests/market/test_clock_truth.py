"""The three theorems on the clock, and what their proofs rest on; in integers, for any schedule."""

import numpy as np
import pytest
from clock_oracle import oracle_clock
from market_worlds import random_book, random_quality

from equigrad.market import Ladder, Terms
from equigrad.market.auctions import Clock
from equigrad.market.auctions.clock import clock_prices
from equigrad.market.auctions.grid import tops
from equigrad.market.misreports import best_gain, random_reports, utilities


def market(seed, *, shared=None):
    rng = np.random.default_rng(seed)
    shared = bool(seed % 2) if shared is None else shared
    book = random_book(rng, int(rng.integers(2, 8)), 5, most=40, sizes=6, loose=shared)
    quality = random_quality(rng, book, shared)
    prices = np.unique(np.geomspace(1, 200, int(rng.integers(3, 60))).astype(np.int64))
    most = int(tops(book.dcap, book.kbar, quality.of(book.party)).sum())
    budget = max(int(most * rng.uniform(1, 60)), 1)
    return rng, book, Terms(budget, Ladder(2.0, 5), quality=quality, grid=prices)


def prices_of(book, terms):
    q = terms.qualities().of(book.party)
    return clock_prices(book, terms.budget, q, terms.grid, tops(book.dcap, book.kbar, q))[0]


@pytest.mark.parametrize("shared", [True, False])
def test_truth_no_party_gains_by_another_table_cap_or_size(shared):
    sold = 0
    for seed in range(60):
        rng, book, terms = market(seed, shared=shared)
        kinds = ("price", "curve", "cap", "size") if shared else ("price", "curve", "cap")
        for row in range(min(book.n, 3)):
            found = best_gain(Clock(), book, terms, row, rng, count=12, kinds=kinds)
            assert found.gain == 0, found
            sold += found.cost > 0
    assert sold > 60


def test_rationality_and_budget_hold_for_any_schedule():
    for seed in range(400):
        _, book, terms = market(seed)
        found = Clock().clear(book, terms)
        assert (utilities(book, found) >= 0).all()
        assert found.spent <= terms.budget


def test_a_price_does_not_depend_on_the_bid_it_is_paid_to():
    moved = 0
    for seed in range(150):
        rng, book, terms = market(seed)
        row = int(rng.integers(book.n))
        before = prices_of(book, terms)
        lies = random_reports(book, row, rng, 6)
        for i in range(6):
            size = lies.d[i] if terms.quality.shared else None
            after = prices_of(book.with_report(row, u=lies.u[i], kcap=lies.kcap[i], d=size), terms)
            assert after[row] == before[row]
            moved += (after != before).any()
    assert moved > 100  # the others' prices do


def test_an_award_is_unchanged_by_a_bid_with_the_same_best_reply():
    kept = 0
    for seed in range(200):
        rng, book, terms = market(seed)
        row = int(rng.integers(book.n))
        honest = Clock().clear(book, terms)
        lies = random_reports(book, row, rng, 6, kinds=("curve", "price", "cap"))
        for i in range(6):
            lied = Clock().clear(book.with_report(row, u=lies.u[i], kcap=lies.kcap[i]), terms)
            if lied.levels[row] == honest.levels[row]:
                assert lied.payments[row] == honest.payments[row]
                kept += honest.payments[row] > 0
    assert kept > 50


def test_a_smaller_size_only_scales_the_award():
    for seed in range(1, 200, 2):
        rng, book, terms = market(seed, shared=True)
        row = int(rng.integers(book.n))
        honest = Clock().clear(book, terms)
        for size in range(1, int(book.d[row]) + 1):
            less = Clock().clear(book.with_report(row, d=size), terms)
            assert less.levels[row] == honest.levels[row]
            assert less.payments[row] * book.d[row] == honest.payments[row] * size


def test_supply_never_falls_as_prices_rise_so_the_running_maximum_is_the_supply():
    """With price-linear menus the slow form gives the same with and without it."""
    for seed in range(60):
        _, book, terms = market(seed)
        q = terms.qualities().of(book.party)
        limit = book.limit
        for i in range(book.n):
            sold = []
            for price in terms.grid.tolist():
                gains = (price * q[i] - book.u[i])[: limit[i] + 1]
                level = np.flatnonzero(gains == gains.max())[-1]
                sold.append(price * book.d[i] * q[i, level])
            assert sold == sorted(sold)


def test_permuting_parties_permutes_awards():
    """Even under other names, since a price is nobody's by name."""
    for seed in range(40):
        rng, book, terms = market(seed, shared=True)
        order = rng.permutation(book.n)
        moved = type(book).of(
            book.party,
            book.u[order],
            book.kcap[order],
            book.d[order],
            dcap=book.dcap[order],
            kbar=book.kbar[order],
        )
        one, two = Clock().clear(book, terms), Clock().clear(moved, terms)
        assert two.levels.tolist() == one.levels[order].tolist()
        assert two.payments.tolist() == one.payments[order].tolist()


def test_the_price_is_the_highest_that_the_others_leave():
    for seed in range(60):
        _, book, terms = market(seed)
        rows = terms.qualities().of(book.party).tolist()
        index = oracle_clock(book, terms.budget, rows, terms.grid)[2]
        assert prices_of(book, terms).tolist() == index
