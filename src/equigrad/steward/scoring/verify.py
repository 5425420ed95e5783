"""Verification of a scoring: what its records claim, computed again from what the folder holds.

No data is needed. Of the shared record: the chain, settings, the planned and the charged ledger,
epsilon of all of it composed, the whole statement, digests of the released models. Where the
owner's part is there: its chain, digests of checkpoints, models and scores, the selection from
the scores (for selectors that toss no coins), the comparison's verdict. Whether noise was really
drawn cannot be seen from a record.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from equigrad.errors import EquigradError, VerificationError
from equigrad.federation.record.agreement import VerifyResult, fault, same, where
from equigrad.federation.record.canonical import plain, sha256_file
from equigrad.federation.record.chain import Line, iter_record
from equigrad.federation.record.folder import RunFolder
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.steward.config import ScoreSettings, restore_score_settings
from equigrad.steward.promise import delta_warnings, statement_body
from equigrad.steward.scoring.places import ScorePlaces
from equigrad.steward.scoring.statement import score_statement
from equigrad.steward.scoring.verify_local import LocalWalk

__all__ = ["verify_scoring"]

_LEAST_SHARE = 0.98


def verify_scoring(folder: Path | str, *, head: str | None = None) -> VerifyResult:
    """Check a scoring's folder and return what was checked.

    Parameters
    ----------
    folder
        The folder, with or without its part ``local/``.
    head
        The hash of the shared record's last line, or its beginning, if it was kept elsewhere.

    Raises
    ------
    RecordError, ConfigError
        If the folder holds no scoring of this version.
    VerificationError
        At the first thing that does not agree, naming line, recorded and recomputed value.
    """
    place = RunFolder.open(folder)
    settings = restore_score_settings(place.read_config())
    result = VerifyResult()
    walk = _SharedWalk(place, settings, result)
    for line in _counted(place.record, "lines of the chain", result):
        result.head = line.hash
        _checked(line, walk.take)
    if not walk.start:
        raise VerificationError(f"{place.record}: expected a start line first, got none.")
    if head is not None and (not head or not result.head.startswith(head)):
        raise VerificationError(
            f"{place.record}: expected the head {head[:12]}..., got {result.head[:12]}...; this is "
            "not the record that the head was kept of."
        )
    places = ScorePlaces(place)
    if places.record.exists():
        local = LocalWalk(places, settings, walk.start, walk.finish, result)
        for line in _counted(places.record, "lines of the owner's chain", result):
            _checked(line, local.take)
        if walk.finish and not local.finished:
            result.finished = False
    return result


def _counted(path: Path, what: str, result: VerifyResult) -> Iterator[Line]:
    for line in iter_record(path):
        result.count(what)
        yield line


def _checked(line: Line, check: Any) -> None:
    """Check one line; whatever is missing or malformed in it is a fault of the record."""
    try:
        check(line)
    except VerificationError:
        raise
    except (EquigradError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise VerificationError(
            f"{where(line)}: expected a line as a scoring writes it, got a malformed one "
            f"({type(error).__name__}: {error})."
        ) from error


class _SharedWalk:
    """Follows the shared record line by line."""

    def __init__(self, place: RunFolder, settings: ScoreSettings, result: VerifyResult) -> None:
        self.place, self.settings, self.result = place, settings, result
        self.start: Mapping[str, Any] = {}
        self.finish: Mapping[str, Any] = {}

    def take(self, line: Line) -> None:
        """Check one line."""
        if line.index == 0 and line.stage == "start":
            self._begun(line)
        elif line.index == 1 and line.stage == "finish":
            self._finished(line)
        else:
            raise fault(line, "expected a start line and a finish line, and nothing else")

    def _begun(self, line: Line) -> None:
        body, privacy = line.body, self.settings.privacy
        if body["config_sha256"] != self.place.config_sha256():
            raise VerificationError(
                f"{self.place.config_json}: expected the settings that the record began with, got "
                "others; they were changed."
            )
        self.result.count("settings")
        self.start = body
        plan, records = body["plan"], body["data"]["records"]
        for what, ours, theirs in (
            ("seed", body["seed"], self.settings.seed),
            ("sampling rate", plan["rate"], plan["batch"] / records),
            ("origin", body["scoring"]["origin"], self.settings.scoring.model_origin),
            ("release", plan["release"], self._release()),
            ("selection", body["selection"] is not None, self.settings.selection.rule is not None),
        ):
            same(line, what, ours, theirs, self.result)
        for event in map(PrivacyEvent.from_json, plan["events"]):
            if event.released == "" and event.sampling_rate != plan["rate"]:
                raise fault(line, "expected every training at the plan's sampling rate")
            if event.seeded != (privacy.noise == "seeded"):
                raise fault(line, "expected noise as the settings have it")
        if privacy.delta is not None:
            missing = set(delta_warnings(privacy.delta, records)) - {*body["warnings"]}
            if missing:
                raise fault(line, f"expected the warning {missing.pop()!r}")
        self._statement(line, plan["events"])
        self._budget(line)

    def _release(self) -> str:
        choice = self.settings.selection
        return choice.release if choice.train else "scorer"

    def _budget(self, line: Line) -> None:
        """Check that the plan uses the budget and does not exceed it."""
        stated, limit = line.body["statement"], self.settings.privacy.epsilon
        if stated is None or limit is None:
            return
        if not _LEAST_SHARE * limit <= stated["epsilon"] <= limit * (1 + 1e-9):
            raise fault(
                line,
                f"expected a plan that costs between {_LEAST_SHARE:.0%} of epsilon = {limit:g} and "
                f"all of it, got {stated['epsilon']:.6g}",
            )
        self.result.count("budget")

    def _finished(self, line: Line) -> None:
        body = line.body
        self.finish = body
        planned = [PrivacyEvent.from_json(event) for event in self.start["plan"]["events"]]
        charged = [PrivacyEvent.from_json(event) for event in body["events"]]
        if charged != planned:
            raise fault(line, "expected the events that were planned, all of them and no others")
        self.result.count("events", len(charged))
        self._statement(line, body["events"])
        release = self.start["plan"]["release"]
        allowed = {"best": ("selected", "baseline"), "scorer": (None,)}.get(release, (release,))
        if body["released"] not in allowed:
            raise fault(line, f"expected {' or '.join(map(str, allowed))} to be released")
        for name, recorded in body["models"].items():
            path = self.place.models / name
            found = sha256_file(path) if path.is_file() else "no such file"
            if found != recorded:
                raise VerificationError(
                    f"{path}: expected the model with SHA-256 {str(recorded)[:12]}..., got "
                    f"{found[:12]}."
                )
            self.result.count("models")
        extra = {path.name for path in self.place.models.glob("*")} - body["models"].keys()
        if extra:
            raise fault(line, f"expected no model but the released ones, got {min(extra)}")
        self.result.finished = True

    def _statement(self, line: Line, events: list[Any]) -> None:
        """Make the statement again from events and settings, and compare the whole of it."""
        stated = line.body["statement"]
        made = [PrivacyEvent.from_json(event) for event in events]
        again = score_statement(made, self.settings)
        if again is None:
            same(line, "statement", stated, None, self.result)
            return
        recorded = float(stated["epsilon"])
        if recorded != again.epsilon:
            self.result.exact = False
            if not math.isclose(recorded, again.epsilon, rel_tol=1e-6):
                raise fault(
                    line, f"recomputed epsilon as {again.epsilon!r}, the record says {recorded!r}"
                )
        self.result.count("epsilon of all releases together")
        whole = plain(statement_body(replace(again, epsilon=recorded)))
        same(line, "statement", stated, whole, self.result)
