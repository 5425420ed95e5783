"""The suites of gradient assisted learning fail for strategies that break the contract."""

import numpy as np
import pytest
import torch
from torch import nn

from equigrad.assistance import Ridge, Schedule, SharedLearner, TorchLearner
from equigrad.assistance.learners.training import to_tensor
from equigrad.assistance.losses import Absolute, CrossEntropy, Squared
from equigrad.assistance.weights import Equal, Quadratic
from equigrad.testing.assistance import LearnerContract, LossContract, WeigherContract

QUICK = Schedule(epochs=1, batch_size=16)


class PerMean(Squared):
    """Divides the residual by the number of rows."""

    def residual(self, target, scores, scale=1.0):
        return super().residual(target, scores, scale) / len(target)


class WrongStart(Absolute):
    """Starts the absolute error at the mean."""

    def start(self, target, weight=None):
        return target.mean(axis=0)


class StopsEarly(CrossEntropy):
    """Takes a step of one."""

    def step(self, target, scores, direction, limit, weight=None):
        return min(1.0, limit)


class Climbs(Squared):
    """Takes the absolute value of the best step."""

    def step(self, target, scores, direction, limit, weight=None):
        best = ((target - scores) * direction).sum() / max((direction**2).sum(), 1e-300)
        return min(abs(best), limit)


class ForgetsWeights(Squared):
    """Starts at the plain mean."""

    def start(self, target, weight=None):
        return target.mean(axis=0)


class SignError(Squared):
    """Takes a residual for its negative."""

    def implied_target(self, residual, scores):
        return scores - 0.5 * residual


class InPlace(Squared):
    """Writes over the scores."""

    def residual(self, target, scores, scale=1.0):
        scores -= target
        scores *= -2.0
        return scores.copy()


class Half(Quadratic):
    """Goes half of the way."""

    def _weights(self, problem):
        return 0.5 * (super()._weights(problem) + 1 / len(problem.c))


class FirstWins(Equal):
    """Gives everything to the first party."""

    def _weights(self, problem):
        return np.eye(len(problem.c))[0]


class Negative(Quadratic):
    """Moves weight from one party to another beyond the bounds."""

    def weights(self, problem):
        moved = np.eye(len(problem.c))
        return super().weights(problem) + moved[0] - moved[1]


class Seedless(TorchLearner):
    """Draws its parameters from the global state."""

    def _fit(self, t, R, seed):
        self._models[t] = nn.Linear(self._rows.shape[1], R.shape[1]).requires_grad_(False)


class Reseeds(Ridge):
    """Seeds NumPy."""

    def _fit(self, t, R, seed):
        np.random.seed(3)  # noqa: NPY002
        super()._fit(t, R, seed)


class Centres(Ridge):
    """Centres its answer among the rows it is asked for."""

    def _predict(self, t, X):
        found = super()._predict(t, X)
        return found - found.mean(axis=0)


class LastModel(Ridge):
    """Answers every round with the last model."""

    def _predict(self, t, X):
        return super()._predict(max(self._coefficients), X)


class Unscaled(Ridge):
    """Forgets to give the residual's size back."""

    def predict(self, t, X):
        self._scales[t] = np.ones_like(self._scales[t])
        return super().predict(t, X)


class Keeps(Ridge):
    """Forgets nothing."""

    def keep(self, rounds):
        del rounds


class LastBackbone(SharedLearner):
    """Answers old rounds with the last backbone, as the authors' code does."""

    def _keep(self, rounds):
        self._heads = self._heads[:rounds]


class SavesRoughly(Ridge):
    """Saves coefficients in less precision."""

    def _saved(self):
        return {name: array.astype(np.float32) for name, array in super()._saved().items()}


class Writes(Ridge):
    """Scales the residual in place."""

    def fit(self, t, R, seed):
        super().fit(t, R, seed)
        R *= 2.0


class Secretly(Ridge):
    """Keeps what it learned in its copies."""

    def fresh(self):
        return self


class Single(TorchLearner):
    """Evaluates in float32, in which a row's company shows."""

    def _predict(self, t, X):
        rows = to_tensor(X)
        with torch.no_grad():
            found = self._models[t](rows) * (1 + 1e-7 * len(rows))
        return found.numpy().astype(np.float64)


def network(n_outputs):
    return nn.Linear(3, n_outputs)


CASES = [
    (LossContract, PerMean, "the_residual_is_minus_the_gradient_of_the_summed_loss", {"seed": 0}),
    (LossContract, WrongStart, "no_constant_is_better_than_the_start", {"seed": 0}),
    (LossContract, StopsEarly, "the_step_is_the_best_of_a_fine_grid", {"seed": 0}),
    (LossContract, Climbs, "there_is_no_step_where_the_loss_rises", {}),
    (LossContract, ForgetsWeights, "weights_count_like_repeated_rows", {}),
    (LossContract, SignError, "an_implied_target_has_the_residual_it_came_from", {}),
    (LossContract, InPlace, "arguments_are_left_alone", {}),
    (WeigherContract, Half, "no_mix_is_better", {"seed": 0}),
    (WeigherContract, FirstWins, "weights_follow_their_parties", {}),
    (WeigherContract, Negative, "weights_lie_in_the_simplex", {"n_parties": 12, "unit": 1.0}),
    (LearnerContract, lambda: Seedless(network, QUICK), "equal_seeds_give_equal_outputs", {}),
    (LearnerContract, lambda: Seedless(network, QUICK), "global_random_state_is_not_moved", {}),
    (LearnerContract, Reseeds, "global_random_state_is_not_moved", {}),
    (LearnerContract, Centres, "a_row_says_the_same_in_any_company", {}),
    (LearnerContract, lambda: Single(network, QUICK), "a_row_says_the_same_in_any_company", {}),
    (LearnerContract, LastModel, "later_rounds_leave_earlier_outputs", {}),
    (LearnerContract, Unscaled, "the_residuals_unit_does_not_matter", {}),
    (LearnerContract, SavesRoughly, "saved_models_answer_alike", {}),
    (LearnerContract, Writes, "arguments_are_left_alone", {}),
    (
        LearnerContract,
        lambda: LastBackbone(nn.Linear(3, 4), "refit", QUICK),
        "a_pass_may_end_with_any_round",
        {},
    ),
]


@pytest.mark.parametrize(("contract", "make", "test", "arguments"), CASES)
def test_a_broken_strategy_is_caught(contract, make, test, arguments):
    class Suite(contract):
        registered = False

        def make(self):
            return make()

        def objective(self, problem, w):
            return np.sum((problem.residual - w @ problem.fits) ** 2)

    with pytest.raises(AssertionError):
        getattr(Suite(), f"test_{test}")(**arguments)


@pytest.mark.parametrize(
    ("make", "test"),
    [(Keeps, "a_pass_may_end_with_any_round"), (Secretly, "a_fresh_one_knows_nothing")],
)
def test_a_learner_that_remembers_is_caught(make, test):
    class Suite(LearnerContract):
        def make(self):
            return make()

    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        getattr(Suite(), f"test_{test}")()
