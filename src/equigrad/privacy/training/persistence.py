"""Saving a private run and going on with it: same model, same noise, no step charged twice.

Neighbours: :mod:`.checkpoint` writes states, :mod:`.journal` tells repeated releases from new ones,
:mod:`.trainer` is what is saved.
"""

import hmac
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import Optimizer

from equigrad.errors import ConfigError, ModelError, RecordError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.clipping import ClippingRule
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training.checkpoint import (
    SavedState,
    load_state,
    private_folder,
    save_state,
    write_atomic,
)
from equigrad.privacy.training.journal import Journal
from equigrad.privacy.training.rows import Rows, data_digest
from equigrad.privacy.training.settings import Settings, made_rule

if TYPE_CHECKING:
    from equigrad.privacy.training.trainer import PrivateTrainer

__all__ = [
    "chosen_key",
    "data_fingerprint",
    "forget_key",
    "kept_key",
    "read_key",
    "restore",
    "save",
    "saved_options",
]

_KEY, _JOURNAL, _DATA = "key", "journal", "data"


def save(trainer: "PrivateTrainer", folder: Path) -> None:
    """Write the run's present state to ``folder``; see :meth:`PrivateTrainer.save`."""
    at_home = trainer.journal is not None and trainer.journal.path.parent == folder / "private"
    if not at_home:
        _require_free(folder, trainer.key.fingerprint)
    private = private_folder(folder)
    if trainer.meter.key is None and read_key(folder) is None and not trainer.finished:
        write_atomic(private / _KEY, trainer.key.to_bytes(), mode=0o600)
    if not (private / _DATA).exists():
        fingerprint = data_fingerprint(trainer.rows, trainer.key)
        write_atomic(private / _DATA, fingerprint, mode=0o600)
    save_state(folder, step=trainer.steps_done, facts=_facts(trainer), states=_states(trainer))
    if trainer.journal is None or not at_home:
        trainer.journal = Journal(private / _JOURNAL)
    trainer.journal.clear()
    trainer.meter.settle(trainer.steps_done)


def kept_key(folder: Path, account: PrivacyAccount | None, run: str | None) -> NoiseKey | None:
    """Return the run's key from where it is kept; ``None`` if it is gone."""
    if account is None or run is None:
        return read_key(folder)
    found = account.resume_run(run).key if run in account.unfinished() else None
    return None if found is None else NoiseKey.from_bytes(found)


def chosen_key(
    saved: SavedState, kept: NoiseKey | None, key: NoiseKey | None, test_seed: int | None
) -> tuple[NoiseKey, bool]:
    """Return the key to go on with, and whether the run's own key is lost.

    Raises
    ------
    ConfigError
        If a run without privacy would go on with a secret key, or the other way round.
    """
    found = key or kept
    if test_seed is not None and found is None:
        found = NoiseKey.test(test_seed)
    private = bool(saved.facts["private"])
    if found is None and private:
        return NoiseKey.secret(), True
    if found is None and saved.facts["stopped"] | (saved.step >= saved.facts["settings"]["steps"]):
        return NoiseKey.test(0), True  # a finished run draws nothing more
    if found is None or found.private != private:
        raise ConfigError(
            f"Expected the key of a {'private' if private else 'seeded'} run, got "
            f"{'none' if found is None else 'another kind'}. Give the key it was begun with."
        )
    return found, found.fingerprint != saved.facts["key"]


def _require_free(folder: Path, fingerprint: str) -> None:
    """Refuse a folder that holds another run: its key would be mixed up with this one's."""
    if not (folder / "LATEST").exists():
        return
    if load_state(folder).facts.get("key") != fingerprint:
        raise RecordError(
            f"Expected an empty folder or this run's own, got {folder} with another run in it. "
            "Resume that run, or save to another folder."
        )


def saved_options(saved: SavedState, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trainer's options: those of the saved run, and what it could not save.

    Raises
    ------
    ConfigError
        If a given option contradicts the saved run.
    """
    facts = saved.facts
    settings = dict(facts["settings"])
    fixed = {
        name: settings[name]
        for name in (
            "sampling_rate",
            "public_batch_size",
            "steps",
            "delta",
            "noise_multiplier",
            "accountant",
            "max_physical",
            "max_logical_batch",
        )
    } | {name: facts[name] for name in ("n_groups", "secure_noise", "average_decay")}
    fixed |= {name: facts[name] for name in ("scheduler_every", "account_label")}
    known = {**fixed, "target_epsilon": settings["target_epsilon"]}
    for name, value in given.items():
        if name in known and value is not None and value != known[name]:
            raise ConfigError(
                f"Expected {name}={known[name]!r}, as the run was begun with, got {value!r}. "
                "Leave it out, or start a new run."
            )
    chosen = _same_rule(facts["rule"], given.get("rule"), given.get("rule_options"))
    others = {k: v for k, v in given.items() if k not in {*known, "rule", "rule_options"}}
    return {**fixed, **chosen, **others}


def _same_rule(
    saved: Mapping[str, Any], asked: ClippingRule | str | None, options: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the options that give the saved run its clipping rule."""
    if asked is not None and (options or isinstance(asked, ClippingRule)):
        rule = made_rule(asked, options)
        told = {name: value for name, value in rule.describe().items() if value is not None}
    else:
        told = {} if asked is None else {"rule": asked}
    if any(saved.get(name) != value for name, value in told.items()):
        raise ConfigError(
            f"Expected the clipping rule {dict(saved)}, as the run was begun with, got {told}. "
            "Leave it out, or start a new run."
        )
    if isinstance(asked, ClippingRule):
        return {"rule": asked}
    kept = dict(saved)
    return {"rule": kept.pop("rule"), "rule_options": kept}


def read_key(folder: Path) -> NoiseKey | None:
    """Return the key that ``folder`` keeps, ``None`` if there is none."""
    path = folder / "private" / _KEY
    return NoiseKey.from_bytes(path.read_bytes()) if path.exists() else None


def forget_key(private: Path) -> None:
    """Overwrite and remove the key in the private folder ``private``."""
    path = private / _KEY
    if path.exists():
        write_atomic(path, bytes(33), mode=0o600)
        path.unlink()


def restore(trainer: "PrivateTrainer", saved: SavedState, folder: Path, *, key_lost: bool) -> None:
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
    trainer.journal = Journal(private_folder(folder) / _JOURNAL)
    same = not key_lost and _same_data(trainer, folder)
    trainer.meter.restore(facts["meter"], trainer.journal, replay=same)
    if same:
        return
    fingerprint = data_fingerprint(trainer.rows, trainer.key)
    write_atomic(private_folder(folder) / _DATA, fingerprint, mode=0o600)
    if key_lost:
        trainer.meter.renew_key(trainer.key)
    if not trainer.finished:
        warnings.warn(
            f"Expected the {'key' if key_lost else 'rows'} of the saved run, got "
            f"{'another' if key_lost else 'other rows'}. Steps made after the save stay charged; "
            "the run goes on with new noise.",
            UserWarning,
            stacklevel=3,
        )


def _keep_types(optimizer: Optimizer, saved: Mapping[int, Mapping[str, Any]]) -> None:
    """Give tensors back the types they had: PyTorch casts them to those of the parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, values in saved.items():
        state = optimizer.state[parameters[number]]
        for name, value in values.items():
            if isinstance(value, Tensor) and state[name].dtype != value.dtype:
                state[name] = value.to(state[name].device)


def _load_optional(trainer: "PrivateTrainer", states: Mapping[str, Any]) -> None:
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


def _facts(trainer: "PrivateTrainer") -> dict[str, Any]:
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


def _states(trainer: "PrivateTrainer") -> dict[str, Any]:
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


def data_fingerprint(rows: Rows, key: NoiseKey) -> bytes:
    """Return a keyed digest of the rows: a plain one would let others test their guesses."""
    words = key.words(0, "sample", 4, 1).tobytes()
    return hmac.new(words, data_digest(rows).encode(), "sha256").digest()


def _same_data(trainer: "PrivateTrainer", folder: Path) -> bool:
    path = folder / "private" / _DATA
    return path.exists() and hmac.compare_digest(
        path.read_bytes(), data_fingerprint(trainer.rows, trainer.key)
    )
