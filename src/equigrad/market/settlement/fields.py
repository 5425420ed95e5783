"""Checks of what commands and entities hold; each names the field, what was expected and got."""

import re
from fractions import Fraction

from equigrad.errors import ConfigError

__all__ = ["award_id", "count", "digest", "epsilon", "identifier", "nonce", "seconds"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NONCE = re.compile(r"(?:[0-9a-f]{2}){16,64}")
_EPSILON = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,12})?")
_LONG = 2**62


def identifier(name: str, value: str) -> str:
    """Return ``value`` if it names something: 1 to 64 letters, digits or ``. _ @ -``."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ConfigError(
            f"Expected {name} of 1 to 64 letters, digits or . _ @ - that begins with a letter or "
            f"digit, got {value!r}."
        )
    return value


def award_id(value: str) -> str:
    """Return ``value`` if it can be the id of an award, ``round/listing``."""
    round_, _, listing = value.partition("/") if isinstance(value, str) else ("", "", "")
    identifier("round of an award's id 'round/listing'", round_)
    identifier("listing of an award's id 'round/listing'", listing)
    return value


def digest(name: str, value: str) -> str:
    """Return ``value`` if it is a SHA-256 in 64 small hexadecimal digits."""
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ConfigError(f"Expected {name} as 64 small hexadecimal digits, got {value!r}.")
    return value


def nonce(value: str) -> str:
    """Return ``value`` if it is 16 to 64 bytes in small hexadecimal digits."""
    if not isinstance(value, str) or not _NONCE.fullmatch(value):
        raise ConfigError(
            f"Expected a nonce of 16 to 64 bytes in small hexadecimal digits, got {value!r}. Draw "
            "it from the operating system, afresh for every bid."
        )
    return value


def count(name: str, value: int, *, least: int = 0, most: int = _LONG) -> int:
    """Return ``value`` if it is a whole number in [least, most]."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigError(f"Expected {name} a whole number >= {least}, got {name}={value!r}.")
    return value


def seconds(name: str, value: int, *, least: int = 0) -> int:
    """Return ``value`` if it is a whole number of seconds, ``least`` or more, below 2^40."""
    return count(name, value, least=least, most=2**40)


def epsilon(name: str, value: str) -> Fraction:
    """Return the exact value of an epsilon > 0 written as a decimal string."""
    if not isinstance(value, str) or not _EPSILON.fullmatch(value) or not Fraction(value):
        raise ConfigError(f"Expected {name} > 0 as a decimal string such as '1.5', got {value!r}.")
    return Fraction(value)
