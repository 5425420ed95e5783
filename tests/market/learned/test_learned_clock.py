import itertools

import numpy as np
import pytest
from menu_worlds import random_schedule, random_weights

from equigrad.errors import CheckpointError, DataError
from equigrad.market import BidBook, Ladder, QualityTable, Terms
from equigrad.market.auctions import Clock, LearnedClock
from equigrad.market.learned import Bands
from equigrad.market.learned.selection import books
from equigrad.market.misreports import best_gain, utilities
from equigrad.market.workload import benchmark_profiles

GRID = np.unique(np.geomspace(1, 2**30, 400).astype(np.int64))


@pytest.mark.parametrize("seed", range(3))
def test_no_report_beats_any_truth_on_a_lattice_for_any_weights(seed):
    rng = np.random.default_rng(seed)
    auction = LearnedClock(random_schedule(seed, size=2.0))
    tables = 3000 * np.asarray(
        [(0, *t) for t in itertools.product(range(5), repeat=3) if t[0] <= t[1] <= t[2]]
    )
    types = list(itertools.product(range(len(tables)), range(1, 4)))
    at = np.asarray(types)
    d = np.asarray([2, 3])
    sold = 0
    for _ in range(3):
        budget = int(rng.integers(15_000, 120_000))
        terms = Terms(budget, Ladder(2.0, 3), grid=GRID)
        other, row = types[rng.integers(len(types))], int(rng.integers(2))
        levels, payments = np.empty((2, len(types)), np.int64)
        for place, mine in enumerate(types):
            pair = [mine, other] if row == 0 else [other, mine]
            chosen = np.asarray(pair)
            book = BidBook.of(["a", "b"], tables[chosen[:, 0]], chosen[:, 1], d)
            found = auction.clear(book, terms)
            assert found.spent <= budget
            levels[place], payments[place] = found.levels[row], found.payments[row]
        cost = d[row] * tables[at[:, 0]][:, levels]  # (truth, report)
        gain = np.where(levels[None] > at[:, 1, None], -(2**62), payments[None] - cost)
        honest = np.diagonal(gain)
        assert (honest >= 0).all()
        np.testing.assert_array_equal(gain.max(axis=1), honest)
        sold += len(np.unique(levels))
    assert sold > 3  # the lattice decides something


def test_no_random_misreport_gains_with_random_weights():
    rng = np.random.default_rng(1)
    profiles = benchmark_profiles(10, 6)
    ladder = Ladder(2.0, 12)
    for seed, book in enumerate(books(profiles, ladder)):
        auction = LearnedClock(random_schedule(seed))
        terms = Terms(int(1e6 * profiles.budgets(0.6)[seed]), ladder, grid=GRID)
        found = auction.clear(book, terms)
        assert found.spent <= terms.budget
        assert (utilities(book, found) >= 0).all()
        for row in rng.choice(10, 4, replace=False):
            kinds = ["price", "curve", "cap"]
            best = best_gain(auction, book, terms, int(row), rng, count=16, kinds=kinds)
            assert best.gain == 0, best


def test_a_published_table_clears_without_the_schedule():
    profiles = benchmark_profiles(10, 1)
    ladder = Ladder()
    book = books(profiles, ladder)[0]
    budget = int(1e6 * profiles.budgets(1.0)[0])
    auction = LearnedClock(random_schedule(4))
    terms = Terms(budget, ladder, grid=GRID)
    table = auction.quality(book, terms)
    assert table.party == tuple(book.party.tolist())
    published = Terms(budget, ladder, grid=GRID, quality=table)
    once, again = auction.clear(book, published), Clock().clear(book, published)
    np.testing.assert_array_equal(once.levels, auction.clear(book, terms).levels)
    np.testing.assert_array_equal(once.levels, again.levels)
    np.testing.assert_array_equal(once.payments, again.payments)


def test_outside_the_bands_it_is_the_plain_clock():
    profiles = benchmark_profiles(10, 1)
    ladder = Ladder()
    book = books(profiles, ladder)[0]
    terms = Terms(int(1e6 * profiles.budgets(1.0)[0]), ladder)
    never = Bands((5.0, 20.0), (1e-9, 1e9), ((False,),))
    elsewhere = Bands((20.0, 30.0), (1e-9, 1e9), ((True,),))
    for bands in (never, elsewhere):
        auction = LearnedClock(random_schedule(4, bands=bands))
        assert isinstance(auction.quality(book, terms), QualityTable)
        plain, found = Clock().clear(book, terms), auction.clear(book, terms)
        np.testing.assert_array_equal(found.payments, plain.payments)
        np.testing.assert_array_equal(found.levels, plain.levels)


def test_sizes_below_the_attested_ones_are_refused():
    u = np.asarray([[0, 10**5, 10**6]] * 2)
    book = BidBook.of(["a", "b"], u, [2, 2], [3, 4], dcap=[3, 5])
    with pytest.raises(DataError, match="attested sizes"):
        LearnedClock(random_schedule(0)).clear(book, Terms(10**7, Ladder(2.0, 2)))


def test_another_market_is_refused():
    schedule = random_schedule(0, dim=98)
    LearnedClock(schedule, mechanism="laplace", dim=98)
    with pytest.raises(CheckpointError, match="dim=1, got one for 98"):
        LearnedClock(schedule, dim=1)
    with pytest.raises(CheckpointError, match="mechanism='gaussian'"):
        LearnedClock(schedule, mechanism="gaussian")
    book = BidBook.of(["a"], [[0, 1, 2]], [2], [3])
    with pytest.raises(CheckpointError, match=r"eps_max=2\.0"):
        LearnedClock(schedule).clear(book, Terms(10**7, Ladder(1.0, 2)))


def test_the_label_names_the_weights():
    one, other = (LearnedClock(random_schedule(seed)).label for seed in (0, 1))
    assert one != other
    assert one == LearnedClock(random_schedule(0)).label
    assert random_weights(0)["biases.0"].shape == (5,)
