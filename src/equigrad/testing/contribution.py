"""The contract suite of contribution rules.

Each test is one sentence of the contract in :class:`equigrad.contribution.ContributionRule`.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from equigrad.contribution import RULES, ContributionRule, Values, gram
from equigrad.errors import ConfigError

__all__ = ["ContributionRuleContract"]

Array = npt.NDArray[np.float64]


class ContributionRuleContract(ABC):
    """Inherit, return the rule from :meth:`rule`, name the class ``Test...``; pytest does the rest.

    The suite makes its own uploads: n parties of :attr:`dimension` entries each, seeded. For a
    rule that expects a certain layout of the uploads, set :attr:`dimension` to fit.
    """

    dimension: int = 40
    """Length of the uploads that the suite makes."""

    rounding: float = 1e-10
    """Largest difference that counts as rounding."""

    spread: float = 3.0
    """Half-widths, of two stochastic results together, by which they may differ."""

    @abstractmethod
    def rule(self) -> ContributionRule:
        """Return the rule under test, as a user would make it."""

    def uploads(self, n: int) -> tuple[Array, Array]:
        """Return uploads ``(n, dimension)`` that partly agree, and unequal weights ``(n,)``."""
        generator = np.random.default_rng(7)
        shared = generator.normal(size=self.dimension)
        uploads = shared + 1.5 * generator.normal(size=(n, self.dimension))
        uploads *= generator.uniform(0.5, 2.0, size=(n, 1))
        return uploads, generator.uniform(0.2, 1.0, size=n)

    def evidence(self, uploads: Array) -> Any:
        """Return what the rule needs to see of the uploads."""
        return gram(uploads) if self.rule().needs == "gram" else uploads.copy()

    def value(self, uploads: Array, weights: npt.ArrayLike, seed: int = 0) -> Values:
        """Return the rule's values, from a generator of its own."""
        return self.rule().value(self.evidence(uploads), weights, np.random.default_rng(seed))

    def agree(self, got: Values, want: Values, order: npt.ArrayLike | None = None) -> None:
        """Check that ``got`` is ``want`` in another order, up to rounding or the intervals."""
        index = np.arange(len(want.values)) if order is None else np.asarray(order)
        allowed = np.full(len(index), self.rounding)
        if got.half_width is not None and want.half_width is not None:
            allowed += self.spread * np.hypot(got.half_width, want.half_width[index])
        gap = np.abs(got.values - want.values[index])
        np.testing.assert_array_less(gap, np.nextafter(allowed, np.inf))

    def test_name(self) -> None:
        """The rule is registered under its name."""
        rule = self.rule()
        np.testing.assert_equal(type(rule), RULES[rule.name])

    @pytest.mark.parametrize("n", [1, 2, 7])
    def test_shape(self, n: int) -> None:
        """N finite float64 values; evidence and weights are left as they were."""
        uploads, weights = self.uploads(n)
        evidence, given = self.evidence(uploads), weights.copy()
        values = self.rule().value(evidence, given, np.random.default_rng(0)).values
        np.testing.assert_equal((values.shape, values.dtype), ((n,), np.dtype(np.float64)))
        np.testing.assert_equal(np.isfinite(values).all(), True)
        np.testing.assert_array_equal(evidence, self.evidence(uploads))
        np.testing.assert_array_equal(given, weights)

    def test_null_party(self) -> None:
        """A zero upload has the value 0 exactly, and it has no part in its neighbours' values."""
        uploads, weights = self.uploads(6)
        uploads[2] = 0.0
        got = self.value(uploads, weights)
        np.testing.assert_equal(got.values[2], 0.0)
        np.testing.assert_equal(np.count_nonzero(got.values), 5)

    def test_nothing_at_all(self) -> None:
        """If the weighted sum of the uploads is zero, every value is 0 exactly."""
        uploads, _ = self.uploads(1)
        opposed = np.concatenate([uploads, -uploads])
        np.testing.assert_array_equal(self.value(opposed, [1.0, 1.0]).values, np.zeros(2))
        np.testing.assert_array_equal(self.value(0 * opposed, [1.0, 2.0]).values, np.zeros(2))

    def test_symmetry(self) -> None:
        """Parties with equal uploads and weights have equal values."""
        uploads, weights = self.uploads(6)
        uploads[4], weights[4] = uploads[1], weights[1]
        got = self.value(uploads, weights)
        swapped = np.arange(6)
        swapped[[1, 4]] = [4, 1]
        self.agree(got, got, swapped)

    def test_equivariance(self) -> None:
        """Permuting the parties permutes the values."""
        uploads, weights = self.uploads(7)
        order = np.array([3, 0, 6, 1, 5, 2, 4])
        self.agree(
            self.value(uploads[order], weights[order], seed=1), self.value(uploads, weights), order
        )

    @pytest.mark.parametrize("factor", [1e-9, 0.37, 1e9])
    def test_scale(self, factor: float) -> None:
        """One positive factor on all uploads, or on all weights, changes no value."""
        uploads, weights = self.uploads(5)
        plain = self.value(uploads, weights).values
        scaled = self.value(factor * uploads, weights).values
        reweighted = self.value(uploads, factor * weights).values
        np.testing.assert_allclose(scaled, plain, rtol=0, atol=self.rounding)
        np.testing.assert_allclose(reweighted, plain, rtol=0, atol=self.rounding)

    @pytest.mark.parametrize("n", [1, 2, 9])
    def test_efficiency(self, n: int) -> None:
        """The values of a rule that claims efficiency sum to one."""
        if not self.rule().efficient:
            pytest.skip("the rule does not claim that its values sum to one")
        np.testing.assert_allclose(self.value(*self.uploads(n)).values.sum(), 1.0, atol=1e-9)

    def test_opponent_is_worth_less(self) -> None:
        """Of two parties, one along and one against everybody, the first is worth more."""
        uploads, _ = self.uploads(5)
        uploads[3] = uploads[:3].sum(axis=0)
        uploads[4] = -0.5 * uploads[3]
        values = self.value(uploads, np.ones(5)).values
        np.testing.assert_array_less(values[4], values[3])
        np.testing.assert_array_less(values[4], 0.0)

    @pytest.mark.parametrize("weight", [-0.1, np.nan, np.inf])
    def test_bad_weight_is_refused(self, weight: float) -> None:
        """A negative or non-finite weight is an error that names the weight."""
        uploads, weights = self.uploads(4)
        weights[2] = weight
        with pytest.raises(ValueError, match=r"weights\[2\]"):
            self.value(uploads, weights)

    def test_weights_of_another_shape_or_all_zero_are_refused(self) -> None:
        """There is one weight for each party, and not all are zero."""
        uploads, weights = self.uploads(4)
        with pytest.raises(ValueError, match="shape"):
            self.value(uploads, weights[:3])
        with pytest.raises(ValueError, match="sum"):
            self.value(uploads, 0 * weights)

    def test_non_finite_evidence_is_refused(self) -> None:
        """NaN in the evidence is an error, never a value."""
        uploads, weights = self.uploads(4)
        evidence = self.evidence(uploads)
        evidence[1] = np.nan
        with pytest.raises(ValueError, match=r"[Ee]xpected"):
            self.rule().value(evidence, weights, np.random.default_rng(0))

    def test_randomness(self) -> None:
        """A stochastic rule needs a generator and repeats itself; any other ignores it."""
        rule, (uploads, weights) = self.rule(), self.uploads(6)
        evidence = self.evidence(uploads)
        one, two = (rule.value(evidence, weights, np.random.default_rng(3)) for _ in range(2))
        np.testing.assert_array_equal(one.values, two.values)
        if rule.stochastic:
            half_width = np.asarray(one.half_width, dtype=np.float64)
            np.testing.assert_equal(half_width.shape, (6,))
            with pytest.raises(ConfigError, match="Generator"):
                rule.value(evidence, weights)
        else:
            np.testing.assert_array_equal(rule.value(evidence, weights).values, one.values)
            np.testing.assert_equal((one.half_width, one.permutations), (None, None))

    def test_global_random_state_is_left_alone(self) -> None:
        """No rule draws from NumPy's global generator."""
        before = np.random.get_state()  # noqa: NPY002 (it is the state that must not move)
        self.value(*self.uploads(6))
        after = np.random.get_state()  # noqa: NPY002 (as above)
        np.testing.assert_equal(after, before)
