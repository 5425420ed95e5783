"""Money in integers: conversion, saturating arithmetic, canonical bytes."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equigrad.errors import ConfigError
from equigrad.market import MOST_UNITS, from_units, to_units
from equigrad.market.arithmetic import exact_sum, saturating_cumsum, saturating_product, split
from equigrad.market.canonical import array_bytes, canonical_json, sha256

amounts = st.integers(0, 2**62 + 1)


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        ("480.47", 480_470_000),
        ("0.000001", 1),
        (3, 3_000_000),
        (Decimal("1e3"), 10**9),
        (" 2 ", 2 * 10**6),
    ],
)
def test_currency_becomes_units_exactly(amount, units):
    assert to_units(amount) == units
    assert from_units(units) == Decimal(str(amount).strip())


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        ("0", "> 0"),
        ("-1", "> 0"),
        ("nan", "> 0"),
        ("inf", "> 0"),
        ("0.0000001", "more decimals"),
        ("1/3", "decimal string"),
        ("", "decimal string"),
        ("1_000", "at most one point"),
        ("٣", "at most one point"),
        ("1,5", "at most one point"),
        (0.5, "never a float"),
        (True, "never a float"),
        ("1e13", "2\\^62"),
        ("1e999999", "1e40"),
        ("1e-999999", "1e40"),
    ],
)
def test_an_amount_that_is_none_is_refused(amount, message):
    with pytest.raises(ConfigError, match=message):
        to_units(amount)


def test_the_largest_amount():
    assert to_units(str(MOST_UNITS), 1) == 2**62
    with pytest.raises(ConfigError, match="Lower scale"):
        to_units(str(MOST_UNITS + 1), 1)


@given(st.lists(st.tuples(amounts, amounts), min_size=1, max_size=9), amounts)
def test_a_product_saturates_and_never_wraps(pairs, limit):
    a, b = np.asarray(pairs, dtype=np.int64).T
    want = [min(int(x) * int(y), limit) for x, y in pairs]
    assert saturating_product(a, b, limit).tolist() == want


@given(st.lists(amounts, min_size=1, max_size=20), amounts)
def test_sums_are_exact_or_saturate(values, limit):
    array = np.asarray(values, dtype=np.int64)
    assert exact_sum(array) == sum(values)
    want = [min(sum(values[: i + 1]), limit) for i in range(len(values))]
    assert saturating_cumsum(*split(array), limit).tolist() == want


def test_canonical_bytes_hold_no_float():
    assert canonical_json({"b": [1, "é"], "a": None}) == b'{"a":null,"b":[1,"\\u00e9"]}'
    for value in (0.5, [1, {"a": 2.0}], {"a": (1.0,)}):
        with pytest.raises(TypeError, match="float"):
            canonical_json(value)


def test_digests_tell_parts_and_shapes_apart():
    assert sha256(b"ab", b"c") != sha256(b"a", b"bc")
    row = np.arange(4)
    assert array_bytes(row) != array_bytes(row.reshape(2, 2))
    assert array_bytes(row) == array_bytes(row.astype(">i8"))
