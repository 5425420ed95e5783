"""Verification: what a run's record claims, computed again from what it holds.

Nothing but the run folder is needed: no data, no gradients, no parties. First the chain is
checked, then who was asked and who answered (here), then each round's judgement
(:mod:`equigrad.federation.record.judge`); at last the models are compared with what the record
says of them (:mod:`equigrad.federation.record.models`).
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from equigrad.errors import VerificationError
from equigrad.federation.config.loader import restore_config
from equigrad.federation.config.schema import RunConfig
from equigrad.federation.membership import Membership
from equigrad.federation.methods import METHODS
from equigrad.federation.record.agreement import Malformed, VerifyResult, fault, same
from equigrad.federation.record.canonical import plain
from equigrad.federation.record.chain import Line, iter_record
from equigrad.federation.record.checkpoint import load_checkpoint
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.record.judge import Judge
from equigrad.federation.record.models import check_models
from equigrad.federation.record.releases import ReleaseChecker
from equigrad.federation.trade.config.schema import MarketConfig
from equigrad.federation.vertical.config.schema import VerticalConfig

__all__ = ["VerifyResult", "verify"]


def verify(folder: Path | str, *, head: str | None = None) -> VerifyResult:
    """Check a run folder and return what was checked.

    Parameters
    ----------
    folder
        The run folder.
    head
        The hash of the record's last line, or its beginning, if it was kept elsewhere: the one
        thing that shows that nobody wrote the whole record anew.

    Raises
    ------
    RecordError
        If the folder is no run folder.
    ConfigError
        If its frozen configuration is not one of this version.
    VerificationError
        At the first thing that does not agree, naming line, field, recorded and recomputed value.
    """
    place = RunFolder.open(folder)
    config = restore_config(place.read_config())
    if isinstance(config, VerticalConfig):
        from equigrad.federation.vertical.verify import verify_vertical

        return verify_vertical(place, config, head=head)
    if isinstance(config, MarketConfig):
        from equigrad.federation.trade.verify import verify_market

        return verify_market(place, config, head=head)
    result = VerifyResult()
    lines = _counted(iter_record(place.record), result)
    start = next(lines, None)
    if start is None or start.stage != "start":
        raise VerificationError(f"{place.record}: expected a start line first, got none.")
    if start.body.get("config_sha256") != place.config_sha256():
        raise VerificationError(
            f"{place.config_json}: expected the configuration that the record began with, got "
            "another one; it was changed."
        )
    result.count("configuration")
    with Malformed(start):
        walk = _Walk(config, start, result)
    for line in lines:
        with Malformed(line):
            walk.take(line)
    walk.end()
    _check_end(place, result, head)
    if walk.finish is not None:
        check_models(place, start, walk.finish, walk.model_digest, result)
    return result


def _counted(lines: Iterator[Line], result: VerifyResult) -> Iterator[Line]:
    for line in lines:
        result.head = line.hash
        result.count("lines of the chain")
        yield line


def _check_end(place: RunFolder, result: VerifyResult, head: str | None) -> None:
    """Check that no lines are missing at the end, as far as the folder or its keeper knows."""
    if head is not None and (not head or not result.head.startswith(head)):
        raise VerificationError(
            f"{place.record}: expected the head {head[:12]}..., got {result.head[:12]}...; this is "
            "not the record that the head was kept of."
        )
    checkpoint = load_checkpoint(place)
    lines = result.checks["lines of the chain"]
    if checkpoint is not None and lines < checkpoint.record_length:
        raise VerificationError(
            f"{place.record}: expected at least {checkpoint.record_length} lines, as many as the "
            f"run's checkpoint knows of, got {lines}; lines are missing at the end."
        )
    if not result.finished and any(place.models.glob("*.safetensors")):
        raise VerificationError(
            f"{place.record}: expected a finish line, for there are final models, got none; the "
            "last line is missing, or the run was stopped while it finished (then resume it)."
        )


class _Walk:
    """Follows a record line by line: the order of stages, who was asked, who answered."""

    def __init__(self, config: RunConfig, start: Line, result: VerifyResult) -> None:
        self.config = config
        self.result = result
        self.finish: Line | None = None
        self.model_digest: str | None = None
        self._members = Membership(start.body["parties"], config.party)
        self._judge = Judge(config, start, result)
        self._releases: ReleaseChecker | None = None
        if config.privacy.private:
            bounding = self._judge.settings.bounding if config.method == "cgsv" else "clip"
            self._releases = ReleaseChecker(config, start, bounding, result)
        self._round = -1
        self._due = "announce"
        self._announced: Mapping[str, Any] = {}
        result.recomputed = METHODS[config.method].recomputable
        self._check_start(start)

    def take(self, line: Line) -> None:
        """Check one line after the first."""
        if line.stage in ("standalone", "finish"):
            self._aside(line)
            return
        if line.stage != self._due:
            raise fault(line, f"expected the stage {self._due!r} here")
        expected = self._round + 1 if line.stage == "announce" else self._round
        if line.round != expected:
            raise fault(line, f"expected round {expected}")
        if line.stage == "announce":
            self._announce(line)
        elif line.stage == "train":
            self._train(line)
        else:
            self._settled(line)

    def end(self) -> None:
        """Check that the record stops where a run may stop."""
        if self._due != "announce":
            raise VerificationError(
                f"record.jsonl: expected a {self._due!r} line of round {self._round} at the end, "
                "got none; the run was stopped within a round (resume it), or lines are missing."
            )
        if self.result.finished and self._round + 1 != self.config.rounds:
            raise VerificationError(
                f"record.jsonl: expected {self.config.rounds} rounds, got {self._round + 1}."
            )

    def _check_start(self, start: Line) -> None:
        body, config = start.body, self.config
        for key in ("seed", "rounds", "method"):
            same(start, "terms", body[key], getattr(config, key), self.result)
        behaviours = {party.name: party.behaviour for party in config.party}
        expected = [behaviours.get(party, "honest") for party in body["parties"]]
        same(start, "terms", body["behaviours"], expected, self.result)
        same(start, "terms", len(body["records"]), len(body["parties"]), self.result)
        sizes = body["model"]["layer_sizes"]
        same(start, "terms", body["model"]["parameters"], sum(sizes), self.result)
        same(start, "terms", len(body["model"]["names"]), len(sizes), self.result)
        recorded, again = body["settings"], plain(self._judge.settings.facts())
        known = {key: again.get(key) for key in recorded}  # a later version may know more
        same(start, "settings", recorded, known, self.result)

    def _aside(self, line: Line) -> None:
        if self._due != "announce" or self.result.finished:
            raise fault(line, "expected no such line here")
        if self._releases is not None:
            {"standalone": self._releases.standalone, "finish": self._releases.finish}[line.stage](
                line
            )
        if line.stage == "finish":
            self.result.finished = True
            self.finish = line

    def _announce(self, line: Line) -> None:
        if self.result.finished:
            raise fault(line, "expected nothing after the finish line")
        self._round += 1
        self._announced, self._due = line.body, "train"
        members = list(self._members.at(self._round))
        joined, left = self._members.changes(self._round)
        same(line, "members", line.body["parties"], members, self.result)
        same(line, "members", line.body["joined"], list(joined), self.result)
        same(line, "members", line.body["left"], list(left), self.result)
        same(line, "members", len(line.body["deliveries"]), len(members), self.result)
        if self.result.recomputed:
            self._judge.announce(line)

    def _train(self, line: Line) -> None:
        members, body = self._announced["parties"], line.body
        quorum, present = body["quorum"], body["parties"]
        needed = max(1, math.ceil(self.config.round.quorum * len(members)))
        same(line, "quorum", quorum["needed"], needed, self.result)
        same(line, "quorum", quorum["answered"], len(present), self.result)
        same(line, "quorum", quorum["void"], len(present) < needed, self.result)
        heard = [*present, *body["absent"], *body["refused"]]
        same(line, "members", sorted(heard), sorted(members), self.result)
        for key in ("uploads", "norms", "records", "metrics"):
            same(line, "members", len(body[key]), len(present), self.result)
        if not all(_is_digest(digest) for digest in body["uploads"]):
            raise fault(line, "expected the SHA-256 of every upload")
        declared = None
        if self._releases is not None:
            self._releases.train(line, self._announced["gamma"])
            declared = self._releases.declared
        if self.result.recomputed:
            self._judge.train(line, declared)
        self._due = "announce" if quorum["void"] else "appraise"

    def _settled(self, line: Line) -> None:
        if self.result.recomputed:
            {
                "appraise": self._judge.appraise,
                "reward": self._judge.reward,
                "settle": self._judge.settle,
            }[line.stage](line)
        self._due = _NEXT[line.stage]
        if line.stage == "settle":
            self.result.rounds += 1
            self.model_digest = line.body["model_sha256"]


_NEXT = {"appraise": "reward", "reward": "settle", "settle": "announce"}


def _is_digest(text: Any) -> bool:
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")
