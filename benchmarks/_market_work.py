"""The seeded work of the market's benchmarks: profiles of bidders in FL-Market's manner."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad.market import BidBook, Curve, Ladder, curve_values

RECORDS = 125_973
KINDS = ("quad", "sqrt", "linear", "exp")
RATES = (0.2, 0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class Profile:
    """The bidders of one round."""

    curves: list[Curve]
    caps: npt.NDArray[np.float64]
    sizes: npt.NDArray[np.int64]

    @property
    def cost(self) -> float:
        """What all caps together cost, in currency."""
        values = curve_values(self.curves, self.caps[:, None])[:, 0]
        return float((self.sizes * values).sum())

    def book(self, ladder: Ladder) -> BidBook:
        """Return the canonical bids on a ladder."""
        names = [f"party-{i:06d}" for i in range(len(self.curves))]
        return BidBook.from_curves(names, self.curves, self.caps, self.sizes, ladder)


def profiles(
    seed: int = 42, *, runs: int = 10, n: int = 10, records: int = RECORDS
) -> list[Profile]:
    """Return 1,000 parties a run in groups of ``n``, drawn in the published order."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        shares = rng.lognormal(0, 2, size=1000)
        sizes = np.floor((records - 10_000) * (shares / shares.sum())).astype(np.int64) + 10
        sizes[-1] += records - sizes.sum()
        kinds = rng.integers(0, 4, size=1000)
        caps = rng.uniform(0.5, 2, size=1000)
        factors = rng.uniform(0.5, 1.5, size=1000)
        for first in range(0, 1000, n):
            rows = range(first, first + n)
            curves = [Curve(KINDS[kinds[i]], float(factors[i])) for i in rows]
            found.append(Profile(curves, caps[rows], sizes[rows]))
    return found


def held_out(found: list[Profile], *, count: int = 300) -> list[Profile]:
    """Return the ``count`` profiles of the test set, out of 1,000."""
    return [found[i] for i in np.random.default_rng(5).permutation(1000)[:count]]
