"""RFFL: robust and fair federated learning, by reputation and removal.

Xu and Lyu, "A Reputation Mechanism Is All You Need: Collaborative Fairness and Adversarial
Robustness in Federated Learning", 2020; the forerunner of the fair rewards of Xu et al. (NeurIPS
2021). After the authors' released code, which we read.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from equigrad.contribution import gram
from equigrad.federation.aggregate import weighted_sum
from equigrad.federation.messages import Delivery
from equigrad.federation.methods.base import (
    METHODS,
    Intake,
    Method,
    MethodState,
    Plan,
    Settlement,
    Terms,
)
from equigrad.federation.methods.baseline import (
    OwnStepLedger,
    normalised,
    reward_body,
    settle_body,
    settlement,
)
from equigrad.federation.record.canonical import encode_matrix

__all__ = ["Rffl"]

Float64 = npt.NDArray[np.float64]

_GAMMA = 0.5
_ALPHA = 0.95
_FIRST_REMOVAL = 10


@METHODS.register("rffl")
class Rffl(Method):
    """Clipped updates, reputation by cosine, removal for good of who falls below a third.

    A round: uploads are clipped to norm gamma (``rewards.gamma`` of the run file, 0.5 if that is
    automatic or absent), and a party keeps its own clipped step. ``u_N = sum a_i u_i`` with the
    shares of the records in round 0 and the last reputations later; ``psi_i = cos(u_i, u_N)``;
    ``r <- 0.95 r + 0.05 psi``, normalised to sum 1, without a floor, so r may be negative. From
    round 10 on, who has ``r < 1 / (3 |R|)`` is removed from R, the set of those in good standing:
    weight, reputation and reward are 0 from then on, and it trains on alone. Rewards keep, of each
    tensor, the share ``q_i = r_i / max r`` of the largest entries (rule ``layer_repo``).

    Where the released code is silent (derived here): an absent party's r stays as it is and is not
    tried against the threshold; a late joiner begins with the members' mean reputation; a negative
    q is 0; if the weights of those present do not sum to a positive number, they are equal.
    """

    name: ClassVar[str] = "rffl"

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        gamma = terms.settings.gamma
        self._gamma = gamma if isinstance(gamma, float) else _GAMMA
        self._reputation: dict[str, float] = {}
        self._removed: list[str] = []
        self._model = terms.initial.numpy().copy()
        self._ledger = OwnStepLedger("layer_repo", terms.layer_sizes)

    def plan(self, round_: int) -> Plan:
        """Ask for clipped updates; the party remembers its upload, because it keeps it."""
        return Plan("clip", self._gamma, hold="upload")

    def settle(self, intake: Intake) -> Settlement:
        """Aggregate, update the reputations, remove, reward."""
        parties, members = intake.parties, intake.members
        weights = self._weights(intake)
        C = gram(list(intake.uploads))
        values = _cosines(C, weights)
        self._mix(parties, members, values)
        if intake.round >= _FIRST_REMOVAL:
            self._remove(parties, members)
        aggregate = weighted_sum(intake.uploads, weights)
        before = self._model
        self._model = before + aggregate
        standing = {party: self._reputation.get(party, 0.0) for party in members}
        r = np.array([standing[party] for party in parties])
        best = max(standing.values())
        q = np.clip(r / best, 0.0, 1.0) if best > 0 else np.zeros(len(parties))
        masks = self._ledger.issue(intake.round, aggregate, parties, q)
        reward = reward_body(parties, q, masks, aggregate)
        reward["digests"] = self._ledger.digests(intake.round, parties)
        appraise = {
            "parties": list(parties),
            "members": list(members),
            "gamma": self._gamma,
            "C": encode_matrix(C),
            "rule": "cosine",
            "values": values.tolist(),
            "aggregation_weights": weights.tolist(),
            "r": list(standing.values()),
            "removed": list(self._removed),
        }
        lines = [("appraise", appraise), ("reward", reward), settle_body(before, self._model)]
        return settlement(
            lines,
            intake,
            values=values,
            reputation=standing,
            share=reward["share"],
            removed=self._removed,
        )

    def _weights(self, intake: Intake) -> Float64:
        """Return the aggregation weights of those present; they may be negative."""
        inside = np.array([party not in self._removed for party in intake.parties])
        if intake.round == 0 or not self._reputation:
            return normalised(np.where(inside, np.array(intake.records), 0))
        r = np.array([self._reputation.get(party, 0.0) for party in intake.parties])
        total = r.sum()
        weights: Float64 = r / total if total > 0 else normalised(inside)
        return weights

    def _mix(self, parties: Sequence[str], members: Sequence[str], values: Float64) -> None:
        known = [self._reputation[p] for p in members if p in self._reputation]
        start = sum(known) / len(known) if known else 0.0
        fresh = dict(self._reputation)
        for party, value in zip(parties, values.tolist(), strict=True):
            if party not in self._removed:
                fresh[party] = _ALPHA * fresh.get(party, start) + (1 - _ALPHA) * value
        self._normalise(fresh, members)

    def _normalise(self, reputation: dict[str, float], members: Sequence[str]) -> None:
        """Take over new reputations, summing to 1 over the members, unless they cannot."""
        total = sum(reputation.get(party, 0.0) for party in members)
        if total > 0:
            self._reputation = {party: r / total for party, r in reputation.items()}

    def _remove(self, parties: Sequence[str], members: Sequence[str]) -> None:
        """Remove those present below the threshold; never everybody (the best is above it)."""
        inside = [party for party in members if party not in self._removed]
        threshold = 1.0 / (3.0 * len(inside)) if inside else 0.0
        present = set(parties)
        gone = [p for p in inside if p in present and self._reputation.get(p, 0.0) < threshold]
        if gone and len(gone) < len(inside):
            self._removed += gone
            self._normalise(self._reputation | dict.fromkeys(gone, 0.0), members)

    def pending(self, party: str, since: int) -> int | None:
        """Return the round of what ``party`` has not received yet, or None."""
        return self._ledger.pending(party, since)

    def delivery(self, party: str, since: int) -> Delivery | None:
        """Return the party's own step and reward that it has not applied yet, or None."""
        return self._ledger.delivery(party, since)

    def model(self) -> torch.Tensor:
        """Return the coordinator's model: the initial one plus all aggregates."""
        return torch.from_numpy(self._model)

    def save(self) -> MethodState:
        """Return reputations, the removed, model and rewards."""
        ledger = self._ledger.save()
        facts = {
            "reputation": self._reputation,
            "removed": self._removed,
            "ledger": dict(ledger.facts),
        }
        return MethodState(facts, {"model": self._model, **ledger.arrays})

    def load(self, state: MethodState) -> None:
        """Take up where :meth:`save` left off."""
        self._reputation = {p: float(r) for p, r in state.facts["reputation"].items()}
        self._removed = list(state.facts["removed"])
        self._model = state.arrays["model"].copy()
        self._ledger.load(MethodState(state.facts["ledger"], state.arrays))


def _cosines(C: Float64, weights: Float64) -> Float64:
    """Return each upload's cosine with the aggregate, 0 where either is zero."""
    inner, own = C @ weights, np.diagonal(C)
    total = float(weights @ inner)
    scale = np.sqrt(np.maximum(own, 0.0) * max(total, 0.0))
    cosines: Float64 = np.divide(inner, scale, out=np.zeros(len(C)), where=scale > 0)
    return np.clip(cosines, -1.0, 1.0)
