"""The contract suites of gradient assisted learning: losses, weighers, learners.

Each test is one sentence of the contract in the family's ``base`` module (see
:class:`equigrad.assistance.Loss`, :class:`~equigrad.assistance.Weigher`,
:class:`~equigrad.assistance.Learner`). Inherit a suite, return the strategy from :meth:`make`,
name the class ``Test...``.
"""

import json
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import pytest
import torch

from equigrad.assistance import LEARNERS, LOSSES, WEIGHERS, Learner, Loss, Weigher, WeighProblem
from equigrad.assistance.arrays import Float64
from equigrad.errors import ModelError

__all__ = ["LearnerContract", "LossContract", "WeigherContract"]


class LossContract(ABC):
    """The suite of losses."""

    registered = True
    n_rows, n_outputs = 24, 3

    @abstractmethod
    def make(self) -> Loss:
        """Return the loss."""

    def target(self, seed: int) -> Float64:
        """Return ``(n_rows, n_outputs)`` targets: values, or one-hot classes."""
        generator = np.random.default_rng(seed)
        if self.make().classification:
            codes = generator.permutation(np.arange(self.n_rows) % self.n_outputs)
            return np.asarray(np.eye(self.n_outputs)[codes])
        return 3.0 * generator.normal(size=(self.n_rows, self.n_outputs)) + 1.0

    def scores(self, seed: int) -> Float64:
        """Return ``(n_rows, n_outputs)`` scores."""
        return np.random.default_rng(seed + 100).normal(size=(self.n_rows, self.n_outputs))

    def direction(self, seed: int) -> Float64:
        """Return a direction along which the loss falls at first."""
        noise = np.random.default_rng(seed + 200).normal(size=(self.n_rows, self.n_outputs))
        pull = self.make().residual(self.target(seed), self.scores(seed))
        return np.asarray(pull + 0.2 * noise * np.sqrt((pull**2).mean()))

    def n_terms(self) -> float:
        """Return how many terms the reported loss of a row averages over."""
        return 1.0 if self.make().classification else float(self.n_outputs)

    def test_it_is_registered_under_its_name(self) -> None:
        """The registry gives the class back by its name, and it describes itself in JSON."""
        loss = self.make()
        assert not self.registered or LOSSES[loss.name] is type(loss)
        assert json.loads(json.dumps(loss.describe()))["loss"] == loss.name

    @pytest.mark.parametrize("seed", range(3))
    def test_the_residual_is_minus_the_gradient_of_the_summed_loss(self, seed: int) -> None:
        """By central differences of every entry."""
        loss, target, scores = self.make(), self.target(seed), self.scores(seed)
        residual = loss.residual(target, scores)
        assert residual.shape == scores.shape
        assert residual.dtype == np.float64
        for i, k in [(0, 0), (3, 1), (7, 2), (23, 0)]:
            shift = np.zeros_like(scores)
            shift[i, k] = 1e-6
            up, down = loss.rows(target, scores + shift), loss.rows(target, scores - shift)
            slope = self.n_terms() * (up - down).sum() / 2e-6
            np.testing.assert_allclose(residual[i, k], -slope, rtol=1e-5, atol=1e-5)

    def test_rows_stand_alone(self) -> None:
        """Loss and residual of a row are the same without the other rows."""
        loss, target, scores = self.make(), self.target(1), self.scores(1)
        rows, residual = loss.rows(target, scores), loss.residual(target, scores)
        some = slice(5, 9)
        np.testing.assert_allclose(loss.rows(target[some], scores[some]), rows[some], rtol=1e-13)
        alone = loss.residual(target[some], scores[some])
        np.testing.assert_allclose(alone, residual[some], rtol=1e-13, atol=1e-15)

    def test_the_reported_loss_is_the_mean_of_the_rows(self) -> None:
        """With weights, their weighted mean."""
        loss, target, scores = self.make(), self.target(2), self.scores(2)
        rows, weight = loss.rows(target, scores), np.arange(self.n_rows, dtype=float)
        assert rows.shape == (self.n_rows,)
        np.testing.assert_allclose(loss.value(target, scores), rows.mean(), rtol=1e-13)
        want = np.average(rows, weights=weight)
        np.testing.assert_allclose(loss.value(target, scores, weight), want, rtol=1e-13)

    @pytest.mark.parametrize("seed", range(3))
    def test_no_constant_is_better_than_the_start(self, seed: int) -> None:
        """Neither beside it nor far from it."""
        loss, target = self.make(), self.target(seed)
        start = loss.start(target)
        assert start.shape == (self.n_outputs,)
        best = loss.value(target, np.tile(start, (self.n_rows, 1)))
        for step in (1e-3, 1e-2, 0.3, 2.0):
            for k in range(self.n_outputs):
                for sign in (-1.0, 1.0):
                    other = np.tile(start, (self.n_rows, 1))
                    other[:, k] += sign * step
                    assert loss.value(target, other) >= best - 1e-9 * max(1.0, abs(best))

    @pytest.mark.parametrize("seed", range(4))
    def test_the_step_is_the_best_of_a_fine_grid(self, seed: int) -> None:
        """Over the whole bracket and close by; also where the bracket ends before the minimum."""
        loss, target, scores = self.make(), self.target(seed), self.scores(seed)
        g = self.direction(seed)
        for limit in (1000.0, 1e-3):
            eta = loss.step(target, scores, g, limit)
            assert 0.0 <= eta <= limit
            best = loss.value(target, scores + eta * g)
            near = eta + np.linspace(-0.01, 0.01, 101) * max(eta, 1e-3)
            grid = np.concatenate([np.linspace(0, limit, 801), near])
            for other in grid[(grid >= 0) & (grid <= limit)]:
                reached = loss.value(target, scores + other * g)
                assert reached >= best - 1e-10 * max(1.0, abs(best))

    def test_there_is_no_step_where_the_loss_rises(self) -> None:
        """Against the residual, and where nothing moves."""
        loss, target, scores = self.make(), self.target(5), self.scores(5)
        assert loss.step(target, scores, -loss.residual(target, scores), 10.0) == 0.0
        assert loss.step(target, scores, np.zeros_like(scores), 10.0) == 0.0

    def test_weights_count_like_repeated_rows(self) -> None:
        """In the start, the value and the step."""
        loss, target, scores = self.make(), self.target(6), self.scores(6)
        g = self.direction(6)
        counts = np.random.default_rng(6).integers(0, 4, self.n_rows)
        again = np.repeat(np.arange(self.n_rows), counts)
        weight = counts.astype(float)
        pairs: list[tuple[Any, Any]] = [
            (loss.start(target, weight), loss.start(target[again])),
            (loss.value(target, scores, weight), loss.value(target[again], scores[again])),
            (
                loss.step(target, scores, g, 100.0, weight),
                loss.step(target[again], scores[again], g[again], 100.0),
            ),
        ]
        for got, want in pairs:
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)

    def test_an_implied_target_has_the_residual_it_came_from(self) -> None:
        """Where the loss can tell a target from a residual at all."""
        loss, target, scores = self.make(), self.target(7), self.scores(7)
        residual = loss.residual(target, scores)
        implied = loss.implied_target(residual, scores)
        if implied is not None:
            np.testing.assert_allclose(implied, target, rtol=1e-12, atol=1e-12)

    def test_arguments_are_left_alone(self) -> None:
        """Every method reads only."""
        loss, target, scores = self.make(), self.target(8), self.scores(8)
        g = self.direction(8)
        before = [array.copy() for array in (target, scores, g)]
        loss.rows(target, scores)
        loss.residual(target, scores)
        loss.start(target)
        loss.step(target, scores, g, 10.0)
        for array, was in zip((target, scores, g), before, strict=True):
            np.testing.assert_array_equal(array, was)


class WeigherContract(ABC):
    """The suite of weighers."""

    registered = True
    exact = True
    """False if it only comes near its optimum, or has none."""

    @abstractmethod
    def make(self) -> Weigher:
        """Return the weigher."""

    def objective(self, problem: WeighProblem, w: Float64) -> float:
        """Return what the weigher minimises, for an exact one."""
        raise NotImplementedError

    def problem(self, seed: int, n_parties: int = 4, size: int = 60) -> WeighProblem:
        """Return parties that each explain some of a residual."""
        generator = np.random.default_rng(seed)
        residual = generator.normal(size=size)
        shares = generator.uniform(0, 1, size=(n_parties, 1))
        noise = generator.normal(size=(n_parties, size))
        return WeighProblem.of(shares * residual + 0.6 * noise, residual)

    def test_it_is_registered_under_its_name(self) -> None:
        """The registry gives the class back by its name, and it describes itself in JSON."""
        weigher = self.make()
        assert not self.registered or WEIGHERS[weigher.name] is type(weigher)
        assert json.loads(json.dumps(weigher.describe()))["weights"] == weigher.name

    @pytest.mark.parametrize("n_parties", [1, 2, 5, 12])
    @pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
    def test_weights_lie_in_the_simplex(self, n_parties: int, unit: float) -> None:
        """Whatever the residual's unit."""
        problem = self.problem(n_parties, n_parties)
        problem = WeighProblem.of(unit * problem.fits, unit * problem.residual)
        w = self.make().weights(problem)
        assert w.shape == (n_parties,)
        assert (w >= 0).all()
        assert abs(w.sum() - 1) <= 1e-12

    @pytest.mark.parametrize("seed", range(3))
    def test_no_mix_is_better(self, seed: int) -> None:
        """Among many mixes, and close by; for weighers that are exact."""
        if not self.exact:
            return
        problem = self.problem(seed)
        w = self.make().weights(problem)
        best = self.objective(problem, w)
        generator = np.random.default_rng(seed)
        far = generator.dirichlet(np.ones(4), size=200)
        near = 0.999 * w + 0.001 * generator.dirichlet(np.ones(4), size=200)
        for other in (*far, *near, *np.eye(4)):
            assert self.objective(problem, other) >= best - 1e-8 * abs(best)

    def test_weights_follow_their_parties(self) -> None:
        """A permutation of the parties permutes the weights."""
        problem = self.problem(5)
        order = np.array([2, 0, 3, 1])
        turned = WeighProblem.of(problem.fits[order], problem.residual)
        weigher = self.make()
        want = weigher.weights(problem)[order]
        np.testing.assert_allclose(weigher.weights(turned), want, atol=2e-5)

    def test_parties_that_say_nothing_share_alike(self) -> None:
        """All fits 0 give 1/M each."""
        problem = WeighProblem.of(np.zeros((3, 8)), np.ones(8))
        np.testing.assert_allclose(self.make().weights(problem), 1 / 3)

    def test_the_problem_is_left_alone(self) -> None:
        """Fits, residual and products stay."""
        problem = self.problem(9)
        before = [array.copy() for array in (problem.fits, problem.residual, problem.H, problem.c)]
        self.make().weights(problem)
        after = (problem.fits, problem.residual, problem.H, problem.c)
        for array, was in zip(after, before, strict=True):
            np.testing.assert_array_equal(array, was)


class LearnerContract(ABC):
    """The suite of learners."""

    n_rows, n_columns = 40, 3

    @abstractmethod
    def make(self) -> Learner:
        """Return a learner."""

    def rows(self) -> Float64:
        """Return the party's ``(n_rows, ...)`` rows."""
        return np.random.default_rng(0).normal(size=(self.n_rows, self.n_columns))

    def residual(self, t: int, n_outputs: int) -> Float64:
        """Return round t's ``(n_rows, n_outputs)`` residual, which follows from the rows."""
        generator = np.random.default_rng(t)
        flat = self.rows().reshape(self.n_rows, -1)
        slopes = generator.normal(size=(flat.shape[1], n_outputs))
        return np.asarray(flat @ slopes + 0.1 * generator.normal(size=(self.n_rows, n_outputs)))

    def fitted(
        self,
        rounds: int = 2,
        n_outputs: int = 2,
        factor: float = 1.0,
        template: Learner | None = None,
    ) -> Learner:
        """Return a learner after some rounds."""
        learner = (template or self.make()).fresh()
        learner.prepare(self.rows())
        for t in range(1, rounds + 1):
            residual = factor * self.residual(t, n_outputs)
            learner.fit(t, residual, np.random.SeedSequence(7, spawn_key=(t,)))
        return learner

    def test_its_name_is_its_own(self) -> None:
        """The registry, where it holds the name, gives the class back; settings are JSON."""
        learner = self.make()
        assert json.loads(json.dumps(learner.describe()))["learner"] == learner.name
        if learner.name in LEARNERS:
            assert LEARNERS[learner.name] is type(learner)

    @pytest.mark.parametrize("n_outputs", [1, 3])
    def test_outputs_have_the_residuals_columns(self, n_outputs: int) -> None:
        """For all rows, some and none."""
        learner = self.fitted(1, n_outputs)
        for count in (self.n_rows, 5, 1, 0):
            found = learner.predict(1, self.rows()[:count])
            assert found.shape == (count, n_outputs)
            assert found.dtype == np.float64
            assert np.isfinite(found).all()

    def test_all_rounds_at_once_are_each_round(self) -> None:
        """To the bit; also of one row and of none."""
        learner = self.fitted(3)
        for count in (self.n_rows, 1, 0):
            rows = self.rows()[:count]
            want = [learner.predict(t, rows) for t in (1, 2, 3)]
            np.testing.assert_array_equal(learner.predict_all(3, rows), want)

    def test_equal_seeds_give_equal_outputs(self) -> None:
        """To the bit, whatever the process drew before."""
        first = self.fitted().predict(2, self.rows())
        torch.rand(3)
        np.testing.assert_array_equal(self.fitted().predict(2, self.rows()), first)

    def test_a_row_says_the_same_in_any_company(self) -> None:
        """Alone, in a part, or with all others."""
        learner, rows = self.fitted(), self.rows()
        together = learner.predict(1, rows)
        size = float(np.abs(together).max())
        for some in (slice(0, 1), slice(3, 20), slice(20, None)):
            alone = learner.predict(1, rows[some])
            np.testing.assert_allclose(alone, together[some], rtol=1e-10, atol=1e-10 * size)

    def test_later_rounds_leave_earlier_outputs(self) -> None:
        """Unless the learner says that it states them again."""
        if self.make().restates:
            return
        learner = self.fitted(1)
        before = learner.predict(1, self.rows())
        learner.fit(2, self.residual(2, 2), np.random.SeedSequence(7, spawn_key=(2,)))
        np.testing.assert_array_equal(learner.predict(1, self.rows()), before)

    def test_a_pass_may_end_with_any_round(self) -> None:
        """What was said by then, also by a learner that states rounds again, holds from then on."""
        want = [self.fitted(2).predict(t, self.rows()) for t in (1, 2)]
        learner = self.fitted(3)
        learner.keep(2)
        for t in (1, 2):
            np.testing.assert_array_equal(learner.predict(t, self.rows()), want[t - 1])
        with pytest.raises(ModelError, match="was fitted"):
            learner.predict(3, self.rows())

    def test_saved_models_answer_alike(self) -> None:
        """To the bit, in a learner of the same settings; others say that they cannot be saved."""
        learner = self.fitted(3)
        learner.keep(2)
        if not learner.savable:
            with pytest.raises(ModelError, match="can be saved"):
                learner.save()
            return
        again = self.make().fresh()
        numpy_state = str(np.random.get_state(legacy=False))  # noqa: NPY002
        torch_state = torch.get_rng_state()
        again.load(learner.save())
        assert str(np.random.get_state(legacy=False)) == numpy_state  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), torch_state)
        for t in (1, 2):
            want = learner.predict(t, self.rows())
            np.testing.assert_array_equal(again.predict(t, self.rows()), want)
        with pytest.raises(ModelError, match="was fitted"):
            again.predict(3, self.rows())

    def test_what_is_no_saved_model_is_refused(self) -> None:
        """Bytes of another kind, and a part of a save."""
        learner = self.fitted(1)
        if learner.savable:
            for content in (b"", b"models", learner.save()[:-9]):
                with pytest.raises(ModelError, match="Expected models saved"):
                    self.make().fresh().load(content)

    def test_global_random_state_is_not_moved(self) -> None:
        """Neither NumPy's nor PyTorch's."""
        template = self.make()
        numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 - that it is not moved
        torch_state = torch.get_rng_state()
        self.fitted(template=template).predict(1, self.rows())
        after = np.random.get_state(legacy=False)  # noqa: NPY002
        assert str(after) == str(numpy_state)
        assert torch.equal(torch.get_rng_state(), torch_state)

    def test_arguments_are_left_alone(self) -> None:
        """Rows and residual are read only."""
        rows, residual = self.rows(), self.residual(1, 2)
        kept = rows.copy(), residual.copy()
        learner = self.make().fresh()
        learner.prepare(rows)
        learner.fit(1, residual, np.random.SeedSequence(1))
        learner.predict(1, rows)
        np.testing.assert_array_equal(rows, kept[0])
        np.testing.assert_array_equal(residual, kept[1])

    def test_the_residuals_unit_does_not_matter(self) -> None:
        """``a R`` gives a times the outputs; where the learner scales residuals."""
        if not self.make().scale_residual:
            return
        want = self.fitted().predict(1, self.rows())
        for factor in (2.0**-20, 2.0**20):  # exact in floating point
            got = self.fitted(factor=factor).predict(1, self.rows())
            np.testing.assert_allclose(got, factor * want, rtol=1e-6)

    def test_nothing_to_fit_gives_no_nan(self) -> None:
        """A residual of zeros."""
        learner = self.make().fresh()
        learner.prepare(self.rows())
        learner.fit(1, np.zeros((self.n_rows, 2)), np.random.SeedSequence(1))
        assert np.isfinite(learner.predict(1, self.rows())).all()

    def test_a_fresh_one_knows_nothing(self) -> None:
        """The template of a fitted learner's copies stays unfitted."""
        again = self.fitted().fresh()
        assert again.describe() == self.make().describe()
        with pytest.raises(ModelError, match="was fitted"):
            again.predict(1, self.rows())
