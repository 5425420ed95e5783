"""How much of each group a selection keeps: difficulty scores drop minorities first.

Source: section 3.8 of the specification. Rates are computed from the records without noise: they
are for the owner only, and leave as noisy histograms or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive_int
from equigrad.errors import ConfigError
from equigrad.valuation.base import Float64
from equigrad.valuation.select.selection import Selection

__all__ = ["LEAST_RATIO", "KeepRates", "keep_rates"]

LEAST_RATIO: Final = 0.8
"""Below this ratio of the smallest to the largest rate the owner is warned."""


@dataclass(frozen=True, eq=False)
class KeepRates:
    """The share kept of each group; for the records' owner only.

    Attributes
    ----------
    names
        Of the groups.
    kept, total
        ``(m,) int64`` records kept, and all, by group.
    rates
        ``(m,) float64`` in [0, 1]; NaN for a group without records.
    ratio
        Smallest rate over largest; NaN if nothing was kept or fewer than two groups have records.
    warnings
        What the owner must know.
    local
        True: nothing of this may leave the owner as it is.
    """

    names: tuple[str, ...]
    kept: npt.NDArray[np.int64]
    total: npt.NDArray[np.int64]
    rates: Float64
    ratio: float
    warnings: tuple[str, ...]
    local: bool = True

    def __str__(self) -> str:
        lines = [
            f"{name}: {'no records' if not total else f'{rate:.3f} of {total}'}"
            for name, rate, total in zip(
                self.names, self.rates.tolist(), self.total.tolist(), strict=True
            )
        ]
        return "\n".join(["kept, by group (for the owner only)", *lines, *self.warnings])


def keep_rates(
    selection: Selection | npt.ArrayLike,
    groups: npt.ArrayLike,
    names: Sequence[str] | None = None,
    *,
    n_groups: int | None = None,
) -> KeepRates:
    """Return the share kept of each class or sensitive group.

    Parameters
    ----------
    selection
        A selection, or its mask ``(n,) bool``.
    groups
        ``(n,)`` class or group of each record, 0..m-1.
    names
        Of the m groups; numbers by default.
    n_groups
        m, if there are groups without records and no names.

    Raises
    ------
    ConfigError
        If shapes, groups or names do not fit.
    """
    mask = np.asarray(selection.kept if isinstance(selection, Selection) else selection)
    given = np.asarray(groups)
    if mask.dtype != np.bool_ or mask.ndim != 1 or given.shape != mask.shape:
        raise ConfigError(
            f"Expected a mask (n,) of bool and groups (n,), got {mask.dtype} {mask.shape} and "
            f"{given.shape}."
        )
    if given.size and (given.dtype.kind not in "iu" or given.min() < 0):
        raise ConfigError(f"Expected groups numbered from 0, got {given.dtype} {given.min()}...")
    most = int(given.max()) + 1 if given.size else 0
    count = _number_of_groups(most, names, n_groups)
    total = np.bincount(given.astype(np.int64), minlength=count)
    kept = np.bincount(given[mask].astype(np.int64), minlength=count)
    with np.errstate(invalid="ignore"):
        rates = kept / total
    labels = tuple(map(str, range(count))) if names is None else tuple(names)
    present = rates[total > 0]
    sound = present.size > 1 and present.max() > 0
    ratio = float(present.min() / present.max()) if sound else float("nan")
    return KeepRates(labels, kept, total, rates, ratio, _words(labels, total, rates, ratio))


def _number_of_groups(most: int, names: Sequence[str] | None, n_groups: int | None) -> int:
    """Return m, which names or a number may state."""
    stated = n_groups if names is None else len(names)
    if stated is None:
        return most
    positive_int("n_groups", stated)
    if stated < most or (n_groups is not None and n_groups != stated):
        raise ConfigError(
            f"Expected groups in 0..{stated - 1}, got group {most - 1} with n_groups={n_groups}. "
            "Give a name for every group."
        )
    return stated


def _words(
    names: tuple[str, ...], total: npt.NDArray[np.int64], rates: Float64, ratio: float
) -> tuple[str, ...]:
    words = [f"Group {names[i]} has no records." for i in np.flatnonzero(total == 0)]
    if ratio < LEAST_RATIO:
        low, high = int(np.nanargmin(rates)), int(np.nanargmax(rates))
        words.append(
            f"Group {names[low]} keeps {rates[low]:.2f} of its records, group {names[high]} "
            f"{rates[high]:.2f}: a ratio of {ratio:.2f}, below {LEAST_RATIO}. Hard is not wrong; "
            "look at the group before you drop it."
        )
    if not np.nansum(rates):
        words.append("Nothing was kept of any group.")
    return tuple(words)
