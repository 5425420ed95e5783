"""From verified uploads to a step of the model, and the error bound that goes with it.

Sizes are those of everybody whose bid was opened, sellers or not; noise is that of who delivered.
Neighbours: :mod:`equigrad.market.aggregation` weighs, :mod:`equigrad.market.local` knows the noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.market.aggregation import AGGREGATORS, error_bound
from equigrad.market.local import LocalMechanism, Upload

__all__ = ["Aggregate", "aggregate", "estimates_of"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Aggregate:
    """What the model moves against, and the record's line ``aggregate``.

    Attributes
    ----------
    direction
        ``(dim,) float64``, or None in an invalid round: nobody delivered, or too few.
    body
        The line.
    """

    direction: Float64 | None
    body: dict[str, Any]


def estimates_of(local: LocalMechanism, uploads: Mapping[str, bytes]) -> dict[str, Float64]:
    """Return the gradient that each verified upload estimates, ``(dim,) float64`` by party."""
    return {party: local.estimate(Upload.from_bytes(content)) for party, content in uploads.items()}


def aggregate(
    name: str,
    noise: LocalMechanism,
    parties: Sequence[str],
    sizes: Sequence[int],
    epsilons: Sequence[float],
    estimates: Mapping[str, Float64],
    *,
    counts: bool,
) -> Aggregate:
    """Weigh the estimates of who delivered among all bidders.

    Parameters
    ----------
    name
        The aggregator.
    noise
        The mechanism at the dimension that the error bound is told.
    parties, sizes, epsilons
        All bidders: their records, and the epsilon that each was awarded, 0 for none.
    estimates
        By party, of who delivered.
    counts
        False where fewer delivered than the quorum: then there is no update.
    """
    delivered = np.array([party in estimates for party in parties], dtype=np.bool_)
    precision = noise.precision(np.where(delivered, np.asarray(epsilons, dtype=np.float64), 0.0))
    lam = None
    if counts and delivered.any():
        lam = AGGREGATORS[name]().weights(sizes, precision)
    body: dict[str, Any] = {
        "parties": list(parties),
        "weights": None,
        "err": None,
        "variance_term": None,
        "bias_term": None,
        "err_over_l2": None,
        "estimate_norm": None,
    }
    if lam is None:
        return Aggregate(None, body)
    bound = error_bound(lam, sizes, precision, bound=noise.l2_bound)
    total = np.zeros(len(next(iter(estimates.values()))))
    for party, weight in zip(parties, lam.tolist(), strict=True):
        if party in estimates:
            total += weight * estimates[party]
    if bound is None:
        raise ValueError("Expected an error bound of weights that exist, got none.")
    body |= {
        "weights": lam.tolist(),
        "err": bound.total,
        "variance_term": bound.variance,
        "bias_term": bound.bias,
        "err_over_l2": bound.relative,
        "estimate_norm": float(np.linalg.norm(total)),
    }
    return Aggregate(total, body)
