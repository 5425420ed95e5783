"""The clock equals its slow form, and its edges are as documented."""

import ast
import inspect

import numpy as np
import pytest
from clock_oracle import oracle_clock, oracle_grid
from market_worlds import random_book, random_quality

from equigrad.errors import ConfigError, DataError
from equigrad.market import BidBook, Ladder, QualityTable, Terms, arithmetic, power_quality
from equigrad.market.auctions import Clock, clock, default_grid, grid, reach
from equigrad.market.auctions.grid import tops
from equigrad.market.auctions.reach import NEVER, reach_prices


def instance(seed):
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(1, 9))
    shared = bool(rng.integers(0, 2))
    book = random_book(rng, int(rng.integers(1, 9)), steps, loose=shared)
    quality = random_quality(rng, book, shared) if rng.random() < 0.7 else None
    prices = None
    if rng.random() < 0.6:
        prices = np.unique(rng.integers(1, 30, size=rng.integers(1, 12)))
    budget = int(rng.integers(1, 400))
    return book, Terms(budget, Ladder(2.0, steps), quality=quality, grid=prices)


def slow(book, terms):
    rows = terms.qualities().of(book.party).tolist()
    return oracle_clock(book, terms.budget, rows, terms.grid)


@pytest.mark.filterwarnings("ignore:The first price is")
def test_fast_path_is_the_slow_path_on_1000_instances():
    sold = compared = seed = 0
    while compared < 1000:
        book, terms = instance(seed)
        seed += 1
        top = tops(book.dcap, book.kbar, terms.qualities().of(book.party))
        if terms.grid is None and terms.budget < top.sum():
            continue  # no first price: refused, tested below
        compared += 1
        levels, payments, _ = slow(book, terms)
        found = Clock().clear(book, terms)
        assert found.levels.tolist() == levels
        assert found.payments.tolist() == payments
        sold += found.valid
    assert sold > 500


@pytest.mark.parametrize("seed", range(60))
def test_fast_path_is_the_slow_path_with_huge_numbers(seed):
    rng = np.random.default_rng(seed)
    n, steps = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    bits = rng.integers(1, 62, size=3)
    size = rng.integers(1, 2 ** int(bits[0]), size=n, endpoint=True)
    u = np.sort(rng.integers(0, 2 ** int(bits[1]), size=(n, steps + 1), endpoint=True))
    u[:, 0] = 0
    book = BidBook.of([f"{i}" for i in range(n)], u, rng.integers(0, steps + 1, size=n), size)
    q = np.concatenate([[0], np.sort(rng.integers(0, 2**31, size=steps))])
    prices = np.unique(2 ** rng.integers(0, 62, size=8) + rng.integers(0, 1000, size=8))
    budget = int(rng.integers(2 ** int(bits[2]), 2**62, endpoint=True))
    terms = Terms(budget, Ladder(1.0, steps), quality=QualityTable(q), grid=prices)
    found = Clock().clear(book, terms)
    levels, payments, _ = slow(book, terms)
    assert (found.levels.tolist(), found.payments.tolist()) == (levels, payments)


def test_default_grid_is_the_slow_grid():
    rng = np.random.default_rng(1)
    for _ in range(200):
        top = rng.integers(0, 1000, size=rng.integers(1, 6))
        budget = int(rng.integers(max(top.sum(), 1), 10**6))
        assert default_grid(budget, top).tolist() == oracle_grid(budget, top.tolist())


def test_default_grid_starts_where_all_are_affordable_and_ends_where_nobody_is():
    top = np.asarray([3, 0, 10, 1000])
    prices = default_grid(10**9, top)
    assert prices[0] * top.sum() <= 10**9 < (prices[0] + 1) * top.sum()
    assert prices[-2] * 3 <= 10**9 < prices[-1] * 3
    assert (np.diff(prices) == np.maximum(1, prices[:-1] // 100)).all()


def test_the_longest_grid_is_short_and_does_not_wrap():
    prices = default_grid(2**62, [2**62 - 1, 1])
    assert (prices > 0).all()
    assert len(prices) < 4600


def test_reach_is_where_the_best_reply_rises():
    rng = np.random.default_rng(2)
    for _ in range(100):
        book = random_book(rng, 4, int(rng.integers(1, 8)))
        q = random_quality(rng, book, shared=False).of(book.party)
        got = reach_prices(book.u, q, book.limit)
        for i in range(book.n):
            replies = []
            for price in range(60):
                gains = (price * q[i] - book.u[i])[: book.limit[i] + 1]
                replies.append(np.flatnonzero(gains == gains.max())[-1])
            for k in range(1, book.steps + 1):
                reached = [p for p, level in enumerate(replies) if level >= k]
                assert min(reached, default=NEVER) == got[i, k - 1]


def test_collinear_levels_are_jumped_over_to_the_larger():
    u = np.asarray([[0, 2, 4, 6]])
    assert reach_prices(u, np.arange(4)[None], np.asarray([3])).tolist() == [[2, 2, 2]]


def test_one_party_gets_the_price_at_which_its_cap_fits():
    book = BidBook.of(["a"], [[0, 10, 30]], [2], [7])
    found = Clock().clear(book, Terms(1000, Ladder(2.0, 2), grid=np.arange(1, 100)))
    price = 1000 // (7 * 2)
    assert (found.levels.tolist(), found.payments.tolist()) == ([2], [price * 7 * 2])


def test_no_price_low_enough_buys_nothing():
    book = BidBook.of(["a", "b"], [[0, 0], [0, 0]], [1, 1], [5, 5])
    short = Clock().clear(book, Terms(9, Ladder(2.0, 1), grid=np.asarray([1, 2])))
    assert (short.levels.tolist(), short.spent, short.unspent) == ([0, 0], 0, 9)
    assert short.notes == ("Nobody sells at prices that the budget can pay.",)
    enough = Clock().clear(book, Terms(10, Ladder(2.0, 1), grid=np.asarray([1, 2])))
    assert (enough.levels.tolist(), enough.spent) == ([1, 1], 10)


def test_identical_parties_get_the_same():
    n = 20_000
    book = BidBook.of([f"{i:05d}" for i in range(n)], [[0, 100, 300]] * n, [2] * n, [3] * n)
    found = Clock().clear(book, Terms(3 * n * 190, Ladder(2.0, 2)))
    assert len(set(found.levels.tolist())) == len(set(found.payments.tolist())) == 1
    assert found.valid
    assert found.unspent >= 0


@pytest.mark.parametrize("blocks", [1, 7])
def test_blocks_change_nothing(monkeypatch, blocks):
    rng = np.random.default_rng(3)
    book = random_book(rng, 40, 5)
    terms = Terms(10**5, Ladder(2.0, 5))
    whole = Clock().clear(book, terms).digest
    monkeypatch.setattr(clock, "_BLOCK", blocks)
    assert Clock().clear(book, terms).digest == whole


def test_a_budget_below_one_unit_per_record_and_level_is_refused():
    book = BidBook.of(["a"], [[0, 0, 0]], [2], [10])
    with pytest.raises(ConfigError, match="below one ledger unit per record and level"):
        Clock().clear(book, Terms(19, Ladder(2.0, 2)))
    with pytest.warns(UserWarning, match="Raise scale or budget"):
        found = Clock().clear(book, Terms(20, Ladder(2.0, 2)))
    assert found.payments.tolist() == [20]
    assert "Raise scale or budget" in found.notes[0]


def test_a_first_price_of_50_is_no_warning():
    book = BidBook.of(["a"], [[0, 0, 0]], [2], [10])
    assert Clock().clear(book, Terms(1000, Ladder(2.0, 2))).notes == ()


def test_a_table_for_each_party_needs_attested_sizes():
    book = BidBook.of(["a", "b"], [[0, 1]] * 2, [1, 1], [1, 2], dcap=[1, 3])
    quality = QualityTable(np.asarray([[0, 1], [0, 2]]), ("a", "b"))
    with pytest.raises(DataError, match="attested size 3 of party 'b'"):
        Clock().clear(book, Terms(10**6, Ladder(2.0, 1), quality=quality))


def test_a_party_without_a_row_in_the_quality_table_is_refused():
    book = BidBook.of(["a", "c"], [[0, 1]] * 2, [1, 1], [1, 2])
    quality = QualityTable(np.asarray([[0, 1], [0, 2]]), ("a", "b"))
    with pytest.raises(DataError, match="none for 'c'"):
        Clock().clear(book, Terms(10**6, Ladder(2.0, 1), quality=quality))


def test_rows_of_absent_parties_are_not_used():
    book = BidBook.of(["b"], [[0, 1]], [1], [2])
    quality = QualityTable(np.asarray([[0, 9], [0, 2]]), ("a", "b"))
    alone = QualityTable(np.asarray([[0, 2]]), ("b",))
    two, one = (
        Clock().clear(book, Terms(10**6, Ladder(2.0, 1), quality=q)) for q in (quality, alone)
    )
    assert two.payments.tolist() == one.payments.tolist()
    assert two.digest != one.digest


def test_size_exponent_pays_small_listings_more_per_record():
    party, d = ["a", "b"], [10, 1000]
    book = BidBook.of(party, [[0, 100, 250]] * 2, [2, 2], d)
    quality = power_quality(2, size_exponent=0.5, party=party, dcap=d)
    found = Clock().clear(book, Terms(10**9, Ladder(2.0, 2), quality=quality))
    per_record = found.payments / book.d
    assert per_record[0] > per_record[1] > 0


@pytest.mark.parametrize("module", [clock, grid, reach, arithmetic])
def test_no_float_clears(module):
    """The clearing divides and rounds whole numbers only."""
    tree = ast.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Div)
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float))
        assert "float" not in getattr(node, "attr", "")
