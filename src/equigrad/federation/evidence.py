"""What a round's judgement rests on, what earlier rounds left behind, and the judgement itself.

Plain data; :func:`equigrad.federation.appraisal.appraise` turns the first two into the third.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.contribution import Trust, Values
from equigrad.contribution.audit import AuditReport, AuditState
from equigrad.reward import Standing

__all__ = ["Appraisal", "Evidence", "History"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that a round's judgement rests on.

    Attributes
    ----------
    round
        t, from 0.
    members
        Who belongs to the consortium in this round, N names.
    parties
        Whose upload was admitted, n names in the members' order.
    gram
        ``(n, n) float64``, inner products of the uploads as they arrived.
    overlap, reward_energy
        ``(n, n)`` and ``(n,)``: ``h_ij = <u_j, vbar_i>`` and ``|vbar_i|^2`` with vbar_i the last
        non-zero reward of party i (0: none yet).
    records
        ``(n,)``, records that the parties claim (used by the ``paper`` presets in round 0 only).
    gamma
        The upload norm that was asked for, or None.
    n_params
        D.
    repeat
        ``(n,)``, largest cosine of each upload with an earlier one of the party's own (see
        :class:`equigrad.federation.methods.repeats.RepeatMeter`); None if it was not measured.
    noise
        What each party declared, one mapping each; empty for none.
    """

    round: int
    members: tuple[str, ...]
    parties: tuple[str, ...]
    gram: Float64
    overlap: Float64
    reward_energy: Float64
    records: Float64
    gamma: float | None
    n_params: int
    noise: tuple[Mapping[str, Any], ...] = ()
    repeat: Float64 | None = None


@dataclass(frozen=True)
class History:
    """What earlier rounds left behind: the parties' standing and the audits' memory."""

    standing: Standing = field(default_factory=lambda: Standing.fresh(()))
    audits: AuditState = field(default_factory=AuditState)

    def to_json(self) -> dict[str, Any]:
        """Return JSON types; :meth:`from_json` restores them to the last bit."""
        return {"standing": self.standing.to_json(), "audits": self.audits.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "History":
        """Return what :meth:`to_json` wrote."""
        standing = Standing.from_json(data["standing"])
        return cls(standing, AuditState.from_json(data["audits"]))


@dataclass(frozen=True, eq=False)
class Appraisal:
    """One round's judgement; arrays ``(n,)`` run over the evidence's parties, 0 where excluded.

    Attributes
    ----------
    caps
        Factor on each upload, in (0, 1].
    weights, value_weights
        Aggregation weights (sum 1, or all 0 if nobody is left) and weights in the game.
    valued
        Names of the parties that were valued: present and not excluded.
    rule
        Name of the contribution rule that was used.
    values
        Contributions; ``half_width`` with them, if sampled.
    kappa
        Consensus of the round.
    trust
        How far the values can be trusted under declared noise; None without noise.
    audit
        The audits' report.
    excluded
        Members whose value, weight and reward are 0 in this round because of a flag.
    reputation
        ``(N,)`` over the members: r.
    sharpened, ratios
        s and q over the parties.
    """

    caps: Float64
    weights: Float64
    value_weights: Float64
    valued: tuple[str, ...]
    rule: str
    values: Values
    kappa: float
    trust: Trust | None
    audit: AuditReport
    excluded: tuple[str, ...]
    reputation: Float64
    sharpened: Float64
    ratios: Float64
