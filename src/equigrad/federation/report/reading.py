"""The record read for people: what happened, by round and party, whatever the method left out.

Everything in :mod:`equigrad.federation.report` starts from :func:`read_run`. Baselines write fewer
keys than CGSV, a killed run has no end, an absent party has gaps: what is not there is ``None`` or
missing from a mapping, never a made-up zero.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equigrad.errors import RecordError
from equigrad.federation.record.chain import ZERO_HASH, iter_record
from equigrad.federation.record.folder import RunFolder

__all__ = ["Measure", "Round", "Run", "read_lines", "read_run"]


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
    values, half_width
        Contributions, and half the width of their 95 % interval where they were sampled.
    reputation, ratio, share, cos, drift
        Share of all reputations; reward ratio; share of the aggregate's entries received; cosine
        of reward and aggregate; relative distance from the coordinator's model.
    flags
        Audit flags that were up, each with ``party``, ``kind`` and its statistics.
    not_testable
        By audit, the parties on which it could not speak.
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
    model. ``head`` seals all ``lines`` lines read.
    """

    start: Mapping[str, Any] = field(default_factory=dict)
    standalone: dict[str, Measure] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)
    final: dict[str, Measure] = field(default_factory=dict)
    coordinator: Measure | None = None
    finished: bool = False
    head: str = ZERO_HASH
    lines: int = 0

    @property
    def parties(self) -> tuple[str, ...]:
        """All parties, in the run file's order."""
        return _names(self.start.get("parties"))

    @property
    def regression(self) -> bool:
        """Whether scores are R^2 rather than accuracies."""
        return bool(self.start.get("data", {}).get("task") == "regression")

    @property
    def valued(self) -> Round | None:
        """The last round with contributions."""
        return next((r for r in reversed(self.rounds) if r.values), None)

    def scores_after(self, round_: int) -> dict[str, Measure]:
        """Return the models' measures after ``round_`` (-1: the initial models), where known."""
        later = self.rounds[round_ + 1] if round_ + 1 < len(self.rounds) else None
        return later.measured if later is not None else self.final


def read_run(folder: RunFolder | Path | str) -> Run:
    """Read a run folder's record and check its chain on the way.

    A last line that is cut short, as a killed run may leave it, is left out.

    Raises
    ------
    RecordError
        If there is no record, or it does not begin with a start line.
    VerificationError
        If the chain is broken.
    """
    where = folder if isinstance(folder, RunFolder) else RunFolder.open(folder)
    run = Run()
    for line in iter_record(where.record, allow_cut=True):
        _take(run, line.stage, line.round, line.body)
        run.head, run.lines = line.hash, line.index + 1
    if not run.start:
        raise RecordError(
            f"Expected {where.record} to begin with a start line, got none. "
            "The run stopped before its first round: resume it first."
        )
    return run


def read_lines(lines: Iterable[tuple[str, int | None, Mapping[str, Any]]]) -> Run:
    """Return the run that ``(stage, round, body)`` lines tell of, without a file."""
    run = Run()
    for stage, round_, body in lines:
        _take(run, stage, round_, body)
        run.lines += 1
    return run


def _take(run: Run, stage: str, round_: int | None, body: Mapping[str, Any]) -> None:
    try:
        if round_ is None:
            if stage in _WHOLE:
                _WHOLE[stage](run, body)
            return
        while len(run.rounds) <= round_:
            run.rounds.append(Round(len(run.rounds)))
        if body.get("C") is not None:
            for earlier in run.rounds:
                earlier.gram = None
        if stage in _BY_ROUND:
            _BY_ROUND[stage](run.rounds[round_], body)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        where = stage if round_ is None else f"{stage} of round {round_}"
        raise RecordError(f"Expected a readable line for {where}, got {error!r}.") from error


def _start(run: Run, body: Mapping[str, Any]) -> None:
    run.start = body


def _standalone(run: Run, body: Mapping[str, Any]) -> None:
    run.standalone = _measures(body)


def _finish(run: Run, body: Mapping[str, Any]) -> None:
    run.final = _measures(body)
    run.finished = True
    if body.get("coordinator") is not None:
        run.coordinator = _measure(body["coordinator"])


def _announce(round_: Round, body: Mapping[str, Any]) -> None:
    round_.members = _names(body.get("parties"))
    round_.gamma = _number(body.get("gamma"))
    round_.joined = _names(body.get("joined"))
    round_.left = _names(body.get("left"))


def _train(round_: Round, body: Mapping[str, Any]) -> None:
    round_.present = _names(body.get("parties"))
    round_.measured = _measures(body)
    round_.absent = {party: str(why) for party, why in body.get("absent", {}).items()}
    round_.refused = {
        party: (str(flag), str(detail)) for party, (flag, detail) in body.get("refused", {}).items()
    }
    round_.void = bool(body.get("quorum", {}).get("void", False))
    round_.settled = round_.void


def _appraise(round_: Round, body: Mapping[str, Any]) -> None:
    parties = _names(body.get("parties"))
    members = _names(body.get("members")) or parties
    round_.values = _aligned(body.get("values"), parties)
    round_.half_width = _aligned(body.get("half_width"), parties)
    round_.reputation = _aligned(body.get("r"), members)
    round_.rule = body.get("rule")
    round_.permutations = body.get("permutations")
    round_.converged = body.get("converged")
    round_.kappa = _number(body.get("kappa"))
    round_.trust = body.get("trust")
    round_.flags = tuple(body.get("flags") or ())
    round_.not_testable = {
        str(audit): _names(names)
        for audit, names in (body.get("audit") or {}).get("not_testable", {}).items()
    }
    round_.excluded = _names(body.get("excluded")) or _names(body.get("removed"))
    round_.gram, round_.gram_parties = body.get("C"), parties


def _reward(round_: Round, body: Mapping[str, Any]) -> None:
    parties = _names(body.get("parties"))
    round_.ratio = _aligned(body.get("q"), parties)
    round_.share = _aligned(body.get("share"), parties)
    round_.cos = _aligned(body.get("cos"), parties)


def _settle(round_: Round, body: Mapping[str, Any]) -> None:
    round_.drift = _aligned(body.get("drift"), _names(body.get("parties")))
    round_.settled = True


_WHOLE: dict[str, Callable[[Run, Mapping[str, Any]], None]] = {
    "start": _start,
    "standalone": _standalone,
    "finish": _finish,
}
_BY_ROUND: dict[str, Callable[[Round, Mapping[str, Any]], None]] = {
    "announce": _announce,
    "train": _train,
    "appraise": _appraise,
    "reward": _reward,
    "settle": _settle,
}


def _names(value: Sequence[Any] | None) -> tuple[str, ...]:
    return tuple(str(name) for name in value or ())


def _number(value: Any) -> float | None:
    """Return a finite float or None; "nan" and "inf" are how the record writes the others."""
    number = None if value is None else float(value)
    return number if number is not None and math.isfinite(number) else None


def _aligned(value: Any, names: Sequence[str]) -> dict[str, float]:
    pairs = value.items() if isinstance(value, Mapping) else zip(names, value or (), strict=False)
    numbers = {str(name): _number(entry) for name, entry in pairs}
    return {name: number for name, number in numbers.items() if number is not None}


def _measure(value: Mapping[str, Any]) -> Measure:
    return Measure(_number(value.get("score")), _number(value.get("loss")))


def _measures(body: Mapping[str, Any]) -> dict[str, Measure]:
    names, entries = _names(body.get("parties")), body.get("metrics") or ()
    return {
        name: _measure(entry)
        for name, entry in zip(names, entries, strict=False)
        if entry is not None and entry.get("score") is not None
    }
