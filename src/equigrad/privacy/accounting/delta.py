"""What a delta may be, and a warning for one that promises nothing.

A mechanism that publishes one random record of N is (0, 1/N)-differentially private, so a delta of
1/N or more does not exclude it. Neighbours: trainers and accounts call this room when they start.
"""

import warnings

from equigrad._validate import in_range, positive_int

__all__ = ["LargeDeltaWarning", "checked_delta", "warn_large_delta"]


def checked_delta(delta: float) -> float:
    """Return ``delta`` if it lies in (0, 1), else raise ``ConfigError``."""
    return in_range("delta", delta, 0.0, 1.0, left_open=True, right_open=True)


class LargeDeltaWarning(UserWarning):
    """The delta of a privacy claim is not below one over the number of records."""


def warn_large_delta(delta: float, n_records: int, *, stacklevel: int = 2) -> None:
    """Warn with :class:`LargeDeltaWarning` if ``delta >= 1 / n_records``.

    Raises
    ------
    ConfigError
        If ``delta`` is not in (0, 1) or ``n_records`` is not a whole number >= 1.
    """
    checked_delta(delta)
    positive_int("n_records", n_records)
    if delta * n_records >= 1.0:
        warnings.warn(
            f"Expected delta below 1/{n_records} = {1.0 / n_records:.3g} for {n_records} records, "
            f"got delta={delta:g}. A delta this large allows whole records to be published; "
            "choose a smaller one.",
            LargeDeltaWarning,
            stacklevel=stacklevel + 1,
        )
