"""Ledger units: the integers that hold all money, and their way from and to currency.

``scale`` ledger units make one currency unit (default :data:`SCALE`). No float holds money.
"""

from decimal import Decimal, InvalidOperation

from equigrad._validate import positive_int
from equigrad.errors import ConfigError

__all__ = ["MOST_UNITS", "SCALE", "from_units", "to_units"]

SCALE = 10**6
"""Ledger units to one currency unit, unless stated otherwise."""

MOST_UNITS = 2**62
"""Largest amount of money, budget or price per record, in ledger units."""


def to_units(amount: str | int | Decimal, scale: int = SCALE, *, name: str = "budget") -> int:
    """Return a positive amount of currency in ledger units, exactly.

    Parameters
    ----------
    amount
        A decimal string such as ``"480.47"``, an integer or a ``Decimal``; never a float.
    scale
        Ledger units to one currency unit, >= 1.
    name
        What the amount is called in error messages.

    Raises
    ------
    ConfigError
        If the amount is no number, not positive, has more decimals than ``scale`` holds, or is
        above ``2**62`` units.
    """
    positive_int("scale", scale)
    if isinstance(amount, bool) or not isinstance(amount, str | int | Decimal):
        raise ConfigError(
            f'Expected {name} as a decimal string such as "480.47", got {amount!r}: '
            "money is never a float."
        )
    try:
        value = Decimal(_plain(amount) if isinstance(amount, str) else amount)
    except InvalidOperation:
        raise ConfigError(
            f'Expected {name} as a decimal string such as "480.47", got {amount!r}. '
            "Write digits and at most one point."
        ) from None
    if not value.is_finite() or value <= 0:
        raise ConfigError(f"Expected {name} > 0, got {amount!r}.")
    if value.adjusted() > 40 or value.adjusted() < -40:  # before 10^... is written out
        raise ConfigError(f"Expected {name} of 1e-40 to 1e40 at most, got {amount!r}.")
    numerator, denominator = value.as_integer_ratio()
    units, rest = divmod(numerator * scale, denominator)
    if rest:
        raise ConfigError(
            f"Expected {name} with no more decimals than scale={scale} holds, got {amount!r}. "
            "Round it, or raise scale."
        )
    if units > MOST_UNITS:
        raise ConfigError(
            f"Expected {name} of at most 2^62 ledger units, got {amount!r} at scale={scale}. "
            "Lower scale, or split the budget over rounds."
        )
    return units


def from_units(units: int, scale: int = SCALE) -> Decimal:
    """Return ``units`` ledger units as currency, exactly where ``scale`` is a power of ten."""
    return Decimal(int(units)) / Decimal(scale)


def _plain(text: str) -> str:
    """Return text without blanks around it; none where ``Decimal`` takes more than we do."""
    return "" if "_" in text or not text.isascii() else text.strip()
