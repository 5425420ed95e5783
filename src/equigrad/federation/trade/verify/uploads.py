"""What the coordinator computed of the delivered bytes, computed once more.

The bytes lie in the parties' accounts. With the data, too, the first model is known, and all models
are made and measured again. Neighbours: ``accounts`` finds the bytes, ``worth`` checks what needs
none.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from equigrad.contribution import gram
from equigrad.federation.gathering import finite
from equigrad.federation.record.agreement import TOLERANCE, VerifyResult, fault, same
from equigrad.federation.record.canonical import decode_matrix, plain
from equigrad.federation.record.chain import Line
from equigrad.federation.setup import COORDINATOR
from equigrad.federation.trade.aggregating import estimates_of
from equigrad.federation.trade.setup import MarketSetup
from equigrad.federation.trade.state import MarketState
from equigrad.federation.trade.verify.judge import Judge
from equigrad.models import vector_sha256

__all__ = ["check_uploads"]

Float64 = npt.NDArray[np.float64]


def check_uploads(
    judge: Judge, content: Mapping[str, bytes], setup: MarketSetup | None, finish: Line | None
) -> None:
    """Recompute aggregates and inner products of every round, and its model if there are data.

    Parameters
    ----------
    judge
        What the record says.
    content
        Delivered bytes by award; from the first round on of which some are missing, nothing is
        recomputed.
    setup
        The run as it is prepared again, if the data are there.
    finish
        The record's last line, if the run has finished.

    Raises
    ------
    VerificationError
        If the record says another thing.
    """
    state = None if setup is None else MarketState.begin(setup.initial, {})
    for number, lines in enumerate(judge.rounds):
        good = [s for s in judge.sold if s.round == number and s.state == "verified"]
        if any(sold.award not in content for sold in good):
            judge.result.unchecked.append(
                f"Aggregates, models and scores from round {number} on: the bytes of their "
                "deliveries are not in the accounts."
            )
            return
        direction = _round(judge, lines, {sold.party: content[sold.award] for sold in good})
        if state is not None and setup is not None:
            config = judge.opening.config
            state.step(config.step, number, config.rounds, direction)
            _model(lines, setup, state, updated=direction is not None, result=judge.result)
    if state is not None and setup is not None and finish is not None:
        again = vector_sha256(state.delivered())
        same(finish, "models, made again", finish.body["digest"], again, judge.result)
        measured = plain(finite(setup.measure(state.delivered())) or {})
        for told in (finish.body[COORDINATOR], *finish.body["metrics"]):
            same(finish, "scores and losses", told, measured, judge.result)


def _round(judge: Judge, lines: Mapping[str, Line], uploads: Mapping[str, bytes]) -> Float64 | None:
    """Return the aggregate of a round, compared with what the record says of it."""
    estimates = estimates_of(judge.opening.local, uploads)
    if "appraise" in lines:
        _products(lines["appraise"], estimates, judge.result)
    line = lines["aggregate"]
    weights = line.body["weights"]
    if weights is None:
        return None
    total = np.zeros(judge.opening.local.dim)
    for party, weight in zip(line.body["parties"], weights, strict=True):
        if weight:
            total = total + weight * estimates[party]
    length = float(np.linalg.norm(total))
    same(line, "aggregates", line.body["estimate_norm"], length, judge.result)
    return total


def _products(line: Line, estimates: Mapping[str, Float64], result: VerifyResult) -> None:
    again = gram([estimates[party] for party in line.body["parties"]])
    told = decode_matrix(line.body["gram"])
    close = TOLERANCE * max(1.0, float(np.abs(again).max()))
    if told.shape != again.shape or (np.abs(told - again) > close).any():
        raise fault(line, "expected the inner products of the delivered uploads, got others")
    result.count("inner products", again.size)


def _model(
    lines: Mapping[str, Line],
    setup: MarketSetup,
    state: MarketState,
    *,
    updated: bool,
    result: VerifyResult,
) -> None:
    """Compare a round's model, and what was measured of it."""
    if updated:
        settle = lines["settle"]
        again = vector_sha256(state.model)
        same(settle, "models, made again", settle.body["release"], again, result)
    if "evaluate" in lines:
        line = lines["evaluate"]
        found = finite(setup.measure(state.delivered())) or {}
        measured = plain({"score": found["score"], "loss": found["loss"]})
        same(line, "scores and losses", line.body, measured, result)
