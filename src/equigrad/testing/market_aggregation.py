"""The contract suite of the market's aggregators.

Each test is one sentence of the contract in :class:`equigrad.market.aggregation.MarketAggregator`.
"""

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt
import pytest

from equigrad.errors import ConfigError
from equigrad.market.aggregation import AGGREGATORS, MarketAggregator, error_bound

__all__ = ["MarketAggregatorContract"]

Array = npt.NDArray[np.float64]


class MarketAggregatorContract(ABC):
    """Inherit, return the rule from :meth:`rule`, name the class ``Test...``; pytest does the rest.

    The suite makes its own rounds: n bidders, some of whom sell nothing, seeded.
    """

    @abstractmethod
    def rule(self) -> MarketAggregator:
        """Return the rule under test, as a user would make it."""

    def bidders(self, n: int) -> tuple[Array, Array]:
        """Return sizes ``(n,)`` and precisions ``(n,)``; every third bidder sells nothing."""
        generator = np.random.default_rng(11)
        sizes = np.floor(generator.lognormal(3.0, 2.0, n)) + 1.0
        precision = generator.uniform(0.1, 2.0, n) ** 2 / 8.0
        precision[2::3] = 0.0
        return sizes, precision

    def weights(self, sizes: npt.ArrayLike, precision: npt.ArrayLike) -> Array:
        """Return the rule's weights of a round in which somebody sells."""
        found = self.rule().weights(sizes, precision)
        np.testing.assert_equal(found is None, False)
        return np.asarray(found)

    def test_name(self) -> None:
        """The rule is registered under its name."""
        rule = self.rule()
        np.testing.assert_equal(type(rule), AGGREGATORS[rule.name])

    @pytest.mark.parametrize("n", [1, 2, 7, 400])
    def test_weights(self, n: int) -> None:
        """Weights are float64, >= 0, of sum one, 0 for a non-seller; the arguments are kept."""
        sizes, precision = self.bidders(n)
        given = sizes.copy(), precision.copy()
        found = self.weights(*given)
        np.testing.assert_equal((found.shape, found.dtype), ((n,), np.dtype(np.float64)))
        np.testing.assert_allclose(found.sum(), 1.0, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(found >= 0.0, np.ones(n, dtype=bool))
        np.testing.assert_array_equal(found[precision == 0.0], np.zeros((precision == 0.0).sum()))
        np.testing.assert_array_equal(given[0], sizes)
        np.testing.assert_array_equal(given[1], precision)

    def test_equivariance(self) -> None:
        """Permuting the parties permutes the weights."""
        sizes, precision = self.bidders(9)
        order = np.random.default_rng(3).permutation(9)
        straight = self.weights(sizes, precision)
        moved = self.weights(sizes[order], precision[order])
        np.testing.assert_allclose(moved, straight[order], rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("factor", [1e-6, 3.0, 1e9])
    def test_scale(self, factor: float) -> None:
        """One positive factor on all sizes changes no weight."""
        sizes, precision = self.bidders(8)
        np.testing.assert_allclose(
            self.weights(factor * sizes, precision),
            self.weights(sizes, precision),
            rtol=1e-9,
            atol=1e-12,
        )

    def test_one_seller_and_none(self) -> None:
        """A single seller has the weight one; without any seller there are no weights."""
        sizes, precision = self.bidders(5)
        alone = np.where(np.arange(5) == 1, precision, 0.0)
        np.testing.assert_array_equal(self.weights(sizes, alone), [0.0, 1.0, 0.0, 0.0, 0.0])
        np.testing.assert_equal(self.rule().weights(sizes, np.zeros(5)), None)
        np.testing.assert_equal(
            self.rule().weights(sizes, precision, delivered=np.zeros(5, dtype=bool)), None
        )

    def test_drop_outs(self) -> None:
        """Who does not deliver is as one who does not sell."""
        sizes, precision = self.bidders(8)
        came = np.array([True, True, True, False, True, True, True, False])
        found = self.rule().weights(sizes, precision, delivered=came)
        want = self.weights(sizes, np.where(came, precision, 0.0))
        np.testing.assert_equal(found is None, False)
        np.testing.assert_array_equal(np.asarray(found), want)

    def test_optimal(self) -> None:
        """Where claimed, weights moved a little towards other weights have no smaller error."""
        if not self.rule().optimal:
            pytest.skip("the rule does not claim the least error")
        generator = np.random.default_rng(5)
        for n in (2, 5, 30):
            sizes, precision = self.bidders(n)
            found = self.weights(sizes, precision)
            least = error_bound(found, sizes, precision)
            for _ in range(50):
                other = generator.dirichlet(np.full(n, 0.3)) * (precision > 0)
                other /= other.sum()
                for share in (1e-4, 0.1, 1.0):
                    moved = error_bound((1 - share) * found + share * other, sizes, precision)
                    if least is None or moved is None:
                        raise AssertionError("Expected an error bound of a valid round, got none.")
                    np.testing.assert_array_less(least.total * (1.0 - 1e-9), moved.total)

    @pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
    def test_bad_numbers_are_refused(self, bad: float) -> None:
        """An impossible size or precision is an error that names it."""
        sizes, precision = self.bidders(4)
        for place, name in enumerate(("sizes", "precision")):
            given = [sizes.copy(), precision.copy()]
            given[place][1] = bad
            with pytest.raises(ConfigError, match=rf"{name}\[1\]"):
                self.rule().weights(*given)

    def test_other_shapes_and_no_records_are_refused(self) -> None:
        """Sizes and precisions are of one shape, and some record is there."""
        sizes, precision = self.bidders(4)
        with pytest.raises(ConfigError, match="shape"):
            self.rule().weights(sizes[:3], precision)
        with pytest.raises(ConfigError, match="shape"):
            self.rule().weights(sizes, precision, delivered=np.ones(3, dtype=bool))
        with pytest.raises(ConfigError, match="sum"):
            self.rule().weights(0 * sizes, precision)
        with pytest.raises(ConfigError, match="at least one"):
            self.rule().weights([], [])
