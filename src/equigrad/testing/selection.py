"""The contract suite of selectors.

Each test is one sentence of the contract in :class:`equigrad.valuation.select.base.Selector`.
"""

import json
import math
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from equigrad.errors import (
    BudgetExceededError,
    ConfigError,
    PrivacyError,
    StabilityError,
    TaintedScoresError,
)
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting.relations import REPLACE_ONE
from equigrad.privacy.noise import NoiseKey
from equigrad.valuation.base import Bounds, Float64, Locality
from equigrad.valuation.release.slots import Slots
from equigrad.valuation.scores import ScoreSet
from equigrad.valuation.select import SELECTORS, Selection, Selector

__all__ = ["SIZES", "SelectorContract"]

SIZES = (2, 7, 20, 41)
"""Numbers of records of the data sets whose records are deleted in turn; shares round both ways."""


class SelectorContract(ABC):
    """Inherit, return the selector from :meth:`make`, name the class ``Test...``.

    By default a record is a number and its score that number, by a scorer of losses with public
    bounds. For scores that look at other records, give :meth:`values` and :attr:`locality`.
    """

    scorer: str = "loss-mean"
    locality: Locality = "record"
    bounds: Bounds | None = (0.0, 4.0)

    @abstractmethod
    def make(self) -> Selector:
        """Return the selector."""

    def records(self, size: int, seed: int = 0) -> Float64:
        """Return ``(size,)`` records: numbers of which some are equal and one is infinite."""
        draws = np.random.default_rng(1000 * size + seed).gamma(1.5, 0.6, size)
        draws[size // 2 :: 5] = draws[0]
        if size > 5:
            draws[3] = math.inf
        return draws

    def values(self, records: Float64) -> Float64:
        """Return the scores of a data set's records, given the checkpoints."""
        return records

    def scores(self, records: Float64, **changes: Any) -> ScoreSet:
        """Return the scores of a data set."""
        made = ScoreSet(
            values=self.values(records),
            scorer=self.scorer,
            orientation="harder",
            locality=self.locality,
            origin="private",
            bounds=self.bounds,
            checkpoints=("a", "b", "c"),
        )
        return replace(made, **changes)

    def select(
        self,
        selector: Selector,
        records: Float64,
        slots: Slots | None = None,
        seed: int = 7,
        **changes: Any,
    ) -> Selection:
        """Return a selection with coins that can be tossed again, charged to nobody."""
        return selector.select(
            self.scores(records, **changes),
            key=NoiseKey.test(seed),
            account="none",
            slots=slots,
        )

    def test_it_is_registered_under_its_name(self) -> None:
        """The registry gives the selector's class back by its name."""
        assert SELECTORS[self.make().name] is type(self.make())

    def test_its_description_makes_it_again(self) -> None:
        """The settings are JSON and, given to the constructor, make an equal selector."""
        selector = self.make()
        settings = json.loads(json.dumps(selector.describe()))
        again = SELECTORS[settings.pop("selector")](**settings)
        assert again.describe() == selector.describe()
        records = self.records(20)
        first, second = (self.select(one, records).kept for one in (selector, again))
        assert np.array_equal(first, second)

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("seed", range(3))
    def test_one_record_changes_the_selection_by_no_more_than_declared(
        self, size: int, seed: int
    ) -> None:
        """Every record deleted in turn: same checkpoints, same coins, same released values."""
        selector, records = self.make(), self.records(size, seed)
        rule = selector.given(self.select(selector, records, seed=seed))
        everyone = np.arange(size)
        whole = self._slots_kept(rule, records, everyone, seed)
        for record in range(size):
            others = np.delete(everyone, record)
            less = self._slots_kept(rule, records[others], others, seed, size)
            gone, new = int((whole & ~less).sum()), int((less & ~whole).sum())
            if selector.neighbouring == REPLACE_ONE:
                assert max(gone, new) <= 1, f"without record {record}: {gone} left, {new} joined"
            else:
                assert gone + new <= selector.stability, f"without {record}: {gone + new} changed"

    def _slots_kept(
        self,
        rule: Selector,
        records: Float64,
        taken: npt.NDArray[np.int64],
        seed: int,
        size: int | None = None,
    ) -> npt.NDArray[np.bool_]:
        """Return which of the public slots hold a record that is kept."""
        slots = Slots(records.size if size is None else size, taken)
        found = np.zeros(slots.count, dtype=np.bool_)
        found[taken] = self.select(rule, records, slots, seed).kept
        return found

    def test_what_it_released_fixes_the_selection(self) -> None:
        """The rule given the released values chooses the same records, and releases nothing."""
        selector, records = self.make(), self.records(20)
        first = self.select(selector, records)
        again = self.select(selector.given(first), records)
        assert np.array_equal(first.kept, again.kept)
        if first.released:
            assert not again.events
            assert not again.released

    def test_equal_coins_choose_equally_and_the_scores_stay(self) -> None:
        """Nothing global is used or moved; another order of the records keeps the same ones."""
        selector, records = self.make(), self.records(41)
        before = _global_states()
        scores = self.scores(records)
        first = selector.select(scores, key=NoiseKey.test(1), account="none")
        again = selector.select(scores, key=NoiseKey.test(1), account="none")
        assert np.array_equal(first.kept, again.kept)
        assert np.array_equal(scores.values, self.values(records))
        assert _global_states() == before
        order = np.random.default_rng(0).permutation(41)
        moved = self.select(selector, records[order], Slots(41, order), seed=1)
        assert moved.kept.sum() == first.kept.sum()
        if self.locality == "record":
            assert np.array_equal(moved.kept, first.kept[order])

    def test_without_a_key_its_coins_are_secret(self) -> None:
        """A selector that tosses coins chooses anew each time, and is not marked as seeded."""
        selector, scores = self.make(), self.scores(self.records(41))
        found = [selector.select(scores, account="none") for _ in range(12)]
        assert not any(one.seeded for one in found)
        if not selector.tosses:
            assert all(np.array_equal(one.kept, found[0].kept) for one in found)

    def test_what_may_be_shown_tells_nothing_of_the_records(self) -> None:
        """Shared records of neighbouring data sets differ in released values only."""
        selector, records = self.make(), self.records(20)
        whole = self.select(selector, records)
        others = np.delete(np.arange(20), 4)
        less = self.select(selector, records[others], Slots(20, others))
        shown = [json.loads(json.dumps(one.to_json())) for one in (whole, less)]
        for one in shown:
            assert "kept" not in one
            assert "warnings" not in one
            assert bool(one.pop("released")) == bool(one["events"])
        assert shown[0] == shown[1]

    def test_it_says_what_a_training_is_charged(self) -> None:
        """Relation and group size are an event's fields."""
        selector = self.make()
        selection = self.select(selector, self.records(20))
        assert selection.kept.shape == (20,)
        assert selection.kept.dtype == np.bool_
        want = {"neighbouring": selector.neighbouring, "stability": selector.stability}
        assert selection.training() == want
        assert selection.stability >= 1
        assert selection.charge_in_words()

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"origin": "unprotected"}, TaintedScoresError),
            ({"estimate": True}, PrivacyError),
            ({"locality": "pooled"}, StabilityError),
            ({"locality": "validation"}, StabilityError),
        ],
    )
    def test_scores_that_would_break_the_guarantee_are_refused(
        self, changes: dict[str, Any], error: type[Exception]
    ) -> None:
        """Before a private training; a message says what to use."""
        selector, records = self.make(), self.records(20)
        scores = self.scores(records, **changes)
        if not selector.looks or (error is StabilityError and selector.takes_pooled):
            selector.check(scores)
            return
        with pytest.raises(error, match=r"Expected .* got"):
            selector.check(scores)
        with pytest.raises(error):
            self.select(selector, records, **changes)
        selector.check(scores, private=False)

    def test_scores_compared_with_public_records_are_fine(self) -> None:
        """Given public validation records, a record still moves its own score only."""
        self.make().check(
            self.scores(self.records(20), locality="validation", public_validation=True)
        )

    def test_other_slots_than_records_are_refused(self) -> None:
        """A slot for each record, no slot twice."""
        with pytest.raises(ConfigError, match="slot"):
            self.select(self.make(), self.records(20), Slots(20, np.arange(19)))

    def test_what_it_releases_is_charged_once_before_it_is_drawn(self, tmp_path: Path) -> None:
        """One event for a selector that releases something, none for another; refusals change none.

        A selector that releases something needs an account, or the word that there is none.
        """
        selector, scores = self.make(), self.scores(self.records(20))
        wide = PrivacyAccount.open(tmp_path / "wide.db", owner="a", epsilon=1e4, delta=1e-5)
        key = NoiseKey.secret()
        selection = selector.select(scores, key=key, account=wide)
        assert tuple(wide.events()) == selection.events
        assert selection.paid
        event = selector.event(scores, seeded=False)
        assert selection.events == (() if event is None else (event,))
        if event is None:
            return
        with pytest.raises(PrivacyError, match="account"):
            selector.select(scores)
        with pytest.raises(PrivacyError, match="key"):
            selector.select(scores, key=key, account=wide)
        tight = PrivacyAccount.open(tmp_path / "tight.db", owner="a", epsilon=1e-6, delta=1e-12)
        head, fresh = tight.head(), NoiseKey.secret()
        with pytest.raises(BudgetExceededError):
            selector.select(scores, key=fresh, account=tight)
        assert tight.head() == head
        assert not fresh.claimed
        assert len(wide.events()) == 1


def _global_states() -> tuple[bytes, bytes]:
    """Return the states of the global generators of NumPy and torch."""
    state: Any = np.random.get_state()  # noqa: NPY002
    return state[1].tobytes() + bytes(
        str(state[2:]), "ascii"
    ), torch.get_rng_state().numpy().tobytes()
