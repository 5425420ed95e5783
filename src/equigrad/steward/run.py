"""Playing a private training: steps, measurements, record, checkpoint, model, report.

A folder is made only after everything could be made ready; whatever is refused leaves nothing
behind. Neighbours: :mod:`equigrad.steward.setup` (what is trained) and
:mod:`equigrad.steward.verify` (what can be checked afterwards).
"""

from itertools import takewhile
from pathlib import Path
from typing import Any

from safetensors.torch import save

from equigrad.errors import RecordError
from equigrad.fairness import compare_groups
from equigrad.federation.record.canonical import sha256_file, sha256_json
from equigrad.federation.record.chain import RecordWriter, iter_record
from equigrad.federation.record.disk import write_atomic
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.record.seal import ZERO_HASH, Line
from equigrad.models import flatten, vector_sha256
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.training import PairedTrainer, PrivateTrainer
from equigrad.steward.budget import opened_account
from equigrad.steward.config import TrainSettings, dump_toml, restore_settings
from equigrad.steward.folder import drop_checkpoint, is_training, refuse_taken, trainer_path, undo
from equigrad.steward.locking import locked
from equigrad.steward.measure import every_so_many, measure, metrics_of
from equigrad.steward.progress import Silent, TrainListener
from equigrad.steward.promise import statement_body
from equigrad.steward.report import write_report
from equigrad.steward.setup import Setup, on_cpu, prepare
from equigrad.steward.twin import begin_twin, resume_twin, save_twin

__all__ = ["MODEL", "resume", "start"]

MODEL = "model.safetensors"
"""The private model's file in the folder of models."""


def start(
    settings: TrainSettings,
    folder: Path | str,
    *,
    listener: TrainListener | None = None,
    report: bool = True,
) -> Path:
    """Train privately into a new folder and return it.

    Parameters
    ----------
    settings
        What to do.
    folder
        New or empty.
    listener
        Who is told.
    report
        Whether metrics, plots and page are made at the end (they follow from the record, and
        ``equigrad report`` makes them at any time).

    Raises
    ------
    ConfigError, DataError, ModelError, BudgetExceededError
        For what cannot be trained; then there is no folder, and no account was charged.
    RecordError
        If the folder is in use or cannot be written.
    """
    place = RunFolder(folder)
    new = refuse_taken(place)
    setup = prepare(settings)
    with opened_account(settings, setup.material.name) as account:
        place = RunFolder.create(place.path, dump_toml(settings), settings.model_dump())
        with locked(place):
            try:
                play = _begun(setup, place, account, listener or Silent())
            except BaseException:
                undo(place, new)
                raise
            return play.to_the_end(report=report)


def resume(
    folder: Path | str, *, listener: TrainListener | None = None, report: bool = True
) -> Path:
    """Go on with a training that was stopped, and return its folder.

    The result is the same, bit for bit, as if it had not been stopped, and no step is charged
    twice. A finished training has its report written again.

    Raises
    ------
    RecordError
        If there is no training in the folder, another process goes on with it, it is damaged, or
        the data have changed.
    """
    place = RunFolder.open(folder)
    if not is_training(place.path):
        raise RecordError(
            f"Expected a private training in {place.path}, got another run. "
            "Go on with it by `equigrad resume`."
        )
    with locked(place):  # before anything is read: another process may be writing it
        return _resumed(place, listener or Silent(), report=report)


def _resumed(place: RunFolder, listener: TrainListener, *, report: bool) -> Path:
    """Go on with the training in a locked folder."""
    lines = list(iter_record(place.record, allow_cut=True)) if place.record.exists() else []
    settings = restore_settings(place.read_config())
    saved = trainer_path(place)
    if lines and lines[-1].stage == "finish" and not (saved / "LATEST").exists():
        return _tidied(place, listener, report=report)
    setup = prepare(settings)
    with opened_account(settings, setup.material.name) as account:
        if not (saved / "LATEST").exists():  # died before its first step
            return _begun(setup, place, account, listener).to_the_end(report=report)
        trainer = setup.go_on(saved, account=account)
        if lines and lines[-1].stage == "finish":  # died while it tidied up
            trainer.close()
            return _tidied(place, listener, report=report)
        kept = _kept(lines, trainer.steps_done)
        writer = RecordWriter.resume(place.record, len(kept), kept[-1].hash)
        play = _Play(setup, place, trainer, writer, listener)
        try:
            play.go_on(kept)
        except BaseException:
            writer.close()
            raise
        return play.to_the_end(report=report)


def _begun(
    setup: Setup, place: RunFolder, account: PrivacyAccount | None, listener: TrainListener
) -> "_Play":
    """Return a training before its first step, its checkpoint written."""
    trainer = setup.begin(account=account)
    if place.record.exists():  # a training that died before its first step
        writer = RecordWriter.resume(place.record, 0, ZERO_HASH)
    else:
        writer = RecordWriter(place.record)
    play = _Play(setup, place, trainer, writer, listener)
    try:
        play.begin()
    except BaseException:
        writer.close()
        trainer.close()  # what it reserved in an account goes back
        raise
    return play


class _Play:
    """One training while it is played."""

    def __init__(
        self,
        setup: Setup,
        place: RunFolder,
        trainer: PrivateTrainer,
        writer: RecordWriter,
        listener: TrainListener,
    ) -> None:
        self.setup, self.place, self.trainer = setup, place, trainer
        self.writer, self.listener = writer, listener
        self.twin: PairedTrainer | None = None
        self.total = trainer.settings.steps
        self.every = every_so_many(self.total)
        self.warned: list[str] = []
        self.last: dict[str, Any] = {}

    def begin(self) -> None:
        """Write the first lines and a checkpoint, before the first step."""
        if self.setup.settings.fairness.paired:
            self.twin = begin_twin(self.trainer, self.setup.twin_lr)
        start = self._start_body()
        self.warned = start["warnings"]
        self.writer.append("start", None, start)
        self._measure()
        self._save()
        self._tell(start)

    def go_on(self, kept: list[Line]) -> None:
        """Take up a training from its checkpoint and the lines that belong to it."""
        if self.setup.settings.fairness.paired:
            self.twin = resume_twin(self.trainer, trainer_path(self.place))
        self.warned = list(kept[0].body["warnings"])
        start = {**self._start_body(), "warnings": self.warned}
        if sha256_json(start) != sha256_json(kept[0].body):
            changed = sorted(k for k in start if sha256_json(start[k]) != _digest(kept[0].body, k))
            raise RecordError(
                "Expected the data and the program with which the training in "
                f"{self.place.path} began, got others ({', '.join(changed)} differ). Restore "
                "them, or start a new training."
            )
        self.last = kept[-1].body
        self._tell(start)

    def to_the_end(self, *, report: bool) -> Path:
        """Make all steps that are left, then write model, last line and report."""
        try:
            with self.writer:
                while self.trainer.steps_done < self.total:
                    self._stretch(min(self.every, self.total - self.trainer.steps_done))
                    self._measure()
                    self._save()
                self._finish()
        except BaseException:
            self._pause()
            raise
        self.trainer.close()  # only now: without its key a training could not be resumed
        return _tidied(self.place, self.listener, report=report)

    def _pause(self) -> None:
        """Let go of files and threads, and keep the key: the training can be resumed."""
        self.trainer.releases.close()
        if self.trainer.journal is not None:
            self.trainer.journal.close()

    def _stretch(self, steps: int) -> None:
        """Make so many steps, and the twin's."""
        for _ in range(steps):
            report = self.trainer.step()
            self.listener.stepped(report.step, self.total)
        if self.twin is not None:
            self.twin.train(self.trainer.steps_done - self.twin.steps_done)
        if self.setup.diagnostics is not None:
            for step, body in self.setup.diagnostics.taken():
                self.writer.append("diagnose", step, body)

    def _start_body(self) -> dict[str, Any]:
        config = {"config_sha256": self.place.config_sha256()}
        return {**config, **self.setup.start_body(self.trainer)}

    def _tell(self, start: dict[str, Any]) -> None:
        self.listener.started(start, self.trainer.steps_done)
        for sentence in self.setup.warnings:
            self.listener.message("warning", sentence)
        if self.last:
            self.listener.measured(self.trainer.steps_done, self.total, self.last)

    def _measure(self) -> None:
        """Write how the test records are served now."""
        material, twin = self.setup.material, self.twin
        self.last = {
            "test": measure(self.trainer.model, material).to_json(),
            "twin": None if twin is None else measure(twin.model, material).to_json(),
            "state": self.trainer.rule.state(),
        }
        done = self.trainer.steps_done
        line = self.writer.append("measure", done, self.last)
        if done:
            self.listener.measured(done, self.total, line["body"])

    def _save(self) -> None:
        """Make the present state the one that a resumed training goes on from."""
        self.writer.sync()
        folder, twin = trainer_path(self.place), self.twin
        if twin is not None and not self.trainer.steps_done:
            save_twin(twin, folder)
        self.trainer.save(folder)
        if twin is not None and self.trainer.steps_done:
            save_twin(twin, folder)  # after the trainer: one that is behind can catch up

    def _finish(self) -> None:
        """Write the model and the record's last line."""
        path = self.place.models / MODEL
        write_atomic(path, save(on_cpu(self.trainer.model)))
        events = self.trainer.events
        body = {
            "steps": self.trainer.steps_done,
            "events": [event.to_json() for event in events],
            "statement": statement_body(self.setup.statement(events)),
            "warnings": [text for text in self.setup.warnings if text not in self.warned],
            "cost": self._cost(),
            "models": {MODEL: sha256_file(path)},
            "model_sha256": vector_sha256(flatten(self.trainer.model)),
        }
        self.writer.append("finish", None, body)
        self.writer.sync()

    def _cost(self) -> dict[str, Any] | None:
        groups = self.setup.material.groups
        if self.twin is None or groups is None:
            return None
        pair = tuple(self.setup.settings.fairness.pair)
        return compare_groups(
            metrics_of(self.last["twin"], groups.names),
            metrics_of(self.last["test"], groups.names),
            pair=(pair[0], pair[1]) if pair else None,
        ).to_json()


def _kept(lines: list[Line], steps: int) -> list[Line]:
    """Return the lines up to the measurement at which the checkpoint was saved."""
    before = list(takewhile(lambda x: not (x.stage == "measure" and x.round == steps), lines))
    if len(before) == len(lines):
        raise RecordError(
            f"Expected the record's measurement after step {steps}, at which the checkpoint was "
            "saved, got none. Restore the folder from a copy."
        )
    return lines[: len(before) + 1]


def _tidied(place: RunFolder, listener: TrainListener, *, report: bool) -> Path:
    """Remove the checkpoint, and with it the key and the twin; write the report."""
    drop_checkpoint(trainer_path(place))
    if report:
        write_report(place)
    listener.finished(place.path)
    return place.path


def _digest(body: Any, key: str) -> str:
    return sha256_json(body.get(key))
