"""What the deliveries of a round were worth: weights, error bound, appraisal.

The uploads themselves are not in the record: what follows from their sizes, epsilons and inner
products is recomputed. Neighbour: ``judge`` calls.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from equigrad.contribution import Noise
from equigrad.federation.record.agreement import VerifyResult, fault, same
from equigrad.federation.record.canonical import decode_matrix, plain
from equigrad.federation.record.chain import Line
from equigrad.federation.trade.appraising import noise_variance, valued
from equigrad.federation.trade.verify.compare import same_by_party
from equigrad.market import Clearing
from equigrad.market.aggregation import AGGREGATORS, error_bound
from equigrad.market.local import LocalMechanism

__all__ = ["check_aggregate", "check_appraisal", "check_collected"]

_BOUND = ("err", "variance_term", "bias_term", "err_over_l2")
_STATES = ("verified", "rejected", "expired", "disputed")


def check_collected(
    announce: Line, line: Line, found: Clearing, quorum: int, result: VerifyResult
) -> list[str]:
    """Check that exactly what was sold was asked for; return whose delivery was verified."""
    body, round_ = line.body, announce.body["market_round"]
    listings = dict(zip(announce.body["invited"], announce.body["listings"], strict=True))
    sellers = found.party[found.sellers].tolist()
    same(line, "awards", [a["party"] for a in body["awards"]], sellers, result)
    for award in body["awards"]:
        party = award["party"]
        same(line, "awards", award["award"], f"{round_}/{listings[party]['id']}", result)
        if award["state"] not in _STATES:
            raise fault(
                line,
                f"expected {party}'s award in one of {', '.join(_STATES)}, got {award['state']!r}",
            )
        if award["state"] == "verified" and (award["digest"] is None or award["reason"]):
            raise fault(line, f"expected {party}'s verified delivery with a digest and no reason")
    verified = [a["party"] for a in body["awards"] if a["state"] == "verified"]
    same(line, "quorum", [body["quorum"], body["verified"]], [quorum, len(verified)], result)
    return verified


def check_aggregate(
    line: Line,
    noise: LocalMechanism,
    aggregator: str,
    found: Clearing,
    verified: list[str],
    *,
    counts: bool,
    result: VerifyResult,
) -> None:
    """Recompute weights and error bound.

    Parameters
    ----------
    line
        The line `aggregate`.
    noise
        The mechanism at the dimension that the error bound is told.
    aggregator
        Name of the rule.
    found
        The clearing.
    verified
        Whose delivery was verified.
    counts
        Whether as many delivered as the quorum.
    result
        Where comparisons are counted.
    """
    parties = found.party.tolist()
    came = np.array([party in verified for party in parties], dtype=np.bool_)
    sizes = found.book.d.tolist()
    precision = noise.precision(np.where(came, found.eps, 0.0))
    lam = AGGREGATORS[aggregator]().weights(sizes, precision) if counts and came.any() else None
    bound = error_bound(lam, sizes, precision, bound=noise.l2_bound) if parties else None
    body = line.body
    same(line, "members", body["parties"], parties, result)
    if lam is None or bound is None:
        for key in ("weights", *_BOUND, "estimate_norm"):
            same(line, "weights", body[key], None, result)
        return
    if body["weights"] is None:
        raise fault(line, f"expected weights of {int(came.sum())} deliveries, got none")
    same_by_party(line, "weight", parties, body["weights"], lam.tolist(), result)
    again = [bound.total, bound.variance, bound.bias, bound.relative]
    same(line, "error bounds", [body[key] for key in _BOUND], again, result)
    length = body["estimate_norm"]
    if not isinstance(length, float) or not np.isfinite(length) or length < 0:
        raise fault(line, f"expected a finite length of the aggregate, got {length!r}")


def check_appraisal(
    line: Line,
    local: LocalMechanism,
    seed: int,
    epsilons: Mapping[str, float],
    verified: list[str],
    result: VerifyResult,
) -> None:
    """Recompute values and trust from the recorded inner products and the mechanism's noise.

    Parameters
    ----------
    line
        The line `appraise`.
    local
        The mechanism at the model's dimension.
    seed
        The run's, from which permutations are drawn.
    epsilons
        That each party sold at.
    verified
        Who delivered.
    result
        Where comparisons are counted.
    """
    body: dict[str, Any] = line.body
    same(line, "members", sorted(body["parties"]), sorted(verified), result)
    variances = [noise_variance(local, epsilons[party]) for party in body["parties"]]
    kind: Literal["gaussian", "laplace"] = "laplace" if local.name == "laplace" else "gaussian"
    known = plain({"variance": variances, "dimension": local.dim, "kind": kind})
    same(line, "noise", body["noise"], known, result)
    products = decode_matrix(body["gram"])
    if products.shape != (len(variances),) * 2 or (products != products.T).any():
        raise fault(line, "expected a symmetric matrix of inner products")
    noise = Noise(np.array(variances), local.dim, kind)
    again = plain(valued(products, noise, seed, line.round or 0))
    same(line, "values", {key: body[key] for key in again}, again, result)
