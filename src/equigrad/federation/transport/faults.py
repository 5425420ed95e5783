"""Planned faults: what may go wrong between a coordinator and a party, on purpose and repeatably.

A plan names party, round and fault. It is carried out inside the worker, around the party's own
code, so that the engine and the coordinator are tried as they are. Faults depend on (party, round)
alone, never on time or order, so a resumed run meets the same ones.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch

from equigrad._validate import choice
from equigrad.federation.messages import Message

__all__ = ["Fault", "FaultKind", "FaultPlan", "PlannedFaultError"]

FaultKind = Literal[
    "drop", "delay", "raise", "nan", "inf", "wrong-shape", "wrong-dtype", "oversized", "stale-round"
]


class PlannedFaultError(RuntimeError):
    """Raised in a party's place by a fault of kind "raise"."""


@dataclass(frozen=True)
class Fault:
    """One fault: ``kind`` at ``party`` in ``round`` (a delay lasts ``seconds``)."""

    party: str
    round: int
    kind: FaultKind
    seconds: float = 0.0

    def __post_init__(self) -> None:
        choice("kind", self.kind, get_args(FaultKind))


class FaultPlan:
    """Faults by party and round; spoilt are replies that have a payload."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = {(f.party, f.round): f for f in faults}

    def before(self, party: str, request: Message) -> None:
        """Delay or raise in the party's place, if that is planned."""
        fault = self._faults.get((party, request.round))
        if fault is not None and fault.kind == "delay":
            time.sleep(fault.seconds)
        if fault is not None and fault.kind == "raise":
            raise PlannedFaultError(f"{party} fails in round {request.round}, as planned")

    def after(self, party: str, reply: Message) -> Message | None:
        """Return the reply as it arrives: whole, spoilt, or None if it is lost."""
        fault = self._faults.get((party, reply.round))
        if fault is None or not reply.payload:
            return reply
        sent: torch.Tensor = getattr(reply, reply.payload)
        match fault.kind:
            case "drop":
                return None
            case "nan" | "inf":
                spoilt = sent.clone()
                spoilt.view(-1)[0] = float(fault.kind)
                return _with(reply, spoilt)
            case "wrong-shape":
                return _with(reply, sent[:-1])
            case "wrong-dtype":
                return _with(reply, sent.to(torch.int64))
            case "oversized":
                return _with(reply, sent.repeat(*(8, *(1,) * (sent.ndim - 1))))
            case "stale-round":
                return replace(reply, round=reply.round - 1)
            case _:
                return reply


def _with(reply: Message, payload: torch.Tensor) -> Message:
    change: dict[str, Any] = {reply.payload: payload}
    return replace(reply, **change)
