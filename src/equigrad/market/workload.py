"""Seeded bids: who takes part, how much data each has, what each asks and how far each goes.

The synthetic workload of the specification (7.1): sizes of 125,973 records dealt over 1,000
parties, four kinds of cost curves, caps in [0.5, 2], factors in [0.5, 1.5]. It serves benchmarks,
the training of schedules and ``[market.bids] source = "synthetic"``. Bids made here belong to
nobody, so a schedule trained on them cannot be steered by a party that will bid again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive, positive_int
from equigrad.errors import ConfigError

__all__ = [
    "KINDS",
    "NSL_KDD_CLASSES",
    "RECORDS",
    "Profiles",
    "benchmark_profiles",
    "dirichlet_sizes",
    "lognormal_sizes",
    "population",
    "seeded_profiles",
]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

KINDS: tuple[str, ...] = ("quad", "sqrt", "linear", "exp")
"""Kinds of curves that are drawn, in the order of the drawn number."""

RECORDS = 125_973
"""Records of one population: those of NSL-KDD's training file."""

NSL_KDD_CLASSES: tuple[int, ...] = (67_343, 45_927, 11_656, 995, 52)
"""Records of normal traffic, DoS, probe, R2L and U2R in NSL-KDD's training file."""

_LEAST = 10


@dataclass(frozen=True, eq=False)
class Profiles:
    """Rounds of N bidders each; every array is ``(profiles, N)``.

    Attributes
    ----------
    sizes
        int64, records of each party, >= 1.
    kinds
        int64, place of the party's curve in :data:`KINDS`.
    factors
        float64, factor ``a`` of the curve, > 0.
    caps
        float64, the largest epsilon the party sells, > 0.
    """

    sizes: Int64
    kinds: Int64
    factors: Float64
    caps: Float64

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def parties(self) -> int:
        """Bidders of one profile."""
        return int(self.sizes.shape[1])

    def take(self, index: npt.ArrayLike) -> Self:
        """Return the profiles with these places, in this order."""
        at = np.asarray(index)
        return type(self)(self.sizes[at], self.kinds[at], self.factors[at], self.caps[at])

    def grouped(self, parties: int) -> Self:
        """Return the same parties in consecutive groups of ``parties``; a rest is left out."""
        positive_int("parties", parties)
        whole = self.sizes.size // parties

        def cut(array: Any) -> Any:
            return array.reshape(-1)[: whole * parties].reshape(whole, parties)

        return type(self)(cut(self.sizes), cut(self.kinds), cut(self.factors), cut(self.caps))

    def unit_costs(self, eps: npt.ArrayLike) -> Float64:
        """Return each party's cost per record at each epsilon, ``(profiles, N, levels)``.

        Parameters
        ----------
        eps
            ``(levels,)``, or anything that broadcasts with ``(profiles, N, levels)``; >= 0.
        """
        e = np.broadcast_to(
            np.asarray(eps, dtype=np.float64), (*self.sizes.shape, np.shape(eps)[-1])
        )
        kinds = np.broadcast_to(self.kinds[..., None], e.shape)
        shape = np.select(
            [kinds == 0, kinds == 1, kinds == 2], [e**2, 2 * np.sqrt(e), 2 * e], np.expm1(e)
        )
        return np.asarray(self.factors[..., None] * shape)

    def total_costs(self) -> Float64:
        """Return ``d_i v_i(cap_i)``, ``(profiles, N)``, in currency units."""
        return np.asarray(self.sizes * self.unit_costs(self.caps[..., None])[..., 0])

    def budgets(self, rate: float) -> Float64:
        """Return ``rate * sum_i d_i v_i(cap_i)`` of each profile, ``(profiles,)``."""
        return np.asarray(positive("rate", rate) * self.total_costs().sum(axis=1))


def lognormal_sizes(
    generator: np.random.Generator, parties: int = 1000, records: int = RECORDS
) -> Int64:
    """Deal ``records`` by lognormal(0, 2) shares, at least 10 to each party, ``(parties,)``.

    Raises
    ------
    ConfigError
        If there are fewer than ten records for each party.
    """
    shares = generator.lognormal(0.0, 2.0, positive_int("parties", parties))
    return _deal(shares / shares.sum(), records, _LEAST)


def dirichlet_sizes(
    generator: np.random.Generator,
    parties: int = 1000,
    classes: Sequence[int] = NSL_KDD_CLASSES,
    concentration: float = 0.5,
) -> Int64:
    """Deal each class by Dirichlet shares and return the parties' totals, ``(parties,)``.

    The largest class first gives ten records to each party; every class's remainder goes to the
    last party.

    Raises
    ------
    ConfigError
        If the largest class has fewer than ten records for each party.
    """
    positive_int("parties", parties)
    positive("concentration", concentration)
    largest = int(np.argmax(classes))
    sizes = np.zeros(parties, dtype=np.int64)
    for place, records in enumerate(classes):
        shares = generator.dirichlet(np.full(parties, concentration))
        sizes += _deal(shares, records, _LEAST if place == largest else 0)
    return sizes


def population(
    generator: np.random.Generator,
    parties: int = 1000,
    records: int = RECORDS,
    *,
    classes: Sequence[int] | None = None,
) -> Profiles:
    """Draw one population as a single profile of ``parties`` bidders.

    Drawn in this order: sizes, kinds, caps, factors. With ``classes`` (records of each class) the
    sizes are those of :func:`dirichlet_sizes` and ``records`` is not used.
    """
    if classes is None:
        sizes = lognormal_sizes(generator, parties, records)
    else:
        sizes = dirichlet_sizes(generator, parties, classes)
    kinds = generator.integers(0, len(KINDS), parties)
    caps = generator.uniform(0.5, 2.0, parties)
    factors = generator.uniform(0.5, 1.5, parties)
    return Profiles(sizes[None], kinds[None], factors[None], caps[None])


def seeded_profiles(
    parties: int = 10, *, seed: int = 42, runs: int = 10, classes: Sequence[int] | None = None
) -> Profiles:
    """Return the profiles of ``runs`` populations of 1,000, in consecutive groups of ``parties``.

    With ``seed=42`` and 10 runs these are the 1,000 profiles of the benchmark for N = 10, the 100
    for N = 100 and the 10 for N = 1000.
    """
    generator = np.random.default_rng(seed)
    drawn = [population(generator, classes=classes) for _ in range(positive_int("runs", runs))]
    together = Profiles(
        np.concatenate([p.sizes for p in drawn]),
        np.concatenate([p.kinds for p in drawn]),
        np.concatenate([p.factors for p in drawn]),
        np.concatenate([p.caps for p in drawn]),
    )
    return together.grouped(parties)


def benchmark_profiles(
    parties: int = 10, count: int = 300, *, classes: Sequence[int] | None = None
) -> Profiles:
    """Return the benchmark's test set: ``default_rng(5).permutation(profiles)[:count]``."""
    everything = seeded_profiles(parties, classes=classes)
    return everything.take(np.random.default_rng(5).permutation(len(everything))[:count])


def _deal(shares: Float64, records: int, least: int) -> Int64:
    """Return ``least`` for each and the rest by shares, rounded down; the last takes what is left.

    Raises
    ------
    ConfigError
        If there are not enough records.
    """
    rest = records - least * len(shares)
    if rest < 0:
        raise ConfigError(
            f"Expected at least {least} records for each of {len(shares)} parties, got {records}. "
            "Draw fewer parties."
        )
    sizes = np.floor(rest * shares).astype(np.int64) + least
    sizes[-1] += records - int(sizes.sum())
    return sizes
