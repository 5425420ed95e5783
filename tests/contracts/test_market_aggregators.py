"""Every registered aggregator of the market passes the family's contract suite, which bites."""

import numpy as np
import pytest

from equigrad.market.aggregation import AGGREGATORS, Conventional, InverseVariance, OptAggr
from equigrad.testing.market_aggregation import MarketAggregatorContract


class TestOptAggr(MarketAggregatorContract):
    def rule(self):
        return OptAggr()


class TestConventional(MarketAggregatorContract):
    def rule(self):
        return Conventional()


class TestInverseVariance(MarketAggregatorContract):
    def rule(self):
        return InverseVariance()


def test_every_registered_aggregator_is_under_contract():
    tested = {suite().rule().name for suite in MarketAggregatorContract.__subclasses__()}
    assert tested >= set(AGGREGATORS)


def suite_of(made):
    class Suite(MarketAggregatorContract):
        def rule(self):
            return made()

    return Suite()


class _PaysByPlace(Conventional):
    def _weights(self, w, c):
        found = super()._weights(w, c)
        found[0] += 0.1
        return found / found.sum()


class _ForgetsTheSilent(OptAggr):
    """Broken as the reference is: shares among the sellers only."""

    def _weights(self, w, c):
        kept = np.where(c > 0, w, 0.0)
        return super()._weights(kept / kept.sum(), c)


class _Unnormalised(InverseVariance):
    def _weights(self, w, c):
        return c


class _WeighsTheSilent(Conventional):
    def _weights(self, w, c):
        return w


class _SizesByScale(Conventional):
    def weights(self, sizes, precision, *, delivered=None):
        return super().weights(np.asarray(sizes) + 1.0, precision, delivered=delivered)


class _IgnoresDropOuts(OptAggr):
    def weights(self, sizes, precision, *, delivered=None):
        return super().weights(sizes, precision)


@pytest.mark.parametrize(
    ("made", "test"),
    [
        (_PaysByPlace, lambda s: s.test_equivariance()),
        (_ForgetsTheSilent, lambda s: s.test_optimal()),
        (_Unnormalised, lambda s: s.test_weights(7)),
        (_WeighsTheSilent, lambda s: s.test_weights(7)),
        (_SizesByScale, lambda s: s.test_scale(1e-6)),
        (_IgnoresDropOuts, lambda s: s.test_drop_outs()),
        (_WeighsTheSilent, lambda s: s.test_one_seller_and_none()),
        (_PaysByPlace, lambda s: s.test_name()),
    ],
)
def test_the_suite_catches_what_breaks_the_contract(made, test):
    with pytest.raises(AssertionError):
        test(suite_of(made))
