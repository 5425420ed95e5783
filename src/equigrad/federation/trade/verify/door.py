"""The door of verification: the record by itself, then ledger, accounts and data if they are there.

Neighbours: ``judge`` recomputes what follows from record and run file alone.
"""

import torch
from safetensors.torch import load_file

from equigrad.federation.record.agreement import Malformed, VerifyResult, fault, same
from equigrad.federation.record.chain import Line, read_record
from equigrad.federation.record.ends import check_ends, check_models
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.setup import COORDINATOR
from equigrad.federation.trade.config.schema import MarketConfig
from equigrad.federation.trade.verify.accounts import check_accounts
from equigrad.federation.trade.verify.data import data_behind
from equigrad.federation.trade.verify.judge import Judge
from equigrad.federation.trade.verify.ledger import check_ledger
from equigrad.federation.trade.verify.opening import check_start
from equigrad.federation.trade.verify.uploads import check_uploads
from equigrad.models import vector_sha256

__all__ = ["verify_market"]


def verify_market(
    place: RunFolder, config: MarketConfig, *, head: str | None = None
) -> VerifyResult:
    """Recompute all that can be recomputed, and compare; see :func:`..record.verify.verify`.

    From record and run file alone: terms, seals, every clearing, weights and error bounds,
    appraisals, all money. With the ledger: its chain, books and invariants, and every round in it.
    With the accounts: every sale, its bytes and its epsilon, and what was computed of the bytes.
    With the data, too: the models.

    Raises
    ------
    VerificationError
        At the first thing that does not agree.
    """
    result = VerifyResult()
    lines = read_record(place.record)
    check_ends(place, lines, result, head)
    start, last = lines[0], lines[-1]
    with Malformed(start):
        opening = check_start(config, start, result)
        judge = Judge(opening, start, result)
    for line in lines[1:]:
        with Malformed(line):
            judge.take(line)
    result.rounds, result.finished = judge.settled, judge.finished
    if judge.within is not None:
        result.unchecked.append(
            f"Round {judge.settled}: the record stops before its line {judge.within!r}."
        )
    check_models(place, last, result)
    finish = last if judge.finished else None
    if finish is not None:
        _model(place, finish, start, result)
    check_ledger(place, judge)
    content = check_accounts(place, judge, finish)
    setup = data_behind(config, start, result)
    check_uploads(judge, content, setup, finish)
    return result


def _model(place: RunFolder, finish: Line, start: Line, result: VerifyResult) -> None:
    """Compare the model's file with the digest of the model as a vector."""
    path = place.model(COORDINATOR)
    tensors = load_file(path)
    names = start.body["model"]["names"]
    if sorted(tensors) != sorted(names):
        raise fault(finish, f"expected the parameters {names} in {path.name}")
    flat = torch.cat([tensors[name].reshape(-1) for name in names])
    same(finish, "models", finish.body["digest"], vector_sha256(flat), result)
