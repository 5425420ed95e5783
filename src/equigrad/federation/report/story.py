"""A run as the record tells it: rounds, measurements, contributions, rewards, troubles.

Filled by :mod:`~equigrad.federation.report.reading`, asked by every other room of the report.
Baselines write fewer keys than CGSV, a killed run has no end, an absent party has gaps: what is
not there is ``None`` or missing from a mapping, never a made-up zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from equigrad.federation.record.chain import ZERO_HASH

__all__ = ["Measure", "Round", "Run"]


@dataclass(frozen=True)
class Measure:
    """A model measured on the test records: accuracy or R^2, and the mean loss."""

    score: float | None = None
    loss: float | None = None


@dataclass
class Round:
    """What the record says of one round; mappings are keyed by party.

    Attributes
    ----------
    index
        The round, from 0.
    members, present
        Who belonged to the consortium, and whose upload was admitted.
    measured
        Each party's model as it was *before* this round, that is after the round before.
    absent, refused
        Why a member's upload is missing: a reason, or the refusal's flag and detail.
    void, settled
        Whether too few parties answered; whether the round's last line is there.
    rule, mask, audited
        Names of the contribution rule and of the reward rule; whether the uploads were audited.
    permutations, converged, kappa, trust
        How values were sampled, if they were; consensus; signal to noise, if noise was declared.
    values, half_width
        Contributions, and half the width of their 95 % interval where they were sampled.
    reputation, ratio, share, cos, drift
        Share of all reputations; reward ratio; share of the aggregate's entries received; cosine
        of reward and aggregate; relative distance from the coordinator's model.
    flags
        Audit flags that were up, each with ``party``, ``kind`` and its statistics.
    not_testable
        By audit, the parties that it could not clear.
    excluded
        Parties that were valued but got and counted nothing.
    gram, gram_parties
        The uploads' inner products in the record's own form, and whose rows they are. Kept for
        the last valued round only.
    """

    index: int
    members: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    gamma: float | None = None
    measured: dict[str, Measure] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    void: bool = False
    settled: bool = False
    rule: str | None = None
    mask: str | None = None
    audited: bool = False
    permutations: int | None = None
    converged: bool | None = None
    kappa: float | None = None
    trust: Mapping[str, Any] | None = None
    values: dict[str, float] = field(default_factory=dict)
    half_width: dict[str, float] = field(default_factory=dict)
    reputation: dict[str, float] = field(default_factory=dict)
    flags: tuple[Mapping[str, Any], ...] = ()
    not_testable: dict[str, tuple[str, ...]] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()
    ratio: dict[str, float] = field(default_factory=dict)
    share: dict[str, float] = field(default_factory=dict)
    cos: dict[str, float] = field(default_factory=dict)
    drift: dict[str, float] = field(default_factory=dict)
    gram: Any = None
    gram_parties: tuple[str, ...] = ()

    def state(self, party: str) -> str:
        """Return what a member was: "present", "excluded", "absent" or "refused"."""
        if party in self.refused:
            return "refused"
        if party in self.absent:
            return "absent"
        return "excluded" if party in self.excluded else "present"


@dataclass
class Run:
    """A whole record: its start, its rounds in order, its end if it has one.

    ``standalone`` and ``final`` hold what was measured; ``coordinator`` the coordinator's own
    model. ``steps`` and ``epsilon`` are what the parties' privacy accounts hold and what it costs
    (private runs; the cost once the run has its end), ``mean_scores`` the noisy means that parties
    told of their records' scores. ``head`` seals all ``lines`` lines read.
    """

    start: Mapping[str, Any] = field(default_factory=dict)
    standalone: dict[str, Measure] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)
    final: dict[str, Measure] = field(default_factory=dict)
    coordinator: Measure | None = None
    finished: bool = False
    steps: dict[str, int] = field(default_factory=dict)
    epsilon: dict[str, float] = field(default_factory=dict)
    mean_scores: dict[str, float] = field(default_factory=dict)
    head: str = ZERO_HASH
    lines: int = 0

    @property
    def parties(self) -> tuple[str, ...]:
        """All parties, in the run file's order."""
        return tuple(str(name) for name in self.start.get("parties") or ())

    @property
    def regression(self) -> bool:
        """Whether scores are R^2 rather than accuracies."""
        return bool(self.start.get("data", {}).get("task") == "regression")

    @property
    def privacy(self) -> Mapping[str, Any]:
        """What was agreed on private training; empty without it."""
        return self.start.get("privacy") or {}

    @property
    def audited(self) -> bool:
        """Whether the method audits uploads."""
        return any(r.audited for r in self.rounds)

    @property
    def mask(self) -> str | None:
        """Name of the reward rule of the last round that had one."""
        return next((r.mask for r in reversed(self.rounds) if r.mask), None)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The fair rewards' settings; empty for a baseline, which does not follow them."""
        fair = self.start.get("method") == "cgsv"
        return self.start.get("settings") or {} if fair else {}

    @property
    def valued(self) -> Round | None:
        """The last round with contributions."""
        return next((r for r in reversed(self.rounds) if r.values), None)

    def scores_after(self, round_: int) -> dict[str, Measure]:
        """Return the models' measures after ``round_`` (-1: the initial models), where known."""
        later = self.rounds[round_ + 1] if round_ + 1 < len(self.rounds) else None
        return later.measured if later is not None else self.final
