"""Money: exact parsing and formatting, fees and cents."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.errors import ConfigError
from equigrad.market.settlement import MAX_UNITS, Currency, LedgerEntry, Posting, fee, wallet

EUR = Currency("EUR")
SCALES = st.integers(0, 9).map(lambda n: 10**n)
AMOUNTS = st.integers(0, MAX_UNITS)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("480.47", 480_470_000),
        ("0", 0),
        ("0.000001", 1),
        ("007.10", 7_100_000),
        ("4611686018427.387904", MAX_UNITS),
    ],
)
def test_a_decimal_string_is_read_exactly(text, amount):
    assert EUR.parse(text) == amount


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.0000001", "at most 6 decimals"),
        ("1.0000000", "at most 6 decimals"),
        ("4611686018427.387905", r"2\^62"),
        ("9" * 30, r"2\^62"),
        ("-1", "not negative"),
        ("+1", "decimal string"),
        ("1e3", "decimal string"),
        ("1,000", "decimal string"),
        (" 1", "decimal string"),
        ("1.", "decimal string"),
        (".5", "decimal string"),
        ("", "decimal string"),
        ("NaN", "decimal string"),
        ("inf", "decimal string"),
        ("١", "decimal string"),  # a digit, but not one of ours
        (480.47, "decimal string"),
        (Decimal("1"), "decimal string"),
    ],
)
def test_what_is_no_amount_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        EUR.parse(text)


@given(scale=SCALES, amount=AMOUNTS)
def test_what_is_written_is_read_again(scale, amount):
    currency = Currency("X", scale=scale, cents=min(scale, 100))
    text = currency.format(amount)
    assert currency.parse(text) == amount
    assert Fraction(text) * scale == amount


def test_amounts_show_their_cents():
    assert [EUR.format(n) for n in (0, 1, 10**6, 1_500_000)] == ["0.00", "0.000001", "1.00", "1.50"]
    assert Currency("JPY", scale=1, cents=1).format(7) == "7"


@given(paid=AMOUNTS, bps=st.integers(0, 10_000))
def test_a_fee_is_rounded_down(paid, bps):
    charge = fee(paid, bps)
    assert charge <= Fraction(paid * bps, 10_000) < charge + 1
    assert charge <= paid


@given(amount=AMOUNTS)
def test_a_withdrawal_is_rounded_down_to_the_cent(amount):
    paid = EUR.payable(amount)
    assert paid % 10_000 == 0
    assert 0 <= amount - paid < 10_000


@pytest.mark.parametrize("bad", [-1, 10_001, 2.5, True, "1"])
def test_a_fee_outside_its_range_is_refused(bad):
    with pytest.raises(ConfigError, match="fee_bps"):
        fee(1, bad)


@pytest.mark.parametrize("bad", [-1, MAX_UNITS + 1, 1.0, True, "1", None])
def test_units_are_whole_numbers(bad):
    for function in (EUR.format, EUR.payable, lambda n: fee(n, 1)):
        with pytest.raises(ConfigError, match="whole ledger units"):
            function(bad)


@pytest.mark.parametrize(
    "bad", [{"scale": 0}, {"scale": 50}, {"scale": 10.0}, {"cents": 10**7}, {"code": "E:R"}]
)
def test_a_currency_that_cannot_be_is_refused(bad):
    with pytest.raises(ConfigError, match="Expected"):
        Currency(**({"code": "EUR"} | bad))


@settings(max_examples=30)
@given(amounts=st.lists(st.integers(-5, 5), max_size=5))
def test_an_entry_knows_what_it_is_off_by(amounts):
    places = [wallet("ann", "EUR" if i % 2 else "USD") for i in range(len(amounts))]
    entry = LedgerEntry("k", 1, tuple(map(Posting, places, amounts)))
    assert sum(entry.imbalance.values()) == sum(amounts)
