"""The contract of every selector, what it returns, and the registry of the selectors.

A selector chooses records by their scores and says what that does to the privacy of a training on
them. What the selection itself releases is charged here; what the training is charged is the
business of :mod:`equigrad.privacy`. The other rooms import this module and the registry; the
selectors live beside it, one file each.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from equigrad._validate import known_options
from equigrad.errors import ConfigError
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.accounting.relations import ADD_OR_REMOVE_ONE
from equigrad.privacy.noise import NoiseKey
from equigrad.registry import Registry
from equigrad.valuation.base import Float64
from equigrad.valuation.release.slots import Slots, slots_of
from equigrad.valuation.release.terms import (
    Account,
    charge,
    check_account,
    check_key,
    finite_values,
    refuse_estimate,
    refuse_pooled,
    refuse_tainted,
    seeds,
)
from equigrad.valuation.scores import ScoreSet
from equigrad.valuation.select.selection import Selection

__all__ = ["SELECTORS", "Mask", "Selector", "make_selector"]

Mask = npt.NDArray[np.bool_]


class Selector(ABC):
    """Chooses which records a training sees, with a declared stability.

    A selector has public settings and no memory. It works on the scores of one scorer whose
    checkpoints are paid for already (or public).

    Guarantee, given the checkpoints, equal coins, and what the selector released and charged
    (:meth:`given`): when one record joins or leaves, the set of selected records changes by at
    most :attr:`stability` records under ``"add-or-remove-one"``, by one record taking another's
    place under ``"replace-one"``. Coins belong to public slots, so that a record that leaves does
    not shift the others'. The whole cost of a private training on the selection is that of the
    checkpoints, plus :attr:`Selection.events`, plus the training's own events under
    :attr:`neighbouring` with groups of size :attr:`stability`: provided that the sampling rate,
    the denominator ``q n_public``, the steps and all settings are fixed without the selection,
    and that neither the number of selected records nor anything made from it is released. It is
    as exact as the scores: where a model computes them a little differently in another batch, a
    record that close to a threshold may change sides with it.

    =============================  =============================================================
    scores                         what becomes of the record
    =============================  =============================================================
    inf of forgetting              reads as the number of checkpoints
    other inf, -inf                at the end of its side: kept if that side is kept
    NaN                            cannot be in a ScoreSet
    tainted, for a private         refused: ``TaintedScoresError``
    training
    estimates                      refused: ``PrivacyError``
    pooled, or compared with a     refused: ``StabilityError``, but where the selector takes it
    private validation set
    =============================  =============================================================

    Class attributes
    ----------------
    name
        The selector's name in :data:`SELECTORS`.
    looks
        False if it does not look at scores (controls): nothing of them is checked then.
    takes_pooled
        True if its guarantee does not need scores that depend on their own record only.
    tosses
        True if it uses coins.
    """

    name: ClassVar[str]
    looks: ClassVar[bool] = True
    takes_pooled: bool = False
    tosses: ClassVar[bool] = False

    @property
    def stability(self) -> int:
        """By how many records the selection can change when one record joins or leaves: c >= 1."""
        return 1

    @property
    def neighbouring(self) -> str:
        """The relation between the selections of neighbouring data sets."""
        return ADD_OR_REMOVE_ONE

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the public settings, ready for JSON; given to the constructor they make it."""

    def describe(self) -> dict[str, Any]:
        """Return name and settings, for records."""
        return {"selector": self.name, **self.settings()}

    def check(self, scores: ScoreSet, *, private: bool = True) -> None:
        """Refuse what would break the guarantee unseen.

        Parameters
        ----------
        scores
            To choose by.
        private
            Whether a private training is to use the selection. False is for research: nothing is
            guaranteed then, and tainted and pooled scores may be used.

        Raises
        ------
        TaintedScoresError, StabilityError, PrivacyError
            For scores that it cannot choose by; the message says why and what to use.
        ConfigError
            If a setting does not fit the scores.
        """
        if not self.looks:
            return
        if private:
            use = f"the selector {self.name!r} before a private training"
            refuse_tainted(scores.origin, scores.scorer, use)
            refuse_estimate(scores.estimate, scores.scorer, use)
            if not self.takes_pooled:
                refuse_pooled(
                    scores.locality,
                    scores.scorer,
                    use,
                    "Choose a scorer of locality 'record', or the selector 'declared' with "
                    "selection_stability=c, the most records by which one can change the choice.",
                    public_validation=scores.public_validation,
                )
        self._check(scores)

    def event(self, scores: ScoreSet, *, seeded: bool) -> PrivacyEvent | None:
        """Return what the selection itself releases, to be charged before it; None if nothing."""
        del scores, seeded
        return None

    def given(self, selection: Selection) -> "Selector":
        """Return the rule that is left once what ``selection`` released is fixed.

        A selector that releases nothing is that rule itself.
        """
        del selection
        return self

    def select(
        self,
        scores: ScoreSet,
        *,
        key: NoiseKey | None = None,
        account: Account = None,
        slots: Slots | None = None,
        private: bool = True,
        again: bool = False,
    ) -> Selection:
        """Choose records.

        Parameters
        ----------
        scores
            ``n`` scores, n >= 1.
        key
            Coins and noise; a new secret one by default. A private key serves one charged
            selection; a test key makes coins that can be tossed again and protects nobody.
        account
            What is charged for what the selector releases, before any noise is drawn; needed by
            those selectors only that release something. ``"none"`` charges nobody.
        slots
            Public slots of the records; by default as many as there are records.
        private
            As for :meth:`check`.
        again
            The same selection of the same scores is repeated, with its own key, after it was
            interrupted.

        Returns
        -------
        Selection
            For the owner; :meth:`Selection.to_json` is what may be shown.

        Raises
        ------
        PrivacyError, ConfigError
            As for :meth:`check`; if a needed account is missing or the key has served.
        BudgetExceededError
            If the account refuses; account and key are as before then.
        DataError
            If nothing is selected, without ``private``. A private training on nothing is no error,
            for the error would tell: the selection has a local warning.
        """
        self.check(scores, private=private)
        places = slots_of(slots, len(scores))
        event = self.event(scores, seeded=seeds(key))
        source = key
        if event is not None:
            check_account(account, event.released)
            check_key(key, again=again)
            source = charge(account, event, key, again=again)
        elif source is None and self.tosses:
            source = NoiseKey.secret()
        kept, released = self._choose(finite_values(scores), scores, places, source)
        return Selection(
            kept=kept,
            selector=self.name,
            settings=self.settings(),
            scorer=scores.scorer if self.looks else "",
            stability=self.stability,
            neighbouring=self.neighbouring,
            events=() if event is None else (event,),
            paid=event is None or account != "none",
            released=released,
            seeded=(self.looks and scores.seeded) or (event is not None and event.seeded),
            private=private,
        )

    def _check(self, scores: ScoreSet) -> None:
        """Refuse scores that the settings do not fit; by default none."""
        del scores

    @abstractmethod
    def _choose(
        self, values: Float64, scores: ScoreSet, slots: Slots, key: NoiseKey | None
    ) -> tuple[Mask, Mapping[str, Any]]:
        """Return the ``(n,)`` mask of records to keep, and what the events cover, by name.

        Parameters
        ----------
        values
            ``(n,)`` scores, see the table.
        scores
            What is known of them.
        slots
            Where the records are; coins belong to slots.
        key
            Where coins and noise come from; None for a selector that tosses none.
        """


SELECTORS: Final[Registry[type[Selector]]] = Registry("selector")
"""All selectors by name."""


def make_selector(selector: Selector | str, **options: Any) -> Selector:
    """Return a selector: an instance as it is, or the registered one with its options.

    Names treat ``-`` and ``_`` alike.

    Raises
    ------
    RegistryError
        If the name is unknown.
    ConfigError
        If an option is unknown, missing or impossible.
    """
    if isinstance(selector, Selector):
        if options:
            raise ConfigError(
                f"Expected options only with a selector's name, got {sorted(options)} with an "
                "instance. Give them to its constructor."
            )
        return selector
    made = SELECTORS[selector.replace("_", "-")]
    known_options(f"selector {made.name!r}", made, options)
    try:
        return made(**options)
    except TypeError as error:
        raise ConfigError(
            f"Expected all settings of the selector {made.name!r}, got {sorted(options)} ({error})."
        ) from error
