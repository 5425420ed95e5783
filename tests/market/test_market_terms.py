"""Terms, quality tables and clearings: what they hold and what they refuse."""

import numpy as np
import pytest

from equigrad.errors import ConfigError, DataError
from equigrad.market import BidBook, Ladder, QualityTable, Terms, power_quality
from equigrad.market.auctions import AllIn, Clock


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 0}, "budget"),
        ({"budget": 1.5}, "budget"),
        ({"budget": 2**62 + 1}, "budget <= 2\\^62"),
        ({"scale": 0}, "scale"),
        ({"tie": "smaller"}, "larger-level"),
        ({"grid": np.asarray([0, 1])}, "prices >= 1"),
        ({"grid": np.asarray([2, 2])}, "ascending"),
        ({"grid": np.asarray([], dtype=np.int64)}, "at least one"),
        ({"grid": np.asarray([2**62 + 1])}, "2\\^62"),
        ({"quality": QualityTable(np.arange(4))}, "steps of the ladder"),
    ],
)
def test_terms_that_are_none_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        Terms(**{"budget": 10, **change})


def test_a_grid_of_fractions_is_refused():
    with pytest.raises(DataError, match="integers"):
        Terms(10, grid=np.asarray([1.5]))


def test_every_term_is_in_the_digest():
    ladder = Ladder(2.0, 2)
    terms = [
        Terms(10, ladder),
        Terms(11, ladder),
        Terms(10, Ladder(2.5, 2)),
        Terms(10, Ladder(2.0, 3)),
        Terms(10, ladder, scale=10),
        Terms(10, ladder, mechanism="clock"),
        Terms(10, ladder, grid=np.asarray([1, 2])),
        Terms(10, ladder, quality=QualityTable(np.asarray([0, 1, 3]))),
        Terms(10, ladder, quality=QualityTable(np.asarray([[0, 1, 3]]), ("a",))),
        Terms(10, ladder, quality=QualityTable(np.asarray([[0, 1, 3]]), ("b",))),
    ]
    assert len({entry.digest for entry in terms}) == len(terms)
    assert Terms(10, Ladder(2.0, 2)).digest == terms[0].digest


@pytest.mark.parametrize(
    ("rows", "party", "message"),
    [
        ([1, 2], None, "0 at level 0"),
        ([0, 2, 1], None, "nondecreasing"),
        ([0], None, "shape"),
        ([[0, 1]], None, "shape"),
        ([0, 1], ("a",), "shape"),
        ([[0, 1]], ("a", "b"), "one quality row"),
        ([[0, 1], [0, 1]], ("b", "a"), "ascending"),
        ([0, 2**31], None, "2\\^31"),
    ],
)
def test_a_quality_table_that_is_none_is_refused(rows, party, message):
    with pytest.raises(ConfigError, match=message):
        QualityTable(np.asarray(rows), party)


def test_power_quality():
    assert power_quality(3).rows.tolist() == [0, 1, 2, 3]
    assert power_quality(4, quality_exponent=0.5).rows.tolist() == [0, 5000, 7071, 8660, 10000]
    table = power_quality(2, size_exponent=0.5, party=["b", "a"], dcap=[10, 30])
    assert table.party == ("a", "b")
    ratio = table.rows[1, 2] / table.rows[0, 2]
    assert ratio == pytest.approx(3**0.5, rel=1e-3)
    for change in ({"quality_exponent": 0}, {"size_exponent": -1}, {"size_exponent": 0.5}):
        with pytest.raises(ConfigError):
            power_quality(2, **change)
    with pytest.raises(ConfigError, match="Lower size_exponent"):
        power_quality(2, size_exponent=4, party=["a", "b"], dcap=[1, 10**6])


def test_a_clearing_says_what_everybody_sells():
    book = BidBook.of(["a", "b"], [[0, 10, 30], [0, 10**6, 10**6]], [2, 2], [7, 1])
    terms = Terms(5000, Ladder(2.0, 2), mechanism="clock")
    found = Clock().clear(book, terms)
    award = found.award("a")
    assert (award.party, award.level, award.eps) == ("a", 2, 2.0)
    assert found.costs.tolist() == [7 * 30, 0]
    assert found.spent == award.payment
    assert found.unspent == 5000 - award.payment
    assert found.shortfall == 0
    assert found.sellers.tolist() == [True, False]
    with pytest.raises(ConfigError, match="mechanism of the terms, 'clock', got 'all-in"):
        AllIn().clear(book, terms)
    with pytest.raises(DataError, match="'c'"):
        found.award("c")
