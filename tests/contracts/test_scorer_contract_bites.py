"""The scorers' contract suite fails for scorers that break the contract."""

import math

import numpy as np
import pytest
import torch

from equigrad.testing.scoring import ScorerContract
from equigrad.valuation import Scorer, StreamedScorer
from equigrad.valuation.scorers import AreaUnderMargin, Forgetting, GradNorm, Loss, LossMean, TracIn


class RankDeclaredRecord(Loss):
    """Ranks the records and still says that a score is a function of its own record."""

    def finish(self, values, context):
        return values.argsort().argsort().astype(np.float64)


class CentredByBatch(Loss):
    """Looks at the other records of the batch."""

    def measure(self, visit):
        return visit.losses - visit.losses.mean()


class ByPlace(LossMean):
    """Adds a number that depends on where the record stands."""

    def measure(self, visit):
        return visit.losses + visit.start


class Unbounded(GradNorm):
    """Says a range that its norms leave."""

    def bounds(self, trajectory):
        return (0.0, 0.1)


class Logarithm(Loss):
    """Gives NaN where nothing is lost."""

    def measure(self, visit):
        return visit.losses.log() - visit.losses.log()


class Steps(Loss):
    """Moves the model after the pass."""

    def measure(self, visit):
        visit.model.train()
        for parameter in visit.model.parameters():
            parameter.grad = torch.ones_like(parameter)
        return visit.losses


class Leaves(Loss):
    """Leaves a hook behind."""

    def measure(self, visit):
        visit.model.register_forward_hook(lambda *parts: None)
        return visit.losses


class Noisy(Loss):
    """Takes global randomness."""

    def measure(self, visit):
        return visit.losses + torch.rand(len(visit))


class Amnesiac(Forgetting):
    """Keeps what was right last in itself and not in the state."""

    right = None

    def visit(self, state, visit):
        previous = {} if self.right is None else self.right
        right = visit.logits.argmax(1) == visit.labels
        before = previous.get(visit.start, torch.zeros_like(right))
        state["count"][visit.rows] += (before & ~right).double()
        state["ever"][visit.rows] |= right
        self.right = {**previous, visit.start: right}


class Needy(TracIn):
    """Uses learning rates that it never asked for."""

    needs = frozenset({"labels", "validation"})

    def weight(self, visit):
        return 1.0 * visit.learning_rate


class Careless(LossMean):
    """Does not look at how many checkpoints there are."""

    def check(self, context):
        pass


class Constant(Loss):
    """Says the same of every record."""

    def measure(self, visit):
        return torch.ones(len(visit), dtype=torch.float64)


class Unsure(AreaUnderMargin):
    """Cannot be made again from its settings."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def settings(self):
        return {"scale": 2 * self.scale}


class Misdirected(StreamedScorer):
    """Says words that nobody knows."""

    name, orientation = "loss", "bad"
    begin = visit = values = None


def suite(make):
    class Suite(ScorerContract):
        def make(self) -> Scorer:
            return make()

    return Suite()


@pytest.mark.parametrize(
    ("make", "test", "arguments"),
    [
        (RankDeclaredRecord, "one_record_changes_its_own_score_only", {}),
        (RankDeclaredRecord, "doubling_the_set_leaves_scores", {}),
        (RankDeclaredRecord, "it_is_registered_under_its_name", {}),
        (CentredByBatch, "one_record_changes_its_own_score_only", {}),
        (
            CentredByBatch,
            "scores_do_not_depend_on_batches",
            {"batch_size": 4, "accumulator_bytes": 1},
        ),
        (ByPlace, "permuting_records_permutes_scores", {}),
        (Unbounded, "scores_lie_within_the_stated_range", {"size": 1.0}),
        (Steps, "the_model_is_left_as_it_was_found", {}),
        (Leaves, "the_model_is_left_as_it_was_found", {}),
        (Leaves, "the_model_is_left_so_after_an_exception_too", {"calls": 2}),
        (Noisy, "the_same_work_gives_the_same_bits", {}),
        (Amnesiac, "a_stopped_sweep_goes_on_to_the_same_bits", {}),
        (Constant, "some_records_score_differently", {}),
        (Unsure, "its_settings_make_it_again", {}),
        (Misdirected, "it_declares_orientation_locality_and_needs", {}),
    ],
)
def test_a_broken_scorer_is_caught(make, test, arguments):
    with pytest.raises(AssertionError):
        getattr(suite(make), f"test_{test}")(**arguments)


@pytest.mark.parametrize(
    ("make", "test", "arguments", "error"),
    [
        (Logarithm, "records_without_gradient_have_scores", {}, ValueError),
        (Needy, "it_refuses_to_work_without_what_it_needs", {"need": "learning_rates"}, TypeError),
        (Careless, "it_refuses_too_few_checkpoints", {}, pytest.fail.Exception),
    ],
)
def test_what_a_broken_scorer_does_comes_through(make, test, arguments, error):
    with pytest.raises(error):
        getattr(suite(make), f"test_{test}")(**arguments)


def test_the_rank_passes_once_it_is_declared_pooled():
    class Rank(RankDeclaredRecord):
        locality = "pooled"

        def bounds(self, trajectory):
            return (0.0, math.inf)

    one = suite(Rank)
    one.test_one_record_changes_its_own_score_only()
    one.test_doubling_the_set_leaves_scores()
    one.test_permuting_records_permutes_scores()
