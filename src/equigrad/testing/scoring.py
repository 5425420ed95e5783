"""The contract suite of scorers.

Each test is one sentence of the contract in :class:`equigrad.valuation.base.Scorer`.
"""

import json
import random
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from equigrad.errors import CheckpointError, NeedsError
from equigrad.testing.worlds import (
    ScoredWorld,
    StopError,
    altered,
    failing,
    global_states,
    snapshot,
    unsettled,
)
from equigrad.valuation import SCORERS, Local, Scorer, StreamedScorer, SweepState, score
from equigrad.valuation.base import LOCALITIES, ORIENTATIONS, Float64

__all__ = ["ScorerContract"]

_REMOVABLE = ("ensemble", "learning_rates", "private_steps", "validation")


class ScorerContract(ABC):
    """Inherit, return the scorer from :meth:`make`, name the class ``Test...``.

    Attributes
    ----------
    tolerance
        How far scores may move, relative to the largest, where they should not move at all but
        for rounding.
    """

    tolerance: float = 1e-12

    @abstractmethod
    def make(self) -> Scorer:
        """Return a new scorer."""

    def world(self) -> ScoredWorld:
        """Return records, checkpoints, validation set and ensemble to score with."""
        return ScoredWorld.drawn(seed=0)

    def scores(self, world: ScoredWorld, **options: Any) -> Float64:
        """Return the ``(n,)`` scores of a world."""
        options = {"batch_size": 7, "assess": False} | options
        scorer = self.make()
        found = score(
            world.trajectory,
            world.records,
            [scorer],
            view=Local(research=True),
            validation=world.validation,
            ensemble=world.ensemble,
            public_validation=True,
            **options,
        )
        values: Float64 = found[scorer.label].values
        return values

    def alike(self, got: Float64, want: Float64) -> None:
        """Compare scores up to rounding."""
        finite = want[np.isfinite(want)]
        scale = float(np.abs(finite).max()) if finite.size else 0.0
        np.testing.assert_allclose(got, want, rtol=self.tolerance, atol=self.tolerance * scale)

    # what it says of itself

    def test_it_is_registered_under_its_name(self) -> None:
        """The registry gives the scorer's class back by its name, in which words are dashed."""
        scorer = self.make()
        assert SCORERS[scorer.name] is type(scorer)
        assert "_" not in scorer.name

    def test_its_settings_make_it_again(self) -> None:
        """They are JSON and, given to the constructor, make an equal scorer."""
        scorer = self.make()
        settings = json.loads(json.dumps(scorer.settings()))
        again = type(scorer)(**settings)
        assert again.describe() == scorer.describe()
        assert again.label == scorer.label
        assert scorer.label.startswith(scorer.name)

    def test_it_declares_orientation_locality_and_needs(self) -> None:
        """Known words only; who compares with a validation set says so; who pools has no range."""
        scorer = self.make()
        assert scorer.orientation in ORIENTATIONS
        assert scorer.locality in LOCALITIES
        assert "labels" in scorer.needs
        assert all(self.world().context().words(need) for need in scorer.needs)
        assert scorer.least_checkpoints >= 1
        if "validation" in scorer.needs:
            assert scorer.locality != "record"
        if scorer.locality == "validation":
            assert "validation" in scorer.needs

    # what it refuses

    @pytest.mark.parametrize("need", _REMOVABLE)
    def test_it_refuses_to_work_without_what_it_needs(self, need: str) -> None:
        """And does not ask for what it does not need."""
        world = self.world().without(need)
        if need not in self.make().needs:
            assert self.scores(world).shape == (len(world),)
            return
        with pytest.raises(NeedsError, match=self.make().name):
            self.scores(world)

    def test_it_refuses_too_few_checkpoints(self) -> None:
        """One less than it says it can work with."""
        scorer, world = self.make(), self.world()
        least = scorer.least_checkpoints
        if least == 1:
            return
        field = "ensemble" if "ensemble" in scorer.needs else "trajectory"
        few = replace(world, **{field: getattr(world, field).subset(range(least - 1))})
        with pytest.raises(CheckpointError, match=scorer.name):
            self.scores(few)

    def test_regression_is_scored_or_refused(self) -> None:
        """As its class says."""
        world = ScoredWorld.regression(seed=1)
        if self.make().classes_only:
            with pytest.raises(NeedsError, match="regression"):
                self.scores(world)
        else:
            assert np.isfinite(self.scores(world)).all()

    # what a score depends on

    def test_permuting_records_permutes_scores(self) -> None:
        """No score depends on where its record stands."""
        world = self.world()
        order = torch.randperm(len(world), generator=torch.Generator().manual_seed(3))
        self.alike(self.scores(world.at(order)), self.scores(world)[order.numpy()])

    @pytest.mark.parametrize(("batch_size", "accumulator_bytes"), [(1, 1), (4, 1), (1000, 2**20)])
    def test_scores_do_not_depend_on_batches(self, batch_size: int, accumulator_bytes: int) -> None:
        """Nor on the stretches in which the sweep takes them."""
        sizes = {"batch_size": batch_size, "accumulator_bytes": accumulator_bytes}
        world = self.world()
        self.alike(self.scores(world, **sizes), self.scores(world))

    def test_one_record_changes_its_own_score_only(self) -> None:
        """Features and label of one record, for each record; unless scores are pooled."""
        if self.make().locality == "pooled":
            return
        world = self.world()
        before = self.scores(world)
        for at in range(0, len(world), 3):
            after = self.scores(altered(world, at))
            others = np.arange(len(world)) != at
            self.alike(after[others], before[others])

    def test_some_records_score_differently(self) -> None:
        """The scores of a drawn world are not constant: they do say something of the records."""
        assert len(set(self.scores(self.world()).tolist())) > 1

    def test_doubling_the_set_leaves_scores(self) -> None:
        """Each record twice scores twice as once; unless scores are pooled."""
        if self.make().locality == "pooled":
            return
        world = self.world()
        twice = torch.arange(len(world)).repeat(2)
        once = self.scores(world)
        self.alike(self.scores(world.at(twice)), np.concatenate([once, once]))

    # what numbers it gives

    @pytest.mark.parametrize("size", [0.0, 1e-8, 1.0, 30.0, 1e3])
    def test_scores_lie_within_the_stated_range(self, size: float) -> None:
        """For inputs of every size; infinity only says what no number says."""
        world = self.world().scaled(size)
        scorer = self.make()
        bounds = scorer.bounds(scorer.source(world.context()))
        values = self.scores(world)
        assert values.dtype == np.float64
        assert not np.isnan(values).any()
        if bounds is not None:
            low, high = bounds
            finite = values[np.isfinite(values)]
            room = 1e-9 * max(1.0, *(abs(end) for end in bounds if np.isfinite(end)))
            assert ((finite >= low - room) & (finite <= high + room)).all()

    def test_one_record_alone_has_a_score(self) -> None:
        """And a reliability that was not assessed is no error."""
        world = self.world().at(torch.arange(1))
        values = self.scores(world, assess=True)
        assert values.shape == (1,)
        assert not np.isnan(values).any()

    def test_checkpoints_that_do_not_move_give_scores(self) -> None:
        """Every checkpoint the same one: never NaN."""
        world = self.world()
        still = replace(
            world.trajectory, states=[world.trajectory.states[0]] * len(world.trajectory)
        )
        assert not np.isnan(self.scores(replace(world, trajectory=still))).any()

    def test_records_without_gradient_have_scores(self) -> None:
        """The model is so sure of its labels that the losses round to nothing."""
        world = self.world().sure()
        assert not np.isnan(self.scores(world)).any()

    # what it leaves behind

    def test_the_model_is_left_as_it_was_found(self) -> None:
        """Parameters, gradients, modes, buffers and hooks, to the bit."""
        world = self.world()
        models = unsettled(world)
        before = [snapshot(model) for model in models]
        self.scores(world)
        for model, was in zip(models, before, strict=True):
            assert snapshot(model) == was

    @pytest.mark.parametrize("calls", [1, 2, 5])
    def test_the_model_is_left_so_after_an_exception_too(self, calls: int) -> None:
        """Wherever the work stops."""
        world = self.world()
        models = unsettled(world)
        before = [snapshot(model) for model in models]
        with failing(models, calls) as left:
            try:
                self.scores(world, batch_size=2)
            except StopError:
                assert left[0] <= 0
            else:
                assert left[0] > 0, "the exception did not come through"
        for model, was in zip(models, before, strict=True):
            assert snapshot(model) == was

    def test_the_same_work_gives_the_same_bits(self) -> None:
        """And takes nothing from global random state."""
        world = self.world()
        first = self.scores(world, seed=5)
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)
        states = global_states()
        again = self.scores(world, seed=5)
        assert states == global_states()
        assert first.tobytes() == again.tobytes()

    def test_a_stopped_sweep_goes_on_to_the_same_bits(self) -> None:
        """From every state that it hands out, in several stretches, with early and late halves."""
        if not isinstance(self.make(), StreamedScorer):
            return
        world = self.world()
        options = {"batch_size": 8, "accumulator_bytes": 1, "assess": True}
        states: list[SweepState] = []
        whole = self.scores(world, keep=lambda s: states.append(_copied(s)), **options)
        assert len(states) > 3
        for state in states:
            assert self.scores(world, state=state, **options).tobytes() == whole.tobytes()


def _copied(state: SweepState) -> SweepState:
    """Return a state whose tensors do not move on."""
    return replace(state, tensors={k: t.clone() for k, t in state.tensors.items()})
