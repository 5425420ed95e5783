"""What one step of a private training costs a record, by the norm of its gradient.

Neighbours: ``individual`` adds steps up, ``individual_filter`` stops records before they cost more.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from equigrad._validate import in_range, positive
from equigrad.errors import DataError
from equigrad.privacy.accounting.events import PrivacyEvent
from equigrad.privacy.accounting.joint import checked_counts
from equigrad.privacy.accounting.renyi import Renyi

__all__ = ["N_LEVELS", "ORDERS", "StepCost", "checked_norms", "individual_level"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

N_LEVELS: Final = 10
ORDERS: Final = tuple([1 + x / 10 for x in range(1, 100)] + [*range(11, 64), 128, 256, 512, 1024])


def individual_level(norms: npt.ArrayLike, clip: float) -> Int64:
    """Return the level of each norm: the least ``l`` in 1..10 with ``l C/10 >= min(norm, C)``.

    Norms are rounded **up**, so no loss is ever counted too low. NaN (a norm that was not computed)
    and infinity count as C; 0 is at level 1.

    Parameters
    ----------
    norms
        >= 0, or NaN; any shape.
    clip
        C > 0.

    Returns
    -------
    numpy.ndarray
        int64, 1..10, in the shape of ``norms``.

    Raises
    ------
    ConfigError
        If ``clip`` is not positive.
    DataError
        If a norm is negative.
    """
    values = checked_norms(norms)
    below = _grid(positive("clip", clip))[:-1]
    return np.where(np.isnan(values), N_LEVELS, 1 + np.searchsorted(below, values, side="left"))


def _grid(clip: float) -> Float64:
    """Return the norms that stand for the levels; the last is the bound itself."""
    return np.append(clip * np.arange(1, N_LEVELS) / N_LEVELS, clip)


class StepCost:
    """What one step costs a record, by the norm of its gradient.

    Parameters
    ----------
    clip
        C > 0, the bound on a record's contribution.
    noise_multiplier
        s > 0: the noise on the sum has the standard deviation ``s C``.
    sampling_rate
        q in (0, 1] of Poisson sampling.
    counts
        Pairs (L2 sensitivity, noise standard deviation) of counts released in the same step, which
        cost every record in full; see ``joint``.

    Raises
    ------
    ConfigError
        If a number is impossible.
    """

    def __init__(
        self,
        clip: float,
        noise_multiplier: float,
        sampling_rate: float = 1.0,
        counts: Iterable[Iterable[float]] = (),
    ) -> None:
        self.clip = float(positive("clip", clip))
        self.noise_multiplier = float(positive("noise_multiplier", noise_multiplier))
        self.sampling_rate = float(
            in_range("sampling_rate", sampling_rate, 0.0, 1.0, left_open=True)
        )
        self.counts = checked_counts(counts)

    def rho(self, norms: npt.ArrayLike) -> Float64:
        """Return ``min(norm, C)^2 / (2 s^2 C^2)``, and what the counts cost, without sampling.

        NaN and infinity count as C; no rounding. In the shape of ``norms``.
        """
        values = checked_norms(norms)
        share = np.where(np.isnan(values), 1.0, np.minimum(values, self.clip) / self.clip)
        joint = math.fsum((d / b) ** 2 for d, b in self.counts)
        return np.asarray(0.5 * ((share / self.noise_multiplier) ** 2 + joint))

    def renyi_table(self, orders: Sequence[float]) -> Float64:
        """Return Rényi divergence bounds of one step, ``(10 levels, orders)``."""
        rows = []
        for rho in self.rho(_grid(self.clip)):
            step = PrivacyEvent(
                noise_multiplier=1.0 / math.sqrt(2.0 * rho), sampling_rate=self.sampling_rate
            )
            rows.append(Renyi(orders).compose(step.dp_event()).rdp)
        return _sound(np.stack(rows), orders)


def _sound(table: Float64, orders: Sequence[float]) -> Float64:
    """Return the table with what came out numerically unstable bounded by higher orders.

    Divergences do not fall with the order, so those of higher orders bound it.
    """
    rank = np.argsort(orders)[::-1]
    sorted_down = np.where(table > 0.0, table, np.inf)[:, rank]
    found = np.empty_like(table)
    found[:, rank] = np.minimum.accumulate(sorted_down, axis=1)
    return found


def checked_norms(norms: npt.ArrayLike) -> Float64:
    """Return norms as float64; raise ``DataError`` if one is negative."""
    values = np.asarray(norms, dtype=np.float64)
    if bool((values < 0.0).any()):
        first = np.flatnonzero(values.reshape(-1) < 0.0)[:3].tolist()
        raise DataError(
            f"Expected norms >= 0 (NaN where not computed), got negative ones at {first}."
        )
    return values
