"""The last line of a market record: why it ended, the model, what parties say of their accounts.

Neighbours: ``judge`` has followed the rounds, ``accounts`` asks the accounts themselves.
"""

import math
from typing import TYPE_CHECKING, Any

from equigrad.federation.record.agreement import TOLERANCE, VerifyResult, fault, same
from equigrad.federation.record.chain import Line
from equigrad.federation.setup import COORDINATOR
from equigrad.federation.trade.verify.compare import is_digest

if TYPE_CHECKING:
    from equigrad.federation.trade.verify.judge import Judge

__all__ = ["check_finish"]

_LISTS = ("epsilon", "delta", "sales", "earned", "receipts", "heads", "metrics")


def check_finish(judge: "Judge", line: Line) -> None:
    """Recompute of the last line what follows from the lines before.

    Raises
    ------
    VerificationError
        If something in it does not.
    """
    body, result, books = line.body, judge.result, judge.books
    same(line, "rounds", body["rounds"], judge.settled, result)
    _reason(judge, line)
    told = [*body["parties"], *body["absent"]]
    same(line, "members", sorted(told), sorted(judge.opening.parties), result)
    for key in _LISTS:
        same(line, "members", len(body[key]), len(body["parties"]), result)
    for name, amount in books.wallets.items():
        same(line, f"the wallet of {name}", body["wallets"].get(name), amount, VerifyResult())
    result.count("wallets", len(books.wallets))
    for i, party in enumerate(body["parties"]):
        _party(judge, line, party, {key: body[key][i] for key in _LISTS})
    same(line, "models", list(body["models"]), [f"{COORDINATOR}.safetensors"], result)
    if not judge.opening.config.step.average:
        same(line, "models", body["digest"], judge.release, result)
    if judge.score is not None and judge.score[0] + 1 == judge.settled:
        again = judge.score[1]
        same(line, "measures", {k: body[COORDINATOR][k] for k in again}, again, result)


def _reason(judge: "Judge", line: Line) -> None:
    reason, config = line.body["reason"], judge.opening.config
    if reason == "rounds":
        same(line, "rounds", judge.settled, config.rounds, judge.result)
    elif reason != "funds" or judge.settled >= config.rounds:
        raise fault(line, f"expected the reason rounds or funds, got {reason!r}")


def _party(judge: "Judge", line: Line, party: str, told: dict[str, Any]) -> None:
    """Compare what a party says with what the rounds say of it."""
    result, limit = judge.result, judge.opening.limits[party]
    same(line, f"what {party} earned", told["earned"], judge.books.earned[party], VerifyResult())
    result.count("earnings")
    own = [sold for sold in judge.sold if sold.party == party]
    good = [sold for sold in own if sold.state == "verified"]
    if not len(good) <= told["sales"] <= len(own):
        raise fault(
            line,
            f"expected from {len(good)} to {len(own)} sales of {party}, those that the rounds tell "
            f"of, got {told['sales']}",
        )
    if told["receipts"] != len(own):
        raise fault(line, f"expected {len(own)} receipts at {party}, got {told['receipts']}")
    account = judge.opening.config.market.account
    least, most = 0.0, limit
    if account.cost == "basic":
        least = math.fsum(sold.epsilon for sold in good)
        most = least if told["sales"] == len(good) else limit
    if not least - TOLERANCE <= told["epsilon"] <= most * (1 + TOLERANCE):
        raise fault(
            line,
            f"expected an epsilon of {party} from {least:g}, what it delivered, to {most:g}, got "
            f"{told['epsilon']!r}",
        )
    if not 0 <= told["delta"] <= account.delta * (1 + TOLERANCE):
        raise fault(line, f"expected a delta of {party} up to {account.delta:g}")
    if not is_digest(told["heads"]):
        raise fault(line, f"expected the head of {party}'s account as a SHA-256")
    result.count("accounts, as told", 4)
