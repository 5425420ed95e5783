"""The record read for people: its lines, sorted into :mod:`equigrad.federation.report.story`.

Everything in :mod:`equigrad.federation.report` starts from :func:`read_run`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from equigrad.errors import RecordError
from equigrad.federation.record.chain import iter_record
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.report.story import Measure, Round, Run

__all__ = ["read_lines", "read_run"]


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
        if stage == "train":
            _releases(run, body)
        if stage in _BY_ROUND:
            _BY_ROUND[stage](run.rounds[round_], body)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        where = stage if round_ is None else f"{stage} of round {round_}"
        raise RecordError(f"Expected a readable line for {where}, got {error!r}.") from error


def _start(run: Run, body: Mapping[str, Any]) -> None:
    run.start = body


def _standalone(run: Run, body: Mapping[str, Any]) -> None:
    run.standalone = _measures(body)
    pairs = zip(_names(body.get("parties")), body.get("steps") or (), strict=False)
    run.steps |= {party: int(steps) for party, steps in pairs}


def _finish(run: Run, body: Mapping[str, Any]) -> None:
    run.final = _measures(body)
    run.finished = True
    privacy = body.get("privacy") or {}
    run.steps |= {party: int(n) for party, n in privacy.get("steps", {}).items()}
    run.epsilon = {party: float(spent) for party, spent in privacy.get("epsilon", {}).items()}
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


def _releases(run: Run, body: Mapping[str, Any]) -> None:
    for party, told in zip(_names(body.get("parties")), body.get("privacy") or (), strict=False):
        if told is not None:
            run.steps[party] = int(told["steps"])
            if told.get("mean_score") is not None:
                run.mean_scores[party] = float(told["mean_score"])


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
    round_.audited = body.get("flags") is not None
    round_.flags = tuple(body.get("flags") or ())
    round_.not_testable = {
        str(audit): _names(names)
        for audit, names in (body.get("audit") or {}).get("not_testable", {}).items()
    }
    round_.excluded = _names(body.get("excluded")) or _names(body.get("removed"))
    round_.gram, round_.gram_parties = body.get("C"), parties


def _reward(round_: Round, body: Mapping[str, Any]) -> None:
    parties = _names(body.get("parties"))
    round_.mask = body.get("mask")
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
