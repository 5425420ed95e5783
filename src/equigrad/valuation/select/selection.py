"""A selection: which records a training sees, and what the training has to be charged for that."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equigrad.errors import ConfigError, DataError, PrivacyError
from equigrad.privacy.accounting import SEEDED_MARK, PrivacyEvent
from equigrad.privacy.accounting.relations import ADD_OR_REMOVE_ONE, REPLACE_ONE

__all__ = ["TERMS", "Selection"]

TERMS: Final = (
    "Do not release how many records were selected, nor anything made from that number.",
    "Sample at a rate q that is fixed without the selection, not batch size over its size.",
    "Divide noisy sums by q n_public, the declared number of all records.",
    "Fix steps, learning rate and all other settings without looking at the selection.",
)
"""What the training has to keep to, so that the selection costs nothing more than it says."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Selection:
    """The records that a selector chose; for their owner.

    Attributes
    ----------
    kept
        ``(n,) bool``, read-only, in the order of the records. Private, its sum included.
    selector, settings, scorer
        Who chose, and by which scores; no scorer for controls.
    stability, neighbouring
        What the training is charged: see :meth:`training` and :meth:`charged`.
    events
        What the selection itself released.
    paid
        False if that was charged to no account: whoever called composes the events.
    released
        The values that the events cover, by name; they may be shown.
    seeded
        True if noise of scores or selection came from a seed.
    private
        Whether a private training may use it.
    warnings
        For the owner only: they follow from the records.
    """

    kept: npt.NDArray[np.bool_]
    selector: str
    stability: int
    neighbouring: str
    scorer: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[PrivacyEvent, ...] = ()
    paid: bool = True
    released: Mapping[str, Any] = field(default_factory=dict)
    seeded: bool = False
    private: bool = True
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        kept = np.array(self.kept)
        if kept.ndim != 1 or kept.dtype != np.bool_:
            raise DataError(f"Expected a mask (n,) of bool, got {kept.dtype} {kept.shape}.")
        kept.setflags(write=False)
        object.__setattr__(self, "kept", kept)
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))
        object.__setattr__(self, "released", MappingProxyType(dict(self.released)))
        object.__setattr__(self, "warnings", (*self.warnings, *self._own_warnings()))

    def __len__(self) -> int:
        return int(self.kept.size)

    @property
    def indices(self) -> npt.NDArray[np.int64]:
        """The kept records' numbers, ascending; private."""
        return np.flatnonzero(self.kept)

    def training(self) -> dict[str, Any]:
        """Return what a private training on the selection must be told.

        ``PrivateTrainer(..., **selection.training())``: ``neighbouring`` and ``stability``. An
        accountant that has no price for them refuses; nothing cheaper would be true.

        Raises
        ------
        PrivacyError
            If it was chosen without privacy.
        """
        self._refuse_research()
        return {"neighbouring": self.neighbouring, "stability": self.stability}

    def charged(self, event: PrivacyEvent) -> PrivacyEvent:
        """Return the event of a training on all records as it is for the selection.

        Raises
        ------
        PrivacyError
            If the records were chosen without privacy: nothing that is charged covers that.
        ConfigError
            If the event speaks of another relation or of groups already.
        """
        self._refuse_research()
        if event.group_size > 1 or event.neighbouring != ADD_OR_REMOVE_ONE:
            raise ConfigError(
                f"Expected the event of a training on all records ({ADD_OR_REMOVE_ONE}, no "
                f"groups), got {event.neighbouring} and groups of {event.group_size}."
            )
        return replace(event, neighbouring=self.neighbouring, group_size=self.stability)

    def charge_in_words(self) -> str:
        """Return what the training is charged, for the reader."""
        if not self.private:
            return "nothing that would cover it: the records were chosen without privacy"
        if self.neighbouring == REPLACE_ONE:
            return "its replace-one cost: a record that joins can push another one out"
        if self.stability > 1:
            return (
                f"its cost for groups of {self.stability} records: so many may change in the "
                "selection when one record joins or leaves"
            )
        return "its ordinary cost for one record added or removed, nothing more"

    def to_json(self) -> dict[str, Any]:
        """Return what may be shown: no mask, no number of records kept, no warning.

        Guarantee: for neighbouring data sets, equal coins and checkpoints it differs in
        ``released`` only, which the events cover.
        """
        return {
            "selector": self.selector,
            "settings": dict(self.settings),
            "scorer": self.scorer,
            "stability": self.stability,
            "neighbouring": self.neighbouring,
            "training_is_charged": self.charge_in_words(),
            "events": [event.to_json() for event in self.events],
            "charged": self.paid,
            "released": dict(self.released),
            "seeded": self.seeded,
            "private": self.private,
            "terms": list(TERMS),
        }

    def _refuse_research(self) -> None:
        if not self.private:
            raise PrivacyError(
                f"Expected a selection that a private training may use, got one by "
                f"{self.selector!r} with private=False: no price covers what it shows of the "
                "records. Select with private=True."
            )

    def _own_warnings(self) -> list[str]:
        words = []
        if not self.kept.any():
            if not self.private:
                raise DataError(
                    f"Expected at least one record kept, got none of {len(self)} by "
                    f"{self.selector!r}. Move its threshold."
                )
            words.append(
                "No record was kept: the training would see noise only. Do not say so to others; "
                "choose another threshold without looking at the records, or train on all."
            )
        if not self.private:
            words.append("Chosen without privacy: no private training may use this selection.")
        if self.seeded:
            words.append(f"{SEEDED_MARK}.")
        if not self.paid:
            words.append("Charged to no account: compose the events with all other releases.")
        return words
