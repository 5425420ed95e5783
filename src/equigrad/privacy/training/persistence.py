"""Saving a private run and going on with it: same model, same noise, no step charged twice.

Neighbours: :mod:`.checkpoint` writes states, :mod:`.keeping` the private part beside them,
:mod:`.journal` tells repeated releases from new ones, :mod:`.resuming` says what a resumed run is
begun with, :mod:`.trainer` is what is saved.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import Optimizer

from equigrad.errors import ConfigError, ModelError, RecordError
from equigrad.privacy.training.checkpoint import (
    SavedState,
    private_folder,
    save_state,
    writing,
)
from equigrad.privacy.training.journal import Journal
from equigrad.privacy.training.keeping import (
    is_copy,
    keep_key,
    keep_place,
    keep_rows,
    same_rows,
)
from equigrad.privacy.training.settings import Settings

if TYPE_CHECKING:
    from equigrad.privacy.training.run import PrivateRun

__all__ = ["open_journal", "restore", "save"]


def open_journal(folder: Path) -> Journal:
    """Return the journal of ``folder``; from here on nobody else can use the folder.

    Raises
    ------
    RecordError
        If somebody uses it, or it cannot be written.
    """
    with writing(folder):
        return Journal(private_folder(folder) / "journal")


def save(trainer: "PrivateRun", folder: Path) -> None:
    """Write the run's present state to ``folder``; see :meth:`.LastingRun.save`."""
    if trainer.journal is None:
        _move_in(trainer, folder)
    elif trainer.journal.path.resolve().parent.parent != folder.resolve():
        raise RecordError(
            f"Expected the run's own folder, {trainer.journal.path.parent.parent}, got {folder}. "
            "A run has one folder: two could go on with one noise for two sums."
        )
    save_state(folder, step=trainer.steps_done, facts=_facts(trainer), states=_states(trainer))
    if trainer.journal is not None:
        trainer.journal.clear()
    trainer.meter.settle(trainer.steps_done)


def _move_in(trainer: "PrivateRun", folder: Path) -> None:
    """Make ``folder`` the run's own."""
    journal = open_journal(folder)
    try:
        _require_free(folder)
        trainer.meter.begin_run()
        if trainer.meter.key is None and not trainer.finished:
            keep_key(folder, trainer.key)
        keep_rows(folder, trainer.rows, trainer.key)
        keep_place(folder)
    except BaseException:
        journal.close()
        raise
    trainer.journal = journal


def _require_free(folder: Path) -> None:
    """Refuse a folder that holds another run: its key would be mixed up with this one's."""
    if (folder / "LATEST").exists():
        raise RecordError(
            f"Expected a folder without a run, got {folder} with another run in it. "
            "Resume that run, or save to another folder."
        )


def restore(
    trainer: "PrivateRun", saved: SavedState, folder: Path, journal: Journal, *, own_key: bool
) -> None:
    """Put the saved state into a new trainer.

    Steps that were charged after the save are repeated for free, if key and rows are those of the
    first time; else they stay charged, and the run goes on under new nonces.
    """
    states, facts = saved.states, saved.facts
    try:
        trainer.model.load_state_dict(states["model"])
        trainer.optimizer.load_state_dict(states["optimizer"])
        _keep_types(trainer.optimizer, states["optimizer"]["state"])
    except (RuntimeError, KeyError, ValueError) as error:
        raise ModelError(
            f"Expected the model and the optimizer of the saved run, got others ({error}). "
            "Build them as at the start."
        ) from error
    _load_optional(trainer, states)
    trainer.rule.load(states["rule"])
    trainer.settings = Settings.from_json(facts["settings"])
    trainer.steps_done, trainer.stopped = saved.step, bool(facts["stopped"])
    trainer.nonce = int(facts["nonce"])
    trainer.journal = journal
    same = own_key and same_rows(folder, trainer.rows, trainer.key)
    trainer.meter.restore(facts["meter"], journal, replay=same)
    if not same:
        _go_on_anew(trainer, folder, own_key=own_key)


def _go_on_anew(trainer: "PrivateRun", folder: Path, *, own_key: bool) -> None:
    """Settle what was charged: with another key or other rows nothing can be repeated."""
    copied = is_copy(folder)
    if not trainer.finished:
        got = "other rows" if own_key else ("a copy of its folder" if copied else "another")
        warnings.warn(
            f"Expected the {'rows' if own_key else 'key'} of the saved run, got {got}. Steps made "
            "after the save stay charged; the run goes on with new noise.",
            UserWarning,
            stacklevel=4,
        )
    if not own_key:
        trainer.meter.renew_key(trainer.key)
        if trainer.meter.key is None and not trainer.finished:
            keep_key(folder, trainer.key)
    keep_rows(folder, trainer.rows, trainer.key)
    if copied:
        keep_place(folder)
    save(trainer, folder)


def _keep_types(optimizer: Optimizer, saved: Mapping[int, Mapping[str, Any]]) -> None:
    """Give tensors back the types they had: PyTorch casts them to those of the parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, values in saved.items():
        state = optimizer.state[parameters[number]]
        for name, value in values.items():
            if isinstance(value, Tensor) and state[name].dtype != value.dtype:
                state[name] = value.to(state[name].device)


def _load_optional(trainer: "PrivateRun", states: Mapping[str, Any]) -> None:
    """Restore what not every run has; what it has must be there again."""
    for name in ("scheduler", "average", "stopping"):
        part, state = getattr(trainer, name), states.get(name)
        if (part is None) != (state is None):
            raise ConfigError(
                f"Expected {'a' if part is None else 'no'} {name} as in the saved run, got "
                f"{'none' if part is None else 'one'}. Give the same as at the start."
            )
        if part is not None:
            (part.load_state_dict if name == "scheduler" else part.load)(state)


def _facts(trainer: "PrivateRun") -> dict[str, Any]:
    """Return what JSON holds of the run; all of it is public or released."""
    return {
        "settings": trainer.settings.to_json(),
        "rule": trainer.rule.describe(),
        "n_groups": trainer.n_groups or None,
        "secure_noise": trainer.secure_noise,
        "average_decay": None if trainer.average is None else trainer.average.decay,
        "scheduler_every": trainer.scheduler_every,
        "account_label": trainer.account_label,
        "private": trainer.private,
        "key": trainer.key.fingerprint,
        "meter": trainer.meter.facts(),
        "nonce": trainer.nonce,
        "stopped": trainer.stopped,
    }


def _states(trainer: "PrivateRun") -> dict[str, Any]:
    """Return the nested states of the run."""
    states: dict[str, Any] = {
        "model": dict(trainer.model.state_dict()),
        "optimizer": trainer.optimizer.state_dict(),
        "rule": trainer.rule.state(),
    }
    if trainer.scheduler is not None:
        states["scheduler"] = trainer.scheduler.state_dict()
    for name in ("average", "stopping"):
        part = getattr(trainer, name)
        if part is not None:
            states[name] = part.state()
    return states
