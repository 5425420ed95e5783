"""Prices that reach levels: the two ways of finding them agree, and both with the definition."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.market.auctions import reach
from equigrad.market.auctions.reach import NEVER, levels_at, reach_prices

_COSTS = st.sampled_from([3, 50, 10**6, 2**54])
_GAINS = st.sampled_from([1, 2, 5, 10**4])


@settings(deadline=None, max_examples=120)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 40), _COSTS, _GAINS)
def test_row_by_row_is_all_at_once_is_the_best_reply(seed, n, steps, cost, gain):
    rng = np.random.default_rng(seed)
    first = ((0, 0), (1, 0))
    u = np.pad(np.cumsum(rng.integers(0, cost + 1, (n, steps)), axis=1), first)
    quality = np.pad(np.cumsum(rng.integers(0, gain + 1, (n, steps)), axis=1), first)
    limit = rng.integers(0, steps + 1, n)
    found = reach_prices(u, quality, limit)
    few, reach._FEW = reach._FEW, 0
    try:
        np.testing.assert_array_equal(found, reach_prices(u, quality, limit))
    finally:
        reach._FEW = few
    seen = found[found < NEVER]
    prices = np.unique(np.clip(np.concatenate([seen - 1, seen, [1]]), 0, 2**60))
    for price in prices[:40].tolist():
        for i in range(n):
            gains = [price * int(quality[i, k]) - int(u[i, k]) for k in range(limit[i] + 1)]
            best = max(range(limit[i] + 1), key=lambda k: (gains[k], k))
            assert levels_at(found[[i]], np.asarray([price]))[0] == best
