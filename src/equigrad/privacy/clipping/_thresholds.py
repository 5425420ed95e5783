"""What the rules with a moving bound share: the half-shifted count and the clamped step."""

import math

from torch import Tensor

from equigrad._validate import in_range, positive
from equigrad.errors import ConfigError

__all__ = ["check_bounds", "check_loaded", "geometric_step", "geometric_steps"]

# exp(700) is near the largest double: beyond it only the clamp can be the answer.
_MOST = 700.0


def geometric_step(value: float, exponent: float, low: float, high: float) -> float:
    """Return ``value * exp(exponent)`` clamped to ``[low, high]``, for any finite exponent."""
    return min(max(value * math.exp(min(max(exponent, -_MOST), _MOST)), low), high)


def geometric_steps(values: Tensor, exponents: Tensor, low: float, high: float) -> Tensor:
    """Return :func:`geometric_step` of each of ``values (K,)`` with its exponent."""
    return (values * exponents.clamp(-_MOST, _MOST).exp()).clamp(low, high)


def check_bounds(name: str, value: float, low: float, high: float) -> tuple[float, float, float]:
    """Return start, least and greatest value of a moving bound, or raise ``ConfigError``."""
    value = float(positive(name, value))
    low, high = float(positive(f"{name}_min", low)), float(positive(f"{name}_max", high))
    if not low <= value <= high:
        raise ConfigError(
            f"Expected {name}_min <= {name} <= {name}_max, got {low:g}, {value:g}, {high:g}. "
            f"Give {name}_min and {name}_max that hold the starting value."
        )
    return value, low, high


def check_loaded(name: str, value: object, low: float, high: float) -> float:
    """Return a bound read from a state, if it lies within its public clamps."""
    return float(in_range(name, value, low, high))  # type: ignore[arg-type]  # it checks the type
