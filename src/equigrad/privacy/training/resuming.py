"""What a resumed run is begun with: the saved settings, the key, and what could not be saved.

Neighbours: :mod:`.persistence` puts the saved states in, :mod:`.keeping` holds the key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equigrad.errors import ConfigError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.clipping import ClippingRule
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training.checkpoint import SavedState
from equigrad.privacy.training.keeping import is_copy, read_key
from equigrad.privacy.training.settings import Settings, made_rule

__all__ = ["Resumed", "begun_as"]

_FIXED = (
    "sampling_rate",
    "public_batch_size",
    "steps",
    "delta",
    "noise_multiplier",
    "accountant",
    "max_physical",
    "max_logical_batch",
)
_FACTS = ("n_groups", "secure_noise", "average_decay", "scheduler_every", "account_label")


@dataclass(frozen=True)
class Resumed:
    """How a run is taken up again.

    ``account_run`` names its run in the account, if it has one; ``own_key`` says that it goes on
    with the key it was begun with.
    """

    account_run: str | None
    own_key: bool


def begun_as(
    saved: SavedState, folder: Path, given: Mapping[str, Any]
) -> tuple[dict[str, Any], NoiseKey, Resumed]:
    """Return the options of the trainer, its key, and how it is taken up.

    Raises
    ------
    ConfigError
        If a given option contradicts the saved run.
    """
    options = _saved_options(saved, given)
    name = saved.facts["meter"].get("account_run")
    if (name is None) != (options.get("account") is None):
        raise ConfigError(
            f"Expected {'no account' if name is None else 'the account'} that the run was "
            f"begun with, got {'one' if name is None else 'none'}. Give the same."
        )
    checkpoint = options.setdefault("checkpoint", folder)
    if checkpoint is not None and Path(checkpoint).resolve() != folder.resolve():
        raise ConfigError(
            f"Expected the run to go on in its own folder, {folder}, got checkpoint={checkpoint}. "
            "Leave it out: a run has one folder."
        )
    copied = saved.facts["private"] and is_copy(folder)
    kept = None if copied else _kept_key(folder, options.get("account"), name)
    key = _chosen_key(saved, kept, options.pop("key", None), options.pop("test_seed", None))
    return options, key, Resumed(name, key.fingerprint == saved.facts["key"] and not copied)


def _kept_key(folder: Path, account: PrivacyAccount | None, run: str | None) -> NoiseKey | None:
    """Return the run's key from where it is kept; ``None`` if it is gone."""
    if account is None or run is None:
        return read_key(folder)
    found = account.resume_run(run).key if run in account.unfinished() else None
    return None if found is None else NoiseKey.from_bytes(found)


def _chosen_key(
    saved: SavedState, kept: NoiseKey | None, key: NoiseKey | None, test_seed: int | None
) -> NoiseKey:
    """Return the key to go on with: a new one if the run's own is lost.

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
        return NoiseKey.secret()
    if found is None and (saved.facts["stopped"] or saved.step >= saved.facts["settings"]["steps"]):
        return NoiseKey.test(0)  # a finished run draws nothing more
    if found is None or found.private != private:
        raise ConfigError(
            f"Expected the key of a {'private' if private else 'seeded'} run, got "
            f"{'none' if found is None else 'another kind'}. Give the key it was begun with."
        )
    return found


def _saved_options(saved: SavedState, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trainer's options: those of the saved run, and what it could not save."""
    facts, settings = saved.facts, saved.facts["settings"]
    fixed = {name: settings[name] for name in _FIXED} | {name: facts[name] for name in _FACTS}
    begun = Settings.from_json(settings)
    fixed |= {"neighbouring": begun.neighbouring, "stability": begun.stability}
    known = {**fixed, "target_epsilon": begun.target_epsilon, "spent": begun.spent}
    if given.get("spent") is not None:
        given = {**given, "spent": tuple(given["spent"])}
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
