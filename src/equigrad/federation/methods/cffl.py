"""CFFL: collaborative fairness in federated learning, by validation accuracy.

Lyu, Xu, Wang and Yu, "Collaborative Fairness in Federated Learning", 2020. Written from memory of
the paper and unverified against it: read its numbers as those of a method of this kind.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from equigrad.errors import ConfigError
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
    named_arrays,
    normalised,
    reward_body,
    settle_body,
    settlement,
)

__all__ = ["Cffl"]

Float64 = npt.NDArray[np.float64]

_PUNISHMENT = 5.0


@METHODS.register("cffl")
class Cffl(Method):
    """Credibility by validation accuracy; a credible party downloads more of the aggregate.

    A round: ``v_i`` is the score of the party's own model after local training, on the
    coordinator's validation records (which a run draws from the test records: there are no
    others). Credibility is ``sinh(5 v_i / sum v)`` normalised, then averaged half and half with
    the last round's, and normalised over R, those in good standing (all start equal). Who falls
    below ``2 / (3 |R|)`` is removed for good: it weighs nothing, receives nothing and trains on
    alone.
    ``u_N = sum a_i u_i`` over R by numbers of records, and party i gets the share
    ``q_i = c_i / max c`` of the largest entries of ``u_N`` on top of its own local step.

    From memory of the paper, unverified. Uploads are whole and unbounded (the paper also knows
    parties that upload a part), and a party's own part is not taken out of what it downloads.
    Derived here: an absent party's credibility stays and is not tried against the threshold; a
    late joiner starts with an equal share; negative and undefined scores count 0.

    The coordinator follows every party's model, N x D float32.
    """

    name: ClassVar[str] = "cffl"

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        if terms.validate is None:
            raise ConfigError(
                "Expected validation records at the coordinator for the method 'cffl', got none. "
                "Use another method."
            )
        self._validate = terms.validate
        self._credibility: dict[str, float] = {}
        self._removed: list[str] = []
        self._model = terms.initial.numpy().copy()
        self._parties: dict[str, torch.Tensor] = {}
        self._ledger = OwnStepLedger("flat", terms.layer_sizes)

    def plan(self, round_: int) -> Plan:
        """Ask for the raw update; the party remembers it, because it keeps its local step."""
        return Plan("none", hold="update")

    def settle(self, intake: Intake) -> Settlement:
        """Validate, update the credibilities, remove, aggregate, reward."""
        parties, members = intake.parties, intake.members
        inside = np.array([party not in self._removed for party in parties])
        accuracy = self._accuracies(intake, inside)
        self._mix(parties, members, accuracy, inside)
        self._remove(parties, members)
        inside = np.array([party not in self._removed for party in parties])
        weights = np.where(inside, np.array(intake.records), 0).astype(np.float64)
        weights = weights / weights.sum() if weights.sum() > 0 else weights
        aggregate = weighted_sum(intake.uploads, weights)
        before = self._model
        self._model = before + aggregate
        standing = {p: self._credibility.get(p, 0.0) for p in members}
        c = np.array([standing[party] for party in parties])
        best = max(standing.values())
        q = np.clip(c / best, 0.0, 1.0) if best > 0 else np.zeros(len(parties))
        masks = self._ledger.issue(intake.round, aggregate, parties, q)
        reward = reward_body(parties, q, masks, aggregate)
        reward["digests"] = self._ledger.digests(intake.round, parties)
        self._follow(intake)
        appraise = {
            "parties": list(parties),
            "members": list(members),
            "rule": "validation",
            "values": accuracy.tolist(),
            "aggregation_weights": weights.tolist(),
            "r": list(standing.values()),
            "removed": list(self._removed),
        }
        lines = [("appraise", appraise), ("reward", reward), settle_body(before, self._model)]
        return settlement(
            lines,
            intake,
            values=accuracy,
            reputation=standing,
            share=reward["share"],
            removed=self._removed,
        )

    def _accuracies(self, intake: Intake, inside: npt.NDArray[np.bool_]) -> Float64:
        """Return the validation scores, 0 for the removed and where there is none."""
        scores = np.zeros(len(intake.parties))
        for i in np.flatnonzero(inside):  # one forward pass each: nothing to share
            model = self._parties.get(intake.parties[i], self.terms.initial)
            scores[i] = self._validate(model + intake.uploads[i].cpu())
        return np.where(np.isfinite(scores), np.maximum(scores, 0.0), 0.0)

    def _follow(self, intake: Intake) -> None:
        """Follow what the deliveries of this round make of the parties' models."""
        for party, upload in zip(intake.parties, intake.uploads, strict=True):
            delivery = self._ledger.delivery(party, intake.round - 1)
            if delivery is not None:
                model = self._parties.get(party, self.terms.initial)
                self._parties[party] = delivery.apply(model, upload.cpu())

    def _mix(
        self,
        parties: Sequence[str],
        members: Sequence[str],
        accuracy: Float64,
        inside: npt.NDArray[np.bool_],
    ) -> None:
        """Average the new credibilities of those present with the old ones."""
        equal = 1.0 / max(sum(party not in self._removed for party in members), 1)
        fresh = np.zeros(len(parties))
        fresh[inside] = normalised(np.sinh(_PUNISHMENT * normalised(accuracy[inside])))
        # those present share what the absent leave, so that absence changes no proportion
        held = {p: self._credibility.get(p, equal) for p in members if p not in self._removed}
        among = sum(held[p] for p, here in zip(parties, inside, strict=True) if here)
        for party, value, here in zip(parties, fresh.tolist(), inside, strict=True):
            if here:
                held[party] = 0.5 * held[party] + 0.5 * value * among
        self._take(held, members)

    def _take(self, credibility: dict[str, float], members: Sequence[str]) -> None:
        total = sum(credibility.get(party, 0.0) for party in members)
        kept = self._credibility | credibility
        self._credibility = {p: c / total for p, c in kept.items()} if total > 0 else kept

    def _remove(self, parties: Sequence[str], members: Sequence[str]) -> None:
        """Remove those present below the threshold; never everybody (the best is above it)."""
        inside = [party for party in members if party not in self._removed]
        threshold = 2.0 / (3.0 * len(inside)) if inside else 0.0
        present = set(parties)
        gone = [p for p in inside if p in present and self._credibility[p] < threshold]
        if gone and len(gone) < len(inside):
            self._removed += gone
            self._take(dict.fromkeys(gone, 0.0), members)

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
        """Return credibilities, the removed, models and rewards."""
        ledger = self._ledger.save()
        facts = {
            "credibility": self._credibility,
            "removed": self._removed,
            "ledger": dict(ledger.facts),
        }
        models = {f"party.{party}": model.numpy() for party, model in self._parties.items()}
        return MethodState(facts, {"model": self._model, **models, **ledger.arrays})

    def load(self, state: MethodState) -> None:
        """Take up where :meth:`save` left off."""
        self._credibility = {p: float(c) for p, c in state.facts["credibility"].items()}
        self._removed = list(state.facts["removed"])
        self._model = state.arrays["model"].copy()
        models = named_arrays(state.arrays, "party.")
        self._parties = {party: torch.from_numpy(model.copy()) for party, model in models.items()}
        self._ledger.load(MethodState(state.facts["ledger"], state.arrays))
