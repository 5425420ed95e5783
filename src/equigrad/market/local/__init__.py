"""Local protection: one gradient of a party, bounded and noised before it leaves.

Any two data sets of the party are neighbours. ``l2-sphere`` is what lets a model learn; ``laplace``
is the paper's; ``gaussian``, ``per-coordinate`` and ``snapping`` are for comparison, few
coordinates and single numbers. Neighbours: :mod:`equigrad.market.aggregation` weighs uploads by
their precision; the party's account (:mod:`equigrad.privacy.account`) charges their events.
"""

from equigrad.market.local.base import LOCAL_MECHANISMS, LocalMechanism
from equigrad.market.local.discrete import discrete_laplace, discrete_variance, lattice_epsilon
from equigrad.market.local.entropy import RandomSource, SystemRandom, is_seeded
from equigrad.market.local.gaussian import Gaussian, gaussian_multiplier
from equigrad.market.local.l2_sphere import L2Sphere
from equigrad.market.local.laplace import LATTICE, Laplace
from equigrad.market.local.per_coordinate import PerCoordinate
from equigrad.market.local.snapping import Snapping
from equigrad.market.local.upload import Upload

__all__ = [
    "LATTICE",
    "LOCAL_MECHANISMS",
    "Gaussian",
    "L2Sphere",
    "Laplace",
    "LocalMechanism",
    "PerCoordinate",
    "RandomSource",
    "Snapping",
    "SystemRandom",
    "Upload",
    "discrete_laplace",
    "discrete_variance",
    "gaussian_multiplier",
    "is_seeded",
    "lattice_epsilon",
]
