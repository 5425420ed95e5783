"""The amounts of a private run where one follows from another: rate, batch size, steps, counts.

Neighbour: :mod:`.settings`, which checks the rest.
"""

import math

from equigrad._validate import in_range, positive, positive_int
from equigrad.errors import ConfigError
from equigrad.privacy.clipping import ClippingRule

__all__ = ["counts_of", "one_of", "rate_and_size", "steps_of"]


def rate_and_size(n_rows: int, rate: float | None, size: float | None) -> tuple[float, float]:
    """Return q and L; the one that is missing follows from the other and N."""
    if rate is None and size is None:
        raise ConfigError(
            "Expected public_batch_size (the expected number of rows in a batch) or "
            "sampling_rate, got neither."
        )
    if size is not None:
        positive("public_batch_size", size)
    if rate is None and size is not None and size > n_rows:
        raise ConfigError(
            f"Expected public_batch_size of at most the number of rows, {n_rows}, got {size:g}. "
            "Take a smaller batch."
        )
    q = float(size or 0.0) / n_rows if rate is None else float(rate)
    in_range("sampling_rate", q, 0, 1, left_open=True)
    return q, q * n_rows if size is None else float(size)


def steps_of(rate: float, steps: int | None, epochs: float | None) -> int:
    """Return T."""
    one_of("steps", steps, "epochs", epochs)
    if steps is not None:
        return positive_int("steps", steps)
    return max(1, round(positive("epochs", epochs or 0.0) / rate))


def counts_of(rule: ClippingRule) -> tuple[tuple[float, float], ...]:
    """Return the counts of a step, for the joint event."""
    if rule.n_counts == 0:
        return ()
    noise = rule.count_noise
    if noise is None or not noise > 0 or not math.isfinite(noise):
        raise ConfigError(
            f"Expected noise > 0 on the counts of the clipping rule {rule.name!r}, got {noise!r}. "
            "Set its count_noise."
        )
    return ((float(rule.count_sensitivity), float(noise)),)


def one_of(one: str, first: object, other: str, second: object) -> None:
    """Raise unless exactly one of two settings is given."""
    if (first is None) == (second is None):
        got = "neither" if first is None else "both"
        raise ConfigError(f"Expected exactly one of {one} and {other}, got {got}.")
