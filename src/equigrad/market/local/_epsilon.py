"""Epsilons that an upload may have. Neighbours: every mechanism takes its epsilon here."""

import math
from fractions import Fraction
from typing import Final

from equigrad._validate import in_range, positive

__all__ = ["MOST_EPSILON", "as_epsilon", "positive_epsilon"]

MOST_EPSILON: Final = 100.0
"""Largest epsilon of one upload: above it nothing is protected, and exponentials overflow."""


def as_epsilon(epsilon: float | Fraction) -> float:
    """Return an epsilon in [0, 100] as a float that is not larger.

    Raises
    ------
    ConfigError
        If it is negative, NaN or too large.
    """
    value = float(epsilon)
    if isinstance(epsilon, Fraction) and Fraction(value) > epsilon:
        value = math.nextafter(value, 0.0)
    return float(in_range("epsilon", value, 0.0, MOST_EPSILON))


def positive_epsilon(epsilon: float | Fraction) -> float:
    """Return an epsilon in (0, 100] as a float that is not larger, or raise ``ConfigError``."""
    return float(positive("epsilon", as_epsilon(epsilon)))
