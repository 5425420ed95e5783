"""Curves, ladder, canonical bids and the book: what they hold and what they refuse."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equigrad.errors import ConfigError, DataError
from equigrad.market import (
    Bid,
    BidBook,
    Curve,
    Ladder,
    bid_tables,
    canonical_bid,
    curve_values,
)
from equigrad.market.ladder import LEAST_STEP

LADDER = Ladder(2.0, 4)


@pytest.mark.parametrize("kind", ["quad", "sqrt", "linear", "exp"])
def test_curves_start_at_zero_and_never_fall(kind):
    eps = np.linspace(0, 5, 200)
    values = Curve(kind, 0.7)(eps)
    assert values[0] == 0
    assert (np.diff(values) > 0).all()


def test_a_table_is_linear_between_points_jumps_up_and_ends():
    curve = Curve("table", 2.0, ((0.5, 0.3), (1, 0.5), (1, 0.7), (1.5, 1.2)))
    got = curve([0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 9])
    np.testing.assert_allclose(got, [0, 0.3, 0.6, 0.8, 1.4, 1.9, 2.4, 2.4])
    assert curve.cap == 1.5
    assert Curve("table", 1.0, ((0.0, 0.0), (1, 1)))(0.5) == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cubic",), "kind to be one of exp, linear, quad, sqrt, table"),
        (("quad", 0.0), "factor"),
        (("quad", -1.0), "factor"),
        (("quad", float("nan")), "factor"),
        (("quad", 1.0, ((1, 1),)), "points for kind='table' only"),
        (("table",), "at least one point"),
        (("table", 1.0, ((0, 0),)), "at least one point"),
        (("table", 1.0, ((0, 0.1), (1, 1))), r"v\(0\) = 0"),
        (("table", 1.0, ((1, 1), (0.5, 2))), "nondecreasing"),
        (("table", 1.0, ((1, 1), (2, 0.5))), "nondecreasing"),
        (("table", 1.0, ((1, -1),)), "finite and >= 0"),
        (("table", 1.0, ((1, float("nan")),)), "finite and >= 0"),
    ],
)
def test_a_curve_that_is_none_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Curve(*arguments)


def test_many_curves_are_each_curve():
    curves = [Curve("quad", 0.5), Curve("table", 1.0, ((1, 1),)), Curve("exp", 2.0), Curve("sqrt")]
    eps = LADDER.levels
    slow = np.stack([curve(eps) for curve in curves])
    np.testing.assert_array_equal(curve_values(curves, eps), slow)
    own = np.arange(20).reshape(4, 5) / 7
    slow = np.stack([curve(row) for curve, row in zip(curves, own, strict=True)])
    np.testing.assert_array_equal(curve_values(curves, own), slow)
    with pytest.raises(ConfigError, match="eps >= 0"):
        curve_values(curves, [-0.1])


def test_the_cap_of_a_ladder_forgives_rounding():
    ladder = Ladder(0.3, 3)
    assert ladder.top_level([0.05, 0.1, 0.2, 0.30000000000000004, 7]).tolist() == [0, 1, 2, 3, 3]
    assert ladder.top_level(0.1 - 1e-13) == 1
    np.testing.assert_allclose(ladder.eps([1, 2], parts=4), [0.025, 0.05])
    for cap in (0, -1, np.nan, np.inf):
        with pytest.raises(ConfigError, match="eps_cap"):
            ladder.top_level([1, cap])


@pytest.mark.parametrize(
    ("eps_max", "steps"),
    [(0, 3), (np.inf, 3), (1, 0), (1, 5000), (1, 1.5), (1e-300, 3), (2.9e-9, 3)],
)
def test_a_ladder_that_is_none_is_refused(eps_max, steps):
    with pytest.raises(ConfigError):
        Ladder(eps_max, steps)


def test_the_finest_ladder_tells_its_levels_apart():
    """Caps are compared with a slack of 1e-12; a level above a cap must stay above it."""
    ladder = Ladder(LEAST_STEP * 4, 4)
    assert ladder.top_level(ladder.levels[1:]).tolist() == [1, 2, 3, 4]
    assert ladder.top_level(ladder.levels[1:] * 0.99).tolist() == [0, 1, 2, 3]


def test_a_bid_is_rounded_up_at_the_party():
    bid = canonical_bid("a", Curve("linear", 0.1), 1.2, 7, LADDER, scale=7, listing="x", terms="t")
    assert bid.table == (0, 1, 2, 3, 3)  # ceil(7 * 0.1 * 2 eps)
    assert (bid.cap_level, bid.size) == (2, 7)
    assert Bid.from_bytes(bid.to_bytes()) == bid
    assert len(bid.digest) == 64


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=12))
def test_a_table_covers_the_curve_and_never_falls(values):
    values = [0.0, *values]
    table = bid_tables(values, 1000)
    assert (np.diff(table) >= 0).all()
    assert (table >= 1000 * np.asarray(values)).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, -1], ">= 0"),
        ([0, np.nan], "finite"),
        ([0, np.inf], "finite"),
        ([1, 2], "selling nothing costs nothing"),
        ([0, 1e15], "Lower scale"),
    ],
)
def test_a_price_that_is_none_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        bid_tables(values)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"party":"a"}',
        b'{"cap_level":1,"listing":"","party":"a","size":1,"table":[0, 1],"terms":""}',
        b'{"cap_level":1,"listing":"","party":"a","size":1.0,"table":[0,1],"terms":""}',
        b'{"cap_level":1,"extra":1,"listing":"","party":"a","size":1,"table":[0,1],"terms":""}',
    ],
)
def test_bytes_that_are_not_canonical_are_refused(content):
    with pytest.raises(DataError, match="canonical bytes"):
        Bid.from_bytes(content)


def bids():
    return [Bid("b", (0, 2, 4), 1, 3, terms="t"), Bid("a", (0, 1, 1), 2, 5, terms="t")]


def test_a_book_is_sorted_by_party_and_read_only():
    book = BidBook.gather(bids(), size_caps={"b": 9}, level_caps={"a": 1}, terms="t")
    assert book.party.tolist() == ["a", "b"]
    assert book.u.tolist() == [[0, 1, 1], [0, 2, 4]]
    assert (book.d.tolist(), book.dcap.tolist()) == ([5, 3], [5, 9])
    assert (book.kcap.tolist(), book.kbar.tolist(), book.limit.tolist()) == ([2, 1], [1, 2], [1, 1])
    with pytest.raises(ValueError, match="read-only"):
        book.u[0, 0] = 1
    assert BidBook.gather(bids()[::-1]).digest == BidBook.gather(bids()).digest
    assert book.digest != BidBook.gather(bids()).digest
    assert book.row("b") == 1
    with pytest.raises(DataError, match="'c'"):
        book.row("c")


def test_a_book_of_curves_is_the_book_of_their_bids():
    curves = [Curve("exp", 0.3), Curve("table", 1.0, ((1.1, 1),))]
    slow = BidBook.gather(
        canonical_bid(name, curve, cap, size, LADDER)
        for name, curve, cap, size in zip("ab", curves, (0.7, 9.0), (2, 3), strict=True)
    )
    assert BidBook.from_curves(["a", "b"], curves, [0.7, 9.0], [2, 3], LADDER).digest == slow.digest
    assert slow.kcap.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"party": "b"}, "two of 'b'"),
        ({"size": 0}, "size d >= 1, got 0 of party 'a'"),
        ({"size": -1}, "size d >= 1"),
        ({"size": 1.5}, "integers"),
        ({"size": 2**63}, "integers"),
        ({"cap_level": 3}, r"kcap in \[0, 2\], got 3 of party 'a'"),
        ({"cap_level": -1}, "kcap"),
        ({"table": (0, 2, 1)}, "nondecreasing"),
        ({"table": (1, 2, 3)}, r"u\[0\] = 0"),
        ({"table": (0, 1, 2**62 + 1)}, "2\\^62"),
        ({"table": (0, 1)}, "levels in every bid"),
        ({"terms": "other"}, "another round"),
        ({"party": ""}, "names of one line"),
        ({"party": "a\nb"}, "names of one line"),
    ],
)
def test_a_bid_that_breaks_the_rules_is_refused_by_party(change, message):
    first, second = bids()
    broken = dataclasses.replace(second, **change)
    with pytest.raises(DataError, match=message):
        BidBook.gather([first, broken], terms="t")


def test_a_size_above_the_attested_one_is_refused():
    with pytest.raises(DataError, match="at most the attested size, got 5 of party 'a'"):
        BidBook.gather(bids(), size_caps={"a": 4})
    with pytest.raises(DataError, match="dcap"):
        BidBook.of(["a"], [[0, 1]], [1], [1], dcap=[0])
    with pytest.raises(DataError, match="kbar"):
        BidBook.of(["a"], [[0, 1]], [1], [1], kbar=[2])


def test_shapes_are_checked():
    with pytest.raises(DataError, match="shape"):
        BidBook.of(["a", "b"], [[0, 1]], [1], [1])
    with pytest.raises(DataError, match="kcap of shape"):
        BidBook.of(["a"], [[0, 1]], [1, 1], [1])
    with pytest.raises(DataError, match="at least one bid"):
        BidBook.gather([])


def test_another_report_is_checked_and_leaves_the_book():
    book = BidBook.gather(bids())
    lied = book.with_report(0, u=[0, 9, 9], kcap=0, d=1)
    assert (lied.u[0].tolist(), lied.kcap[0], lied.d[0], lied.dcap[0]) == ([0, 9, 9], 0, 1, 5)
    assert book.u[0].tolist() == [0, 1, 1]
    with pytest.raises(DataError, match="nondecreasing"):
        book.with_report(0, u=[0, 9, 8])
    with pytest.raises(DataError, match="attested"):
        book.with_report(1, d=4)
