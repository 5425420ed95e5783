"""The first stage: the scorer's model and its checkpoints, trained or given."""

from pathlib import Path
from typing import Any

from equigrad.federation.record.canonical import sha256_file
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.training import PrivateTrainer
from equigrad.steward.folder import drop_checkpoint
from equigrad.steward.scoring.job import Job
from equigrad.steward.scoring.places import ScorePlaces
from equigrad.steward.scoring.progress import ScoreListener
from equigrad.steward.scoring.states import FileStates, given_states, keep_state, state_path
from equigrad.steward.scoring.training import (
    Training,
    train_plainly,
    train_privately,
)

__all__ = ["end_training", "kept_states", "train_scorer"]

SCORER = "scorer"


def kept_states(job: Job, places: ScorePlaces) -> FileStates:
    """Return the checkpoints that are scored."""
    given = job.settings.scoring.checkpoint_folder
    if given is not None:
        return given_states(Path(given))
    steps = job.numbers.checkpoints
    return FileStates([state_path(places.checkpoints, step) for step in steps])


def train_scorer(
    job: Job, places: ScorePlaces, account: PrivacyAccount | None, listener: ScoreListener
) -> tuple[dict[str, Any], PrivateTrainer | None]:
    """Make the checkpoints and return the stage's line, and the trainer that is to be ended.

    Parameters
    ----------
    job, places, listener
        What is done, where, and who watches.
    account
        Where it is charged, or None.
    """
    origin, trainer = job.settings.scoring.model_origin, None
    if job.plan.scorer is not None:
        listener.stage("model", "scorer's model, trained with noise", "steps")
        trainer = train_privately(
            job.scorer_training(),
            places.training(SCORER),
            account,
            marks=job.numbers.checkpoints,
            marked=lambda step, model: keep_state(places.checkpoints, step, model),
            stepped=listener.moved,
        )
    elif job.settings.scoring.checkpoint_folder is None:
        data = job.data()
        if job.public is not None:
            data = (job.public.features, job.public.labels)
        words = "on public records" if job.public is not None else "WITHOUT privacy"
        listener.stage("model", f"scorer's model, trained {words}", "steps")
        train_plainly(
            job.settings,
            job.material,
            data,
            job.numbers,
            stepped=listener.moved,
            marked=lambda step, model: keep_state(places.checkpoints, step, model),
        )
    states = kept_states(job, places)
    trajectory = job.trajectory(states)
    body = {
        "origin": origin,
        "events": [] if trainer is None else [event.to_json() for event in trainer.events],
        "checkpoints": [
            {
                "file": path.name,
                "sha256": sha256_file(path),
                "identity": trajectory.identity(index),
            }
            for index, path in enumerate(states.paths)
        ],
    }
    return body, trainer


def end_training(
    training: Training, folder: Path, account: PrivacyAccount | None, trainer: Any = None
) -> None:
    """End a training whose outcome is safe: destroy its key, give back what it did not use.

    Parameters
    ----------
    training, folder, account
        The training, its checkpoint's folder, and where it was charged.
    trainer
        The trainer, if it lives; else it is taken from the folder, if it is still there.
    """
    if trainer is None and (folder / "LATEST").exists():
        trainer = training.go_on(folder, account)
    if trainer is not None:
        trainer.close()
    drop_checkpoint(folder)
