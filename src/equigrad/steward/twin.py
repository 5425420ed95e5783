"""The non-private twin of a training: kept beside the private checkpoint, never published.

Its steps are :mod:`equigrad.privacy.training`'s; here it is saved and restored, so that a resumed
training ends as an unbroken one. Its state lies in the checkpoint's private part and goes with it.
"""

import copy
from pathlib import Path

from equigrad.privacy.training import PairedTrainer, PrivateTrainer, paired_non_private
from equigrad.privacy.training.checkpoint import load_state, private_folder, save_state

__all__ = ["begin_twin", "resume_twin", "save_twin"]


def begin_twin(trainer: PrivateTrainer, lr: float) -> PairedTrainer:
    """Return the twin of a training before its first step."""
    return paired_non_private(trainer, lr)


def save_twin(twin: PairedTrainer, folder: Path) -> None:
    """Write the twin's state into the private part of the checkpoint in ``folder``."""
    states = {"model": dict(twin.model.state_dict()), "optimizer": twin.optimizer.state_dict()}
    save_state(private_folder(folder) / "twin", step=twin.steps_done, facts={}, states=states)


def resume_twin(trainer: PrivateTrainer, folder: Path) -> PairedTrainer:
    """Return the twin that was saved beside ``trainer``'s checkpoint, as far as the trainer is.

    A process that died between the two saves left the twin behind: it catches up.

    Raises
    ------
    RecordError
        If it was not, or was changed.
    """
    saved = load_state(private_folder(folder) / "twin")
    model, optimizer = copy.deepcopy((trainer.model, trainer.optimizer))
    model.load_state_dict(saved.states["model"])
    optimizer.load_state_dict(saved.states["optimizer"])
    twin = PairedTrainer(
        model,
        optimizer,
        None,
        trainer.record_loss,
        trainer.rows,
        trainer.settings,
        trainer.key,
        scheduler_every=1,
        device=trainer.device,
    )
    twin.steps_done = saved.step
    if trainer.steps_done > saved.step:
        twin.train(trainer.steps_done - saved.step)
    return twin
