"""Playing a scoring stage by stage; each stage is done once its line is in the owner's record.

A stage makes its outcome durable, then writes its line, then removes what it went on from. So a
scoring that is killed anywhere goes on with the stage that has no line yet, from that stage's own
checkpoint, with the same keys: to the same bits, and nothing is charged twice.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file, save

from equigrad.errors import RecordError
from equigrad.federation.record.canonical import sha256_file
from equigrad.federation.record.chain import RecordWriter
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.training import PrivateTrainer
from equigrad.steward.measure import measure
from equigrad.steward.scoring.comparing import correct_on
from equigrad.steward.scoring.examples import write_examples
from equigrad.steward.scoring.job import Job
from equigrad.steward.scoring.keeping import chosen_by, selection_body
from equigrad.steward.scoring.places import ScorePlaces, write_private
from equigrad.steward.scoring.progress import ScoreListener
from equigrad.steward.scoring.removing import removal_body
from equigrad.steward.scoring.scorer_model import (
    SCORER,
    end_training,
    kept_states,
    train_scorer,
)
from equigrad.steward.scoring.sweeping import agreement_of, detections, scored_by_all
from equigrad.steward.scoring.table import (
    KEPT,
    read_table,
    restored,
    scores_digest,
    write_table,
)
from equigrad.steward.scoring.training import Training, fresh_model, train_privately
from equigrad.steward.setup import on_cpu
from equigrad.valuation import ScoreSet

__all__ = ["Play", "arm_file"]

Lines = dict[tuple[str, str], Mapping[str, Any]]
_MARKS = 20


def arm_file(arm: str, repeat: int) -> str:
    """Return the name of the file of one trained arm."""
    return f"{arm}-{repeat}.safetensors"


class Play:
    """The stages of one scoring.

    Parameters
    ----------
    job, places, account, listener
        What is done, where, at whose expense, and who watches.
    writer
        Of the owner's record.
    done
        Its lines so far, by stage and part.
    """

    def __init__(
        self,
        job: Job,
        places: ScorePlaces,
        account: PrivacyAccount | None,
        listener: ScoreListener,
        writer: RecordWriter,
        done: Lines,
    ) -> None:
        self.job, self.places, self.account = job, places, account
        self.listener, self.writer, self.done = listener, writer, done

    def stages(self) -> None:
        """Do all stages that are not done."""
        self._model()
        scores = self._scores()
        chosen = scores[self.job.choosing]
        kept = self._selection(list(scores.values()), chosen)
        if self.job.settings.selection.train:
            for repeat in range(self.job.settings.selection.repeats):
                for arm in ("selected", "baseline"):
                    self._arm(arm, repeat, kept)
        truth = self.job.settings.truth
        if self.job.scored.wrong is not None and truth.removal and not self._line("removal"):
            self._write("removal", "", removal_body(self.job, chosen, self.listener))

    def correct(self, arm: str) -> npt.NDArray[np.bool_]:
        """Return ``(repeats, m) bool``: on which test records each training of an arm is right."""
        test, rows = self.job.material.test, []
        for repeat in range(self.job.settings.selection.repeats):
            model = fresh_model(self.job.settings, self.job.material, "read from a file")
            model.load_state_dict(load_file(self.places.models / arm_file(arm, repeat)))
            rows.append(correct_on(model, test.features, test.labels))
        return np.stack(rows)

    def _model(self) -> None:
        """Train the scorer's model, and end its training."""
        account = self._paid("scorer")
        trainer = None
        if not self._line("model"):
            body, trainer = train_scorer(self.job, self.places, account, self.listener)
            self._finished_training("model", "", body, trainer)
        if self.job.plan.scorer is not None:
            folder = self.places.training(SCORER)
            end_training(self.job.scorer_training(), folder, account, trainer)

    def _scores(self) -> dict[str, ScoreSet]:
        """Score all records, or read what was scored."""
        body = self._line("scores")
        if body:
            frame = read_table(self.places)
            labels = [scorer.label for scorer in self.job.scorers]  # a record sorts its keys
            return {label: self._read(label, body["scorers"][label], frame) for label in labels}
        trajectory = self.job.trajectory(kept_states(self.job, self.places))
        folder = self.places.training("sweep")
        scores = scored_by_all(self.job, trajectory, folder, self.listener)
        sets = list(scores.values())
        write_table(self.places, self.job.scored, sets)
        write_examples(self.places, self.job.scored, sets)
        wrong = self.job.scored.wrong
        sound = wrong is not None and wrong.any() and not wrong.all()
        self._write(
            "scores",
            "",
            {
                "scorers": {
                    one.scorer: {**one.to_json(), "sha256": scores_digest(one.values)}
                    for one in sets
                },
                "detection": detections(sets, wrong) if sound else None,
                "agreement": agreement_of(sets),
            },
        )
        for one in sets:
            self.listener.outcome(f"{one.scorer}: {one.reliability or 'not assessed'}")
        return scores

    def _read(self, label: str, body: Mapping[str, Any], frame: Any) -> ScoreSet:
        values = frame[label].to_numpy(dtype=np.float64)
        if scores_digest(values) != body["sha256"]:
            raise RecordError(
                f"Expected the scores of {label} as they were written in {self.places.scores}, got "
                "others. Restore the file from a copy, or score anew."
            )
        public = self.job.settings.scoring.public_validation
        return restored(body, values, public_validation=public)

    def _selection(self, scores: list[ScoreSet], chosen: ScoreSet) -> npt.NDArray[np.bool_] | None:
        """Choose records, or read which were chosen."""
        if self.job.selector is None:
            return None
        body = self._line("selection")
        if body:
            kept: npt.NDArray[np.bool_] = read_table(self.places)[KEPT].to_numpy(dtype=bool)
            if scores_digest(kept) != body["sha256"]:
                raise RecordError(
                    f"Expected the selection as it was written in {self.places.scores}, got "
                    "another. Restore the file from a copy, or score anew."
                )
            return kept
        self.listener.stage("selection", f"selection by {self.job.selector.name}", "records")
        key = self.places.work / "selection.key"
        selection = chosen_by(self.job, chosen, key, self._paid("selecting"))
        if selection is None:
            return None
        write_table(self.places, self.job.scored, scores, selection.kept)
        body = selection_body(self.job, selection)
        self._write("selection", "", body)
        key.unlink(missing_ok=True)
        for sentence in body["warnings"]:
            self.listener.message("warning", f"{sentence} (for the owner only)")
        return selection.kept

    def _arm(self, arm: str, repeat: int, kept: npt.NDArray[np.bool_] | None) -> None:
        """Train one arm once, and end the training."""
        training = self.job.arm(arm, repeat, kept)
        folder = self.places.training(f"{arm}-{repeat}")
        account = self._paid(arm) if repeat == 0 else None
        trainer = None
        if not self._line("trained", f"{arm} {repeat}"):
            trainer = self._trained(training, arm, repeat, account)
        end_training(training, folder, account, trainer)

    def _trained(
        self, training: Training, arm: str, repeat: int, account: PrivacyAccount | None
    ) -> PrivateTrainer:
        repeats = self.job.settings.selection.repeats
        which = f", {repeat + 1} of {repeats}" if repeats > 1 else ""
        words = "model of the selection" if arm == "selected" else "baseline, on all records"
        self.listener.stage("trained", f"{words}{which}", "steps")
        total = training.event.steps
        marks = sorted({*range(0, total, max(1, total // _MARKS)), total})
        trainer = train_privately(
            training,
            self.places.training(f"{arm}-{repeat}"),
            account,
            marks=marks[1:],
            marked=lambda step, model: None,
            stepped=self.listener.moved,
        )
        path = self.places.models / arm_file(arm, repeat)
        write_private(path, save(on_cpu(trainer.model)))
        metrics = measure(trainer.model, self.job.material)
        body = {
            "arm": arm,
            "repeat": repeat,
            "events": [event.to_json() for event in trainer.events],
            "file": path.name,
            "sha256": sha256_file(path),
            "test": metrics.to_json(),
        }
        self._finished_training("trained", f"{arm} {repeat}", body, trainer)
        return trainer

    def _finished_training(
        self, stage: str, part: str, body: dict[str, Any], trainer: PrivateTrainer | None
    ) -> None:
        """Write a training's line; if that fails the trainer lets go and keeps its key."""
        try:
            self._write(stage, part, body)
        except BaseException:
            if trainer is not None:
                trainer.pause()
            raise

    def _paid(self, part: str) -> PrivacyAccount | None:
        """Return the account, if a part is in the ledger."""
        return self.account if self.job.plan.charges(part) else None

    def _line(self, stage: str, part: str = "") -> Mapping[str, Any]:
        return self.done.get((stage, part), {})

    def _write(self, stage: str, part: str, body: dict[str, Any]) -> None:
        line = self.writer.append(stage, None, body)
        self.writer.sync()
        self.done[stage, part] = line["body"]
