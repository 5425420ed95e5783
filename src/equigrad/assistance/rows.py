"""Which rows the residual is sent for, which weigh the parties, which end the training.

Neighbours: ``sponsor`` keeps to them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from equigrad._validate import choice, in_range
from equigrad.assistance.arrays import Int64
from equigrad.errors import ConfigError

__all__ = ["LEAST_FOR_HOLDOUT", "LEAST_FOR_VALIDATION", "Rows", "all_rows", "split_rows"]

LEAST_FOR_VALIDATION: Final = 50
LEAST_FOR_HOLDOUT: Final = 10
LEAST_HELD_OUT: Final = 2
WEIGH_ON: Final = ("train", "holdout")


@dataclass(frozen=True)
class Rows:
    """Numbers of the sponsor's rows, each sorted.

    Attributes
    ----------
    fit
        Their residuals are sent.
    weigh
        Weights and steps are found on them: those of ``fit``, or rows held out from everyone.
    stop
        They choose the number of rounds; may be empty. Residuals of held-out rows are sent to
        nobody.
    """

    fit: Int64
    weigh: Int64
    stop: Int64

    @property
    def holdout(self) -> bool:
        """True if weights are found on rows that nobody was sent."""
        return not np.array_equal(self.fit, self.weigh)


def all_rows(n_rows: int) -> Rows:
    """Return rows of which none is held out."""
    every = np.arange(n_rows)
    return Rows(every, every, every[:0])


def split_rows(
    n_rows: int,
    classes: Int64 | None,
    *,
    weigh_on: str,
    validate: bool,
    fraction: float,
    generator: np.random.Generator,
) -> Rows:
    """Return the rows of a training.

    Parameters
    ----------
    n_rows
        N.
    classes
        ``(N,)`` class numbers by which held-out rows are stratified; None for regression, and
        under a label mechanism (which rows are held out would tell of labels). A class with one row
        stays among those that are sent.
    weigh_on
        ``"train"`` or ``"holdout"``: a ``fraction`` of the rows.
    validate
        Hold out rows that end the training, too: the ``fraction``, in holdout mode half as many.
        Only with 50 rows or more.
    fraction
        In (0, 0.3].
    generator
        Chooses the rows.

    Raises
    ------
    ConfigError
        If a value is impossible, or there are fewer than 10 rows to hold some out.
    """
    choice("weigh_on", weigh_on, WEIGH_ON)
    in_range("validation_fraction", fraction, 0.0, 0.3, left_open=True)
    validate = validate and n_rows >= LEAST_FOR_VALIDATION
    every = np.arange(n_rows)
    if weigh_on == "train":
        stop = _held_out(n_rows, classes, fraction, generator) if validate else every[:0]
        stop = stop if len(stop) >= LEAST_HELD_OUT else every[:0]
        fit = np.setdiff1d(every, stop)
        return Rows(fit, fit, stop)
    chosen = _held_out(n_rows, classes, 1.5 * fraction if validate else fraction, generator)
    if n_rows < LEAST_FOR_HOLDOUT or len(chosen) < LEAST_HELD_OUT:
        raise ConfigError(
            f"Expected at least {LEAST_FOR_HOLDOUT} rows, and two to hold out, with "
            f"weigh_on='holdout'; got {n_rows} and {len(chosen)}. Choose weigh_on='train'."
        )
    stop = np.sort(chosen[2::3]) if validate else every[:0]
    stop = stop if len(stop) >= LEAST_HELD_OUT else every[:0]
    weigh = np.setdiff1d(chosen, stop)
    return Rows(np.setdiff1d(every, chosen), weigh, stop)


def _held_out(
    n_rows: int, classes: Int64 | None, fraction: float, generator: np.random.Generator
) -> Int64:
    """Return a share of the rows, of each class alike, in order of class."""
    order = generator.permutation(n_rows)
    if classes is not None:
        counts = np.bincount(classes)
        order = order[counts[classes[order]] > 1]
        order = order[np.argsort(classes[order], kind="stable")]
    ticks = np.floor(np.arange(len(order) + 1) * fraction + 0.5)
    return np.asarray(order[np.diff(ticks) > 0])
