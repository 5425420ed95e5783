"""What each delivered gradient was worth to the buyer, beside the auction; it pays nobody.

Cosine gradient Shapley values (Xu et al., NeurIPS 2021) of the estimates, from their Gram matrix
with the mechanism's noise taken off its diagonal, as fair rewards do under declared noise.
Neighbour: :mod:`equigrad.contribution` values.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from equigrad.contribution import Noise, auto_rule, correct_gram, gram, trust
from equigrad.federation.record.canonical import encode_matrix
from equigrad.federation.streams import numpy_stream
from equigrad.market.local import LocalMechanism

__all__ = ["appraise", "noise_variance", "valued"]

Float64 = npt.NDArray[np.float64]


def noise_variance(local: LocalMechanism, epsilon: float) -> float:
    """Return the mean noise variance per coordinate of an upload.

    Where it depends on the gradient, which nobody but the party knows, the gradient is taken to be
    as long as the bound allows and spread evenly: a sphere's uploads, for instance, all have one
    length, so that a party's own length cannot be read off and is taken to be the bound.
    """
    even = np.full(local.dim, local.l2_bound / np.sqrt(local.dim))
    return local.expected_error(local.clip(even), epsilon) / local.dim


def appraise(
    local: LocalMechanism,
    seed: int,
    round_: int,
    epsilons: Mapping[str, float],
    estimates: Mapping[str, Float64],
) -> dict[str, Any]:
    """Return the record's line ``appraise``.

    Parameters
    ----------
    local
        The mechanism.
    seed, round_
        Draw the permutations where values are sampled.
    epsilons
        That each upload was noised at, by party.
    estimates
        Of who delivered, by party; at least one.
    """
    parties = list(estimates)
    products = gram([estimates[party] for party in parties])
    variances = [noise_variance(local, epsilons[party]) for party in parties]
    kind: Literal["gaussian", "laplace"] = "laplace" if local.name == "laplace" else "gaussian"
    facts = {
        "parties": parties,
        "gram": encode_matrix(products),
        "noise": {"variance": variances, "dimension": local.dim, "kind": kind},
    }
    return facts | valued(products, Noise(np.array(variances), local.dim, kind), seed, round_)


def valued(products: Float64, noise: Noise, seed: int, round_: int) -> dict[str, Any]:
    """Return rule, values and trust of raw products and known noise; all weigh the same."""
    weights = np.full(len(products), 1.0 / len(products))
    clean = correct_gram(products, noise)
    rule = auto_rule(len(products))
    stream = numpy_stream(seed, "market permutations", round_=round_)
    values = rule.value(clean, weights, stream)
    judged = trust(clean, weights, noise, values.degenerate_share)
    half = None if values.half_width is None else values.half_width.tolist()
    return {
        "rule": rule.name,
        "values": values.values.tolist(),
        "half_width": half,
        "degenerate_share": values.degenerate_share,
        "trust": {"snr": judged.snr, "level": judged.level},
    }
