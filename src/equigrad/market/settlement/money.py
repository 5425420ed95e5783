"""Money: whole ledger units of a currency, read from and written as decimal strings, never floats.

Neighbours: ``books`` moves units between accounts, ``entities`` says what they pay for.
"""

import re
from dataclasses import dataclass
from typing import Final

from equigrad.errors import ConfigError

__all__ = ["FULL_BPS", "MAX_UNITS", "Currency", "fee", "units"]

MAX_UNITS: Final = 2**62
"""Largest amount and largest balance, in ledger units."""

FULL_BPS: Final = 10_000
"""Basis points in a whole."""

_DECIMAL = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,15}")


def units(name: str, value: int, *, least: int = 0) -> int:
    """Return ``value`` if it is a whole number of ledger units in [least, 2^62].

    Raises
    ------
    ConfigError
        If it is a float, a boolean, too small or too large.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_UNITS:
        raise ConfigError(
            f"Expected {name} in whole ledger units from {least} to 2^62, got {value!r}. Read "
            "decimal strings with Currency.parse; no float ever holds money."
        )
    return value


def fee(paid: int, fee_bps: int) -> int:
    """Return the fee on ``paid`` units at ``fee_bps`` basis points: floor(paid * fee_bps / 10^4).

    Both must be whole numbers, ``paid`` in [0, 2^62] and ``fee_bps`` in [0, 10^4]; else
    ``ConfigError``. The fee never exceeds what was paid, and never falls when more is paid.
    """
    return units("paid", paid) * basis_points(fee_bps) // FULL_BPS


def basis_points(value: int) -> int:
    """Return ``value`` if it is a whole number of basis points from 0 to 10^4."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= FULL_BPS:
        raise ConfigError(f"Expected fee_bps a whole number from 0 to {FULL_BPS}, got {value!r}.")
    return value


@dataclass(frozen=True)
class Currency:
    """A currency and its ledger units.

    Guarantee: ``parse(format(x)) == x`` for every x in [0, 2^62]; nothing is ever rounded but a
    withdrawal, and that one down, with the rest left where it is.

    Attributes
    ----------
    code
        Name, a letter and up to 15 letters or digits.
    scale
        Ledger units to one currency unit, a power of ten.
    cents
        Smallest payable parts of one currency unit, a power of ten that is at most ``scale``.

    Raises
    ------
    ConfigError
        If an attribute is impossible.
    """

    code: str
    scale: int = 10**6
    cents: int = 100

    def __post_init__(self) -> None:
        if not isinstance(self.code, str) or not _CODE.fullmatch(self.code):
            raise ConfigError(
                f"Expected a currency's code of a letter and up to 15 letters or digits, got "
                f"{self.code!r}."
            )
        for name, value in (("scale", self.scale), ("cents", self.cents)):
            if type(value) is not int or str(value).strip("0") != "1" or value > 10**18:
                raise ConfigError(
                    f"Expected {name} a power of ten from 1 to 10^18, got {name}={value!r}."
                )
        if self.cents > self.scale:
            raise ConfigError(
                f"Expected cents <= scale, got cents={self.cents}, scale={self.scale}. Raise scale."
            )

    @property
    def decimals(self) -> int:
        """Decimals that ``scale`` holds."""
        return len(str(self.scale)) - 1

    def parse(self, text: str) -> int:
        """Return the ledger units of a decimal string such as ``"480.47"``, exactly.

        Raises
        ------
        ConfigError
            If the text is no plain decimal number (a sign, an exponent, a float object), has more
            decimals than ``scale`` holds, or is above 2^62 units.
        """
        if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
            raise ConfigError(
                f"Expected an amount as a decimal string such as '480.47', not negative, got "
                f"{text!r}."
            )
        whole, _, part = text.partition(".")
        if len(part) > self.decimals:
            raise ConfigError(
                f"Expected an amount of {self.code} with at most {self.decimals} decimals, got "
                f"{text!r} with {len(part)}. Raise scale, or round the amount yourself."
            )
        amount = int(whole) * self.scale + int(part.ljust(self.decimals, "0") or "0")
        if amount > MAX_UNITS:
            raise ConfigError(
                f"Expected an amount of at most 2^62 ledger units, got {text!r}, which is {amount} "
                f"at scale {self.scale}. Lower scale or the amount."
            )
        return amount

    def format(self, amount: int) -> str:
        """Return an amount in ledger units as a decimal string, with at least the cents."""
        whole, part = divmod(units("amount", amount), self.scale)
        least = len(str(self.cents)) - 1
        digits = str(part).rjust(self.decimals, "0") if self.decimals else ""
        digits = digits.rstrip("0").ljust(least, "0")
        return f"{whole}.{digits}" if digits else str(whole)

    def payable(self, amount: int) -> int:
        """Return the largest whole number of cents in ``amount``, in ledger units."""
        return units("amount", amount) - amount % (self.scale // self.cents)
