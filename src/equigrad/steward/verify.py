"""Verification of a training: what its record claims, computed again from what it holds.

No data is needed. Recomputed are the chain, the whole statement from events and settings, the steps
that are measured, the cost of privacy from the measurements; compared are settings, events and the
model's digest. Whether the noise was really
drawn cannot be seen from a record: that is what an audit looks for, and no audit proves it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from equigrad.errors import EquigradError, VerificationError
from equigrad.fairness import compare_groups
from equigrad.federation.record.agreement import VerifyResult, fault, same, where
from equigrad.federation.record.canonical import plain, sha256_array, sha256_file
from equigrad.federation.record.chain import Line, iter_record
from equigrad.federation.record.folder import RunFolder
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.steward.config import TrainSettings, restore_settings
from equigrad.steward.measure import every_so_many, metrics_of
from equigrad.steward.promise import delta_warnings, statement_body, training_statement
from equigrad.steward.run import MODEL

__all__ = ["verify_training"]


def verify_training(folder: Path | str, *, head: str | None = None) -> VerifyResult:
    """Check a training's folder and return what was checked.

    Parameters
    ----------
    folder
        The folder.
    head
        The hash of the record's last line, or its beginning, if it was kept elsewhere: the one
        thing that shows that nobody wrote the whole record anew.

    Raises
    ------
    RecordError, ConfigError
        If the folder holds no training of this version.
    VerificationError
        At the first thing that does not agree, naming line, recorded and recomputed value.
    """
    place = RunFolder.open(folder)
    settings = restore_settings(place.read_config())
    result = VerifyResult()
    lines = list(_counted(iter_record(place.record), result))
    if not lines or lines[0].stage != "start":
        raise VerificationError(f"{place.record}: expected a start line first, got none.")
    walk = _Walk(place, settings, result)
    for line in lines:
        try:
            walk.take(line)
        except VerificationError:
            raise
        except (EquigradError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise VerificationError(
                f"{where(line)}: expected a line as a training writes it, got a malformed one "
                f"({type(error).__name__}: {error})."
            ) from error
    if head is not None and (not head or not result.head.startswith(head)):
        raise VerificationError(
            f"{place.record}: expected the head {head[:12]}..., got {result.head[:12]}...; this is "
            "not the record that the head was kept of."
        )
    if not result.finished and any(place.models.glob("*.safetensors")):
        raise VerificationError(
            f"{place.record}: expected a finish line, for there is a final model, got none; the "
            "last line is missing, or the training was stopped while it finished (resume it)."
        )
    return result


def _counted(lines: Iterator[Line], result: VerifyResult) -> Iterator[Line]:
    for line in lines:
        result.head = line.hash
        result.count("lines of the chain")
        yield line


class _Walk:
    """Follows a record line by line."""

    def __init__(self, place: RunFolder, settings: TrainSettings, result: VerifyResult) -> None:
        self.place, self.settings, self.result = place, settings, result
        self._start: Mapping[str, Any] = {}
        self._last: tuple[int, Mapping[str, Any]] | None = None
        self._due = 0  # the step after which the next measurement is made
        self._seen = -1  # the last step diagnosed

    def take(self, line: Line) -> None:
        """Check one line."""
        if (line.index == 0) != (line.stage == "start"):
            raise fault(line, "expected one start line, the first")
        if self.result.finished:
            raise fault(line, "expected nothing after the finish line")
        check = {
            "start": self._begun,
            "measure": self._measured,
            "diagnose": self._diagnosed,
            "finish": self._finished,
        }.get(line.stage)
        if check is None:
            raise fault(line, "expected a stage that a training has")
        check(line)

    def _begun(self, line: Line) -> None:
        body, privacy = line.body, self.settings.privacy
        if body["config_sha256"] != self.place.config_sha256():
            raise VerificationError(
                f"{self.place.config_json}: expected the settings that the record began with, got "
                "others; they were changed."
            )
        self.result.count("settings")
        self._start = body
        event = PrivacyEvent.from_json(body["event"])
        rate = privacy.expected_batch / body["data"]["records"]
        for what, ours, theirs in (
            ("rule", event.rule, privacy.rule),
            ("noise", "seeded" if event.seeded else "secret", privacy.noise),
            ("noise form", event.noise_form, privacy.noise_form),
            ("sampling rate", event.sampling_rate, rate),
            ("steps", event.steps, body["steps"]),
            ("label", event.label, self.settings.name),
            ("seed", body["seed"], self.settings.seed),
            ("twin", body["twin"] is not None, self.settings.fairness.paired),
            ("diagnostics", body["diagnostics"], self.settings.fairness.diagnostics),
        ):
            same(line, what, ours, theirs, self.result)
        missing = set(delta_warnings(privacy.delta, body["data"]["records"])) - {*body["warnings"]}
        if missing:
            raise fault(line, f"expected the warning {missing.pop()!r}")
        self._statement(line, [body["event"]])
        if body["statement"]["epsilon"] > privacy.epsilon * (1 + 1e-9):
            raise fault(line, f"expected a plan within epsilon = {privacy.epsilon:g}")

    def _measured(self, line: Line) -> None:
        self._expect_measurement(line, line.round)
        step, total = self._due, self._start["steps"]
        self._due = step + 1 if step == total else min(step + every_so_many(total), total)
        self._last = (step, line.body)
        same(line, "twin", line.body["twin"] is not None, bool(self._start["twin"]), self.result)
        for model in ("test", "twin"):
            tables = line.body[model]
            if tables is not None:
                total = sum(tables["rows"].values())
                same(line, "test records", total, self._start["data"]["test_records"], self.result)
        self.result.rounds += 1

    def _expect_measurement(self, line: Line, step: int | None) -> None:
        """Refuse any but the next step that such a training measures."""
        if self._due > self._start["steps"]:
            raise fault(line, "expected no measurement after the last step's")
        if step != self._due:
            raise fault(line, f"expected the measurement after step {self._due}")

    def _diagnosed(self, line: Line) -> None:
        every, step = self._start["diagnostics"], -1 if line.round is None else line.round
        # The lines of a stretch of steps stand before the measurement that ends it.
        known = self._last is not None and max(self._last[0], self._seen + 1) <= step < self._due
        if not every or step % every or not known or step >= self._start["steps"]:
            raise fault(line, "expected no diagnosis of this step")
        self._seen = step
        for table in line.body["by_group"].values():
            same(line, "diagnoses", len(table), len(self._start["data"]["groups"]), self.result)

    def _finished(self, line: Line) -> None:
        body = line.body
        if self._last is None:
            raise fault(line, "expected a measurement before the end")
        if self._due <= self._start["steps"]:
            raise fault(line, f"expected the measurement after step {self._due} before the end")
        same(line, "steps", body["steps"], self._last[0], self.result)
        same(line, "steps", body["steps"], self._start["steps"], self.result)
        self._events(line)
        self._statement(line, body["events"])
        self._cost(line, self._last[1])
        self._model(line)
        self.result.finished = True

    def _events(self, line: Line) -> None:
        """Check that the steps charged are such as were planned, and not fewer."""
        planned = PrivacyEvent.from_json(self._start["event"])
        events = [PrivacyEvent.from_json(event) for event in line.body["events"]]
        if any(event.with_steps(planned.steps) != planned for event in events):
            raise fault(line, "expected events as planned, but for their number of steps")
        if sum(event.steps for event in events) < line.body["steps"]:
            raise fault(line, f"expected at least {line.body['steps']} steps charged")
        self.result.count("events", len(events))

    def _statement(self, line: Line, events: list[Any]) -> None:
        """Make the statement again from events and settings, and compare the whole of it."""
        stated = line.body["statement"]
        made = [PrivacyEvent.from_json(event) for event in events]
        again = training_statement(made, self.settings)
        recorded = float(stated["epsilon"])
        if recorded != again.epsilon:
            self.result.exact = False
            if not math.isclose(recorded, again.epsilon, rel_tol=1e-6):
                raise fault(
                    line, f"recomputed epsilon as {again.epsilon!r}, the record says {recorded!r}"
                )
        self.result.count("epsilon")
        whole = plain(statement_body(replace(again, epsilon=recorded)))
        same(line, "statement", stated, whole, self.result)

    def _cost(self, line: Line, last: Mapping[str, Any]) -> None:
        """Recompute the cost of privacy from the last measurement."""
        names = tuple(self._start["data"]["groups"] or ())
        again = None
        if last["twin"] is not None and names:
            pair = self.settings.fairness.pair
            again = compare_groups(
                metrics_of(dict(last["twin"]), names),
                metrics_of(dict(last["test"]), names),
                pair=(pair[0], pair[1]) if pair else None,
            ).to_json()
        same(line, "cost of privacy", line.body["cost"], plain(again), self.result)

    def _model(self, line: Line) -> None:
        """Compare the model's file and its entries with their digests."""
        path = self.place.models / MODEL
        found = sha256_file(path) if path.is_file() else "no such file"
        recorded = line.body["models"].get(MODEL)
        if line.body["models"].keys() != {MODEL} or found != recorded:
            raise VerificationError(
                f"{path}: expected the model with SHA-256 {str(recorded)[:12]}..., got "
                f"{found[:12]}."
            )
        try:
            tensors = load_file(path)
            names = self._start["model"]["names"]
            digest = sha256_array(*(tensors[name].reshape(-1) for name in names))
        except (KeyError, RuntimeError, SafetensorError) as error:
            raise VerificationError(f"{path}: expected this training's model, got {error}.") from (
                error
            )
        if digest != line.body["model_sha256"]:
            raise fault(line, f"expected {MODEL} to hold the model that the record tells of")
        self.result.count("models")
