"""Fair rewards: cosine gradient Shapley values and masked gradients (Xu et al., NeurIPS 2021).

The vectors are handled here (aggregate, masks, deliveries); the judgement is
:func:`equigrad.federation.appraisal.appraise`, which sees inner products only.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from equigrad.contribution import gram
from equigrad.federation.aggregate import weighted_sum
from equigrad.federation.appraisal import appraise
from equigrad.federation.evidence import Appraisal, Evidence, History
from equigrad.federation.messages import Delivery
from equigrad.federation.methods.base import (
    METHODS,
    Intake,
    Method,
    MethodState,
    Plan,
    Score,
    Settlement,
    Terms,
)
from equigrad.federation.methods.drift import DriftMeter
from equigrad.federation.methods.ledger import RewardLedger
from equigrad.federation.methods.lines import appraise_body, reward_body
from equigrad.federation.methods.repeats import RepeatMeter
from equigrad.federation.record.canonical import sha256_array
from equigrad.federation.streams import numpy_stream
from equigrad.reward import auto_gamma, gamma_at, norm

__all__ = ["Cgsv"]


@METHODS.register("cgsv")
class Cgsv(Method):
    """Fair rewards by cosine gradient Shapley values, with the presets of the run file."""

    name: ClassVar[str] = "cgsv"
    recomputable: ClassVar[bool] = True

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        settings = terms.settings
        self._gamma = settings.gamma if isinstance(settings.gamma, float) else None
        self._history = History()
        self._model = terms.initial.numpy().copy()
        self._ledger = RewardLedger(settings.mask, terms.layer_sizes)
        self._drift = DriftMeter(terms)
        self._repeats = RepeatMeter(terms)

    @property
    def needs_norms(self) -> bool:
        """Whether the upload norm is still to be set from the first updates."""
        return self.terms.settings.gamma == "auto" and self._gamma is None

    def take_norms(self, norms: Mapping[str, float]) -> None:
        """Set the upload norm of round 0 to twice the median of the reported norms."""
        self._gamma = auto_gamma(list(norms.values()))

    def plan(self, round_: int) -> Plan:
        """Ask for bounded updates; the norm decays geometrically to its end share."""
        settings = self.terms.settings
        if settings.bounding == "none":
            return Plan("none")
        # still unset only where every reported norm was 0: then any bound keeps the uploads zero
        first = 1.0 if self._gamma is None else self._gamma
        return Plan(
            settings.bounding, gamma_at(round_, self.terms.rounds, first, settings.gamma_end)
        )

    def settle(self, intake: Intake) -> Settlement:
        """Value the uploads, move the coordinator's model and issue the rewards."""
        settings = self.terms.settings
        self._ledger.keep(intake.members)
        overlap, energy = self._ledger.overlaps(intake.parties, intake.uploads)
        evidence = Evidence(
            round=intake.round,
            members=intake.members,
            parties=intake.parties,
            gram=gram(list(intake.uploads)),
            overlap=overlap,
            reward_energy=energy,
            records=np.array(intake.records, dtype=np.float64),
            gamma=intake.gamma,
            n_params=self.terms.size,
            noise=intake.noise,
            repeat=self._repeats.measure(
                intake.round, intake.parties, intake.uploads, self._ledger.last
            ),
        )
        stream = numpy_stream(self.terms.seed, "permutations", round_=intake.round)
        appraisal, self._history = appraise(evidence, self._history, settings, stream)
        aggregate = weighted_sum(intake.uploads, appraisal.weights * appraisal.caps)
        self._model += aggregate
        masks = self._ledger.issue(intake.round, aggregate, intake.parties, appraisal.ratios)
        self._drift.add(intake.parties, aggregate, masks)
        share = masks.counts() / self.terms.size
        reward = reward_body(settings, evidence, appraisal, masks, aggregate)
        reward["digests"] = self._ledger.digests(intake.round, intake.parties)
        settle = {
            "aggregate_sha256": sha256_array(aggregate),
            "aggregate_norm": norm(aggregate),
            "model_sha256": sha256_array(self._model),
            "drift": self._drift.read(intake.members, self._model),
            "drift_exact": self._drift.exact,
        }
        lines = [
            ("appraise", appraise_body(evidence, appraisal, self._history)),
            ("reward", reward),
            ("settle", settle),
        ]
        scores = _scores(intake.members, intake.parties, appraisal, share)
        return Settlement(lines, scores, _notes(evidence, appraisal, aggregate))

    def pending(self, party: str, since: int) -> int | None:
        """Return the round of what ``party`` has not received yet, or None."""
        return self._ledger.pending(party, since)

    def delivery(self, party: str, since: int) -> Delivery | None:
        """Return the reward that ``party`` has not received yet, or None."""
        return self._ledger.delivery(party, since)

    def model(self) -> torch.Tensor:
        """Return the coordinator's model: the initial one plus all aggregates."""
        return torch.from_numpy(self._model)

    def starting_party(self, present: Sequence[str]) -> str | None:
        """Return the present party of lowest reputation, if late joiners start from it."""
        if self.terms.settings.join_from != "lowest" or not present:
            return None
        standing, flagged = self._history.standing, self._history.audits.flagged()
        shares = dict(zip(standing.names, standing.share.tolist(), strict=True))
        sound = [p for p in present if p in shares and p not in flagged]
        return min(sound, key=shares.__getitem__, default=None)

    def adopted(self, party: str, source: str) -> None:
        """Note that a late joiner started from another party's model."""
        self._drift.adopt(party, source)

    def save(self) -> MethodState:
        """Return standing, audits, model and ledger."""
        ledger = self._ledger.save()
        facts = {
            "gamma": self._gamma,
            "history": self._history.to_json(),
            "ledger": dict(ledger.facts),
        }
        own = {"model": self._model, "drift": self._drift.save()}
        arrays = {**own, **self._repeats.save(), **ledger.arrays}
        return MethodState(facts, arrays)

    def load(self, state: MethodState) -> None:
        """Take up where :meth:`save` left off."""
        gamma = state.facts["gamma"]
        self._gamma = None if gamma is None else float(gamma)
        self._history = History.from_json(state.facts["history"])
        self._model = state.arrays["model"].copy()
        self._drift.load(state.arrays["drift"])
        self._repeats.load(state.arrays)
        self._ledger.load(MethodState(state.facts["ledger"], state.arrays))


def _notes(
    evidence: Evidence, appraisal: Appraisal, aggregate: npt.NDArray[np.float32]
) -> tuple[str, ...]:
    """Return what whoever watches should be told of an unusual round."""
    notes = []
    if not appraisal.valued:
        notes.append("everybody present is excluded; the aggregate is zero and nothing changes.")
    elif not np.diagonal(evidence.gram).any():
        notes.append("all uploads are zero; nobody is rewarded.")
    elif not aggregate.any():
        notes.append("the uploads cancel out; nobody is rewarded.")
    if appraisal.trust is not None and appraisal.trust.level != "ok":
        notes.append(f"values are {appraisal.trust.level} under the declared noise.")
    if not appraisal.values.converged:
        notes.append("the sampled values did not reach the tolerance.")
    return tuple(notes)


def _scores(
    members: Sequence[str], parties: Sequence[str], appraisal: Appraisal, share: Any
) -> dict[str, Score]:
    """Return every member's standing for the live table."""
    at = {party: i for i, party in enumerate(parties)}
    flags: dict[str, list[str]] = {}
    for flag in appraisal.audit.flags:
        flags.setdefault(flag.party, []).append(flag.kind)
    scores = {}
    for i, member in enumerate(members):
        row = at.get(member)
        scores[member] = Score(
            value=None if row is None else float(appraisal.values.values[row]),
            reputation=float(appraisal.reputation[i]),
            share=None if row is None else float(share[row]),
            flags=tuple(flags.get(member, ())),
            excluded=member in appraisal.excluded,
        )
    return scores
