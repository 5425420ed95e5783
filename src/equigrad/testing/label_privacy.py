"""The contract suite of label-privacy mechanisms.

Each test is one sentence of the contract in :class:`equigrad.assistance.Mechanism`. Inherit the
suite, return the mechanism from :meth:`make`, say by attributes what it is asked for, name the
class ``Test...``.
"""

import json
import math
from abc import ABC, abstractmethod

import numpy as np
import pytest
import torch

from equigrad.assistance import MECHANISMS, Mechanism, make_loss
from equigrad.assistance.arrays import Float64
from equigrad.assistance.privacy import Release
from equigrad.errors import ConfigError
from equigrad.privacy.noise import NoiseKey

__all__ = ["LabelMechanismContract"]

DRAWS = 100_000


class LabelMechanismContract(ABC):
    """The suite of mechanisms, for one kind of release.

    Attributes
    ----------
    loss, n_outputs, once
        Overall loss, K, and whether labels are released once or residuals in each round.
    epsilon
        Of one release; None for a mechanism without.
    label_bounds, residual_bounds
        Public bounds where the mechanism needs them.
    extremes
        Two regression labels, for all K columns, that the release has to hide from each other.
    tight
        Whether the audit must find most of the epsilon that is stated.
    """

    registered = True
    loss = "ce"
    n_outputs = 3
    once = True
    epsilon: float | None = 1.0
    label_bounds: tuple[float, float] | None = None
    residual_bounds: tuple[float, float] | None = None
    extremes = (0.0, 1.0)
    tight = True

    @abstractmethod
    def make(self) -> Mechanism:
        """Return the mechanism."""

    def release(self, t: int = 1) -> Release:
        """Return the public numbers of round t's release, round 0 being that of labels."""
        return Release(
            make_loss(self.loss),
            self.n_outputs,
            self.epsilon,
            self.label_bounds,
            self.residual_bounds,
            t=0 if self.once else t,
        )

    def target(self, which: int, count: int) -> Float64:
        """Return ``(count, K)``: the same label in all rows, one of two."""
        if make_loss(self.loss).classification:
            return np.tile(np.eye(self.n_outputs)[which], (count, 1))
        return np.full((count, self.n_outputs), self.extremes[which])

    def scores(self, count: int) -> Float64:
        """Return the public scores, halfway between the two labels or even classes."""
        middle = 0.0 if make_loss(self.loss).classification else sum(self.extremes) / 2
        return np.full((count, self.n_outputs), middle)

    def clean(self, target: Float64) -> Float64:
        """Return what the message has for its mean: labels or residuals within their bounds."""
        classification = make_loss(self.loss).classification
        bounds, values = self.label_bounds, target
        if not self.once:
            values = make_loss(self.loss).residual(target, self.scores(len(target)))
            bounds = self.residual_bounds
        return values if classification or bounds is None else np.clip(values, *bounds)

    def send(self, target: Float64, key: NoiseKey, t: int = 1) -> Float64:
        """Return the message of round t."""
        mechanism, release = self.make(), self.release(t)
        if self.once:
            return mechanism.labels(target, release, key)
        residual = make_loss(self.loss).residual(target, self.scores(len(target)))
        return mechanism.residual(residual, target, release, key)

    def test_it_is_registered_under_its_name(self) -> None:
        """The registry gives the class back by its name."""
        mechanism = self.make()
        assert not self.registered or MECHANISMS[mechanism.name] is type(mechanism)
        mechanism.check(self.release(), once=self.once)

    def test_the_cost_is_the_epsilon_it_was_given(self) -> None:
        """Ready for JSON; None exactly where no differential privacy is claimed."""
        cost = json.loads(json.dumps(self.make().cost(self.release(), once=self.once)))
        assert cost["mechanism"] == self.make().name
        assert cost["epsilon"] == self.epsilon
        assert (self.epsilon is None) == (not self.make().pure)

    def test_messages_are_float64_and_leave_their_arguments(self) -> None:
        """``(n, K)``, for many rows and for one."""
        for count in (1, 7):
            target = self.target(0, count)
            kept = target.copy()
            message = self.send(target, NoiseKey.test(1))
            assert message.shape == (count, self.n_outputs)
            assert message.dtype == np.float64
            np.testing.assert_array_equal(target, kept)

    @pytest.mark.parametrize("which", [0, 1])
    def test_the_mean_is_the_clipped_truth(self, which: int) -> None:
        """Of 1e5 draws, within five standard errors in every column."""
        target = self.target(which, DRAWS)
        draws = self.send(target, NoiseKey.test(20 + which))
        error = draws.std(axis=0) / math.sqrt(DRAWS)
        assert (np.abs(draws.mean(axis=0) - self.clean(target)[0]) <= 5 * error + 1e-9).all()

    def test_no_event_is_likelier_than_epsilon_allows(self) -> None:
        """An audit: the messages beyond the one truth, away from the other, under both labels."""
        if self.epsilon is None:
            return
        shares = []
        for which, seed in ((0, 30), (1, 31)):
            draws = self.send(self.target(which, DRAWS), NoiseKey.test(seed))
            shares.append(self._beyond(draws).mean())
        errors = [math.sqrt(p * (1 - p) / DRAWS) for p in shares]
        least = math.log((shares[0] - 4 * errors[0]) / (shares[1] + 4 * errors[1]))
        assert least <= self.epsilon
        if self.tight:
            assert math.log(shares[0] / shares[1]) >= 0.8 * self.epsilon

    def test_a_label_moves_its_own_row_alone(self) -> None:
        """With the same noise, other rows' messages stay to the bit."""
        target = self.target(0, 50)
        other = target.copy()
        other[7] = self.target(1, 1)
        first, second = (self.send(rows, NoiseKey.test(4)) for rows in (target, other))
        np.testing.assert_array_equal(np.delete(first, 7, 0), np.delete(second, 7, 0))

    def test_noise_of_rounds_and_rows_has_nothing_in_common(self) -> None:
        """Correlations below five over the root of the number of entries."""
        target = self.target(0, 4000)
        rounds = [self.send(target, NoiseKey.test(5), t) for t in (1, 2)]
        noise = [message - message.mean(axis=0) for message in rounds]
        limit = 5 / math.sqrt(noise[0].size)
        assert abs(_correlation(noise[0][1:, 0], noise[0][:-1, 0])) < 5 / math.sqrt(4000)
        if not self.once:
            assert abs(_correlation(noise[0].ravel(), noise[1].ravel())) < limit

    def test_a_key_repeats_and_another_does_not(self) -> None:
        """The randomness is the key's alone: a resumed run sends the same message."""
        target = self.target(0, 200)
        first = self.send(target, NoiseKey.test(6))
        np.testing.assert_array_equal(self.send(target, NoiseKey.test(6)), first)
        assert not np.array_equal(self.send(target, NoiseKey.test(7)), first)

    def test_global_random_state_is_not_moved(self) -> None:
        """Neither NumPy's nor PyTorch's."""
        before = np.random.get_state(legacy=False), torch.get_rng_state()  # noqa: NPY002
        self.send(self.target(0, 20), NoiseKey.test(8))
        assert str(np.random.get_state(legacy=False)) == str(before[0])  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), before[1])

    def test_a_label_beyond_its_bounds_counts_as_the_bound(self) -> None:
        """Regression: nothing larger leaves."""
        if make_loss(self.loss).classification or not (self.label_bounds and self.once):
            return
        wild = np.full((50, self.n_outputs), 1e9)
        edge = np.full((50, self.n_outputs), self.label_bounds[1])
        first, second = (self.send(rows, NoiseKey.test(9)) for rows in (wild, edge))
        np.testing.assert_array_equal(first, second)

    def test_what_cannot_be_promised_is_refused(self) -> None:
        """An epsilon where none holds, or none where one is stated."""
        loss = make_loss(self.loss)
        wrong = 1.0 if self.epsilon is None else None
        bounds = self.label_bounds, self.residual_bounds
        with pytest.raises(ConfigError):
            self.make().check(Release(loss, self.n_outputs, wrong, *bounds), once=self.once)

    def _beyond(self, draws: Float64) -> Float64:
        """Return ``(n,)`` whether a message lies beyond truth 0 in all columns that differ."""
        here, there = (self.clean(self.target(which, 1))[0] for which in (0, 1))
        past = np.where(here > there, draws >= here - 1e-9, draws <= here + 1e-9)
        return np.asarray(past[:, here != there].all(axis=1), dtype=np.float64)


def _correlation(a: Float64, b: Float64) -> float:
    return float(np.corrcoef(a, b)[0, 1])
