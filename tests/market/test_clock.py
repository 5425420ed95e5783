"""The clock equals its slow form, and what it promises holds at the edges."""

import numpy as np
import pytest
from clock_oracle import oracle_clock, oracle_grid
from market_worlds import random_book, random_quality

from equigrad.market import Ladder, Terms
from equigrad.market.auctions import Clock, default_grid
from equigrad.market.auctions.grid import tops


def instance(seed):
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(1, 9))
    shared = bool(rng.integers(0, 2))
    book = random_book(rng, int(rng.integers(1, 9)), steps, loose=shared)
    quality = random_quality(rng, book, shared) if rng.random() < 0.7 else None
    grid = None
    if rng.random() < 0.6:
        grid = np.unique(rng.integers(1, 30, size=rng.integers(1, 12)))
    budget = int(rng.integers(1, 400))
    return book, Terms(budget, Ladder(2.0, steps), quality=quality, grid=grid)


def slow(book, terms):
    rows = terms.qualities().of(book.party).tolist()
    return oracle_clock(book, terms.budget, rows, terms.grid)


@pytest.mark.filterwarnings("ignore:The first price is")
def test_fast_path_is_the_slow_path_on_1000_instances():
    sold = compared = seed = 0
    while compared < 1000:
        book, terms = instance(seed)
        seed += 1
        quality = terms.qualities().of(book.party)
        top = tops(book.dcap, book.kbar, quality)
        if terms.grid is None and 0 < terms.budget < top.sum():
            continue  # no first price: refused, tested below
        compared += 1
        levels, payments, _ = slow(book, terms)
        found = Clock().clear(book, terms)
        assert found.levels.tolist() == levels
        assert found.payments.tolist() == payments
        sold += found.valid
    assert sold > 500


def test_default_grid_is_the_slow_grid():
    rng = np.random.default_rng(1)
    for _ in range(200):
        top = rng.integers(0, 1000, size=rng.integers(1, 6))
        budget = int(rng.integers(max(top.sum(), 1), 10**6))
        assert default_grid(budget, top).tolist() == oracle_grid(budget, top.tolist())
