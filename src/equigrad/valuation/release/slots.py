"""Public places of records: how many there are, and which of them hold a record.

A release shows a number for every slot, so that the number of records is not among what it shows.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive_int
from equigrad.errors import ConfigError, DataError
from equigrad.valuation.base import Float64

__all__ = ["Slots", "slots_of"]


@dataclass(frozen=True, eq=False)
class Slots:
    """The public slots of an owner, and which the records at hand are in.

    Attributes
    ----------
    count
        Number of slots, public, >= 1.
    taken
        ``(n,) int64``: the slot of each record, all different, in 0..count-1. Private.

    Raises
    ------
    ConfigError
        If a slot is impossible or taken twice.
    """

    count: int
    taken: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        positive_int("count", self.count)
        taken = np.asarray(self.taken)
        sound = taken.ndim == 1 and (not taken.size or taken.dtype.kind in "iu")
        if sound and taken.size:
            sound = bool(taken.min() >= 0 and taken.max() < self.count)
            sound = sound and np.unique(taken).size == taken.size
        if not sound:
            raise ConfigError(
                f"Expected different slots in 0..{self.count - 1}, one for each record, got "
                f"{taken.tolist()[:5]}... of shape {taken.shape}."
            )
        object.__setattr__(self, "taken", taken.astype(np.int64))

    def spread(self, values: Float64, absent: float) -> Float64:
        """Return ``(count,)``: the records' values ``(n,)`` in their slots, others ``absent``."""
        full = np.full(self.count, absent, dtype=np.float64)
        full[self.taken] = values
        return full


def slots_of(slots: Slots | None, size: int) -> Slots:
    """Return ``slots``, by default one for each of ``size`` records and no other.

    Raises
    ------
    DataError
        If there is no record and no slot.
    ConfigError
        If the slots are of another number of records.
    """
    if slots is None:
        if not size:
            raise DataError("Expected at least one record, got none.")
        return Slots(size, np.arange(size))
    if slots.taken.size != size:
        raise ConfigError(
            f"Expected a slot for each of {size} records, got {slots.taken.size} slots."
        )
    return slots
