"""The contract suite of reward rules.

Each test is one sentence of the contract in :class:`equigrad.reward.RewardRule`.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from equigrad.errors import ConfigError
from equigrad.reward import (
    REWARD_RULES,
    Masks,
    RewardRule,
    cosines,
    energies,
    prefix_products,
    reward_norms,
    take,
)

__all__ = ["RewardRuleContract"]

Floats = npt.NDArray[np.floating[Any]]

RATIOS = np.array([0.0, 1e-9, 0.01, 0.2, 1 / 3, 0.5, 0.9, 0.9, 0.999, 1.0])
AGGREGATES = ("normal", "heavy", "ties", "equal", "zero", "single", "float32")


class RewardRuleContract(ABC):
    """Inherit, return the rule from :meth:`rule`, name the class ``Test...``; pytest does the rest.

    The suite makes its own aggregates, seeded: Gaussian and heavy-tailed ones, ones with many
    equal magnitudes, zeros only, one entry only, and ``float32``.
    """

    layer_sizes: tuple[int, ...] = (12, 1, 30, 5, 16)
    """Sizes of the parameter tensors of the aggregates that the suite makes."""

    @abstractmethod
    def rule(self) -> RewardRule:
        """Return the rule under test, as a user would make it."""

    def aggregate(self, kind: str) -> Floats:
        """Return an aggregate of length ``sum(layer_sizes)``."""
        generator, size = np.random.default_rng(3), sum(self.layer_sizes)
        vector = generator.normal(size=size)
        made: dict[str, Floats] = {
            "normal": vector,
            "heavy": vector**5,
            "ties": generator.integers(-2, 3, size=size).astype(np.float64),
            "equal": np.where(vector > 0, 1.0, -1.0),
            "zero": np.zeros(size),
            "single": np.where(np.arange(size) == 20, -3.0, 0.0),
            "float32": vector.astype(np.float32),
        }
        return made[kind]

    def masks(self, aggregate: Floats, ratios: npt.ArrayLike = RATIOS) -> Masks:
        """Return the rule's masks of the aggregate."""
        return self.rule().masks(aggregate, ratios, self.layer_sizes)

    def kept(self, masks: Masks) -> npt.NDArray[np.bool_]:
        """Return ``(n, D) bool``: what each party keeps."""
        kept = np.zeros((len(masks.kept), masks.n_params), dtype=np.bool_)
        for i, row in enumerate(kept):
            row[masks.indices(i)] = True
        return kept

    def test_name(self) -> None:
        """The rule is registered under its name."""
        rule = self.rule()
        np.testing.assert_equal(type(rule), REWARD_RULES[rule.name])

    @pytest.mark.parametrize("kind", AGGREGATES)
    def test_masks_are_prefixes_of_a_sorted_order(self, kind: str) -> None:
        """Order sorts each segment by falling magnitude, ties to the lower index; inputs stay."""
        aggregate = self.aggregate(kind)
        before = aggregate.copy()
        masks = self.masks(aggregate)
        np.testing.assert_array_equal(aggregate, before)
        np.testing.assert_equal((masks.order.dtype, masks.kept.dtype), (np.int64, np.int64))
        np.testing.assert_array_equal(np.sort(masks.order), np.arange(aggregate.size))
        np.testing.assert_equal(masks.kept.shape, (RATIOS.size, masks.segments.size))
        np.testing.assert_equal(((masks.kept >= 0) & (masks.kept <= masks.segments)).all(), True)
        for block in np.split(masks.order, np.cumsum(masks.segments)[:-1]):
            np.testing.assert_equal(np.ptp(block), block.size - 1)
            falling = -np.abs(aggregate[block])
            np.testing.assert_array_equal(block, block[np.lexsort((block, falling))])

    @pytest.mark.parametrize("kind", AGGREGATES)
    def test_nested(self, kind: str) -> None:
        """A smaller ratio keeps a part of what a larger one keeps; equal ratios keep the same."""
        kept = self.kept(self.masks(self.aggregate(kind)))
        np.testing.assert_equal((kept[:-1] <= kept[1:]).all(), True)
        np.testing.assert_array_equal(kept[6], kept[7])

    @pytest.mark.parametrize("kind", AGGREGATES)
    def test_coalitions_learn_nothing_new(self, kind: str) -> None:
        """Whoever pools rewards has the entries of its best member and no other."""
        kept = self.kept(self.masks(self.aggregate(kind), RATIOS[::-1]))
        generator = np.random.default_rng(0)
        for members in generator.random((20, RATIOS.size)) < 0.4:
            if members.any():
                best = int(np.argmax(members))  # ratios fall, so the first member has the largest
                np.testing.assert_array_equal(kept[members].any(axis=0), kept[best])

    @pytest.mark.parametrize("kind", AGGREGATES)
    def test_nothing_for_nothing(self, kind: str) -> None:
        """Ratio 0 gets the zero vector."""
        np.testing.assert_equal(self.masks(self.aggregate(kind), [0.0, 1.0]).counts()[0], 0)

    @pytest.mark.parametrize("kind", AGGREGATES)
    def test_full_at_the_top(self, kind: str) -> None:
        """Ratio 1 gets the aggregate itself, where the rule claims it."""
        if not self.rule().full_at_top:
            pytest.skip("the rule does not claim that the best party gets everything")
        aggregate = self.aggregate(kind)
        masks = self.masks(aggregate, [1.0, 0.5])
        np.testing.assert_array_equal(take(aggregate, masks, 0).dense(), aggregate)
        np.testing.assert_equal(cosines(aggregate, masks)[0], float(aggregate.any()))

    @pytest.mark.parametrize("kind", AGGREGATES)
    def test_monotone(self, kind: str) -> None:
        """A larger ratio gets a reward no further from the aggregate, in cosine and distance."""
        aggregate = self.aggregate(kind)
        masks = self.masks(aggregate)
        rewards = np.stack([take(aggregate, masks, i).dense() for i in range(RATIOS.size)])
        distances = np.linalg.norm(rewards - aggregate, axis=1)
        np.testing.assert_equal((np.diff(cosines(aggregate, masks)) >= -1e-12).all(), True)
        np.testing.assert_equal((np.diff(distances) <= 1e-6 * distances.max()).all(), True)

    @pytest.mark.parametrize("kind", AGGREGATES)
    def test_measures(self, kind: str) -> None:
        """Norms, cosines and products with uploads are those of the dense rewards."""
        aggregate = self.aggregate(kind)
        masks = self.masks(aggregate)
        wide = aggregate.astype(np.float64)
        rewards = np.where(self.kept(masks), wide, 0.0)
        squares = np.square(rewards).sum(axis=1)
        length = np.linalg.norm(wide)
        uploads = np.random.default_rng(1).normal(size=(4, aggregate.size))
        np.testing.assert_allclose(energies(aggregate, masks), squares, rtol=1e-12)
        np.testing.assert_allclose(reward_norms(aggregate, masks), np.sqrt(squares), rtol=1e-12)
        expected = np.sqrt(squares) / length if length else np.zeros(RATIOS.size)
        np.testing.assert_allclose(cosines(aggregate, masks), expected, rtol=1e-12)
        products = prefix_products(aggregate, masks, uploads)
        scale = length * np.linalg.norm(uploads, axis=1).max()
        np.testing.assert_allclose(products, rewards @ uploads.T, rtol=0, atol=1e-13 * scale)

    @pytest.mark.parametrize("kind", AGGREGATES)
    def test_only_relative_magnitudes_matter(self, kind: str) -> None:
        """Scaling the aggregate, or flipping signs, changes no mask."""
        aggregate = self.aggregate(kind)
        plain = self.kept(self.masks(aggregate))
        signs = np.where(np.arange(aggregate.size) % 3, 1, -1).astype(aggregate.dtype)
        factor = aggregate.dtype.type(0.25)
        np.testing.assert_array_equal(self.kept(self.masks(factor * aggregate)), plain)
        np.testing.assert_array_equal(self.kept(self.masks(signs * aggregate)), plain)

    def test_others_do_not_matter(self) -> None:
        """A party's mask follows from its own ratio, whoever else is there."""
        aggregate = self.aggregate("normal")
        together = self.masks(aggregate).kept
        for i, q in enumerate(RATIOS):
            np.testing.assert_array_equal(self.masks(aggregate, [q]).kept[0], together[i])
        np.testing.assert_equal(self.masks(aggregate, []).kept.shape[0], 0)

    @pytest.mark.parametrize("kind", AGGREGATES)
    def test_verifiable(self, kind: str) -> None:
        """Prefix lengths follow from the ratios where claimed; else asking for them is refused."""
        rule = self.rule()
        if rule.verifiable:
            counts = rule.counts_from_ratio(RATIOS, self.layer_sizes)
            np.testing.assert_array_equal(counts, self.masks(self.aggregate(kind)).kept)
        else:
            with pytest.raises(ConfigError, match="depend on the aggregate"):
                rule.counts_from_ratio(RATIOS, self.layer_sizes)

    @pytest.mark.parametrize("ratio", [-0.1, 1.0000001, np.nan, np.inf])
    def test_bad_ratio_is_refused(self, ratio: float) -> None:
        """A ratio outside [0, 1] is an error that names it and the range."""
        with pytest.raises(ConfigError, match=r"in \[0, 1\], got ratios\[1\]"):
            self.masks(self.aggregate("normal"), [0.5, ratio])
        with pytest.raises(ConfigError, match=r"of shape \(n,\)"):
            self.masks(self.aggregate("normal"), [[0.5, 1.0]])

    @pytest.mark.parametrize("sizes", [(), (64, 0), (63,), (32.0, 32.0), ((64,),)])
    def test_bad_sizes_are_refused(self, sizes: Any) -> None:
        """Layer sizes are positive whole numbers that sum to D."""
        with pytest.raises(ConfigError, match="Expected layer sizes"):
            self.rule().masks(self.aggregate("normal"), RATIOS, sizes)

    def test_bad_aggregate_is_refused(self) -> None:
        """An aggregate that is not finite, flat and floating is refused."""
        aggregate = self.aggregate("normal")
        broken = aggregate.copy()
        broken[5] = np.nan
        wrongs: list[Any] = [broken, aggregate.astype(np.int64), aggregate[None, :]]
        for wrong in wrongs:
            with pytest.raises(ValueError, match="Expected"):
                self.masks(wrong)
