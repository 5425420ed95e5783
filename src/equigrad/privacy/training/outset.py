"""What a private run settles before its first step: key, device, meter, and what it may train.

Neighbours: :mod:`.trainer` begins with these, :mod:`.checks` and :mod:`.settings` judge the rest.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from equigrad.errors import ModelError, PrivacyError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.clipping import ClippingRule
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training.account_meter import AccountMeter
from equigrad.privacy.training.meter import LocalMeter, Meter
from equigrad.privacy.training.settings import Settings
from equigrad.privacy.training.stopping import EarlyStopping

__all__ = [
    "new_key",
    "opened_meter",
    "plain_sgd",
    "step_event",
    "training_device",
]


def new_key(key: NoiseKey | None, test_seed: int | None) -> NoiseKey:
    """Return the run's key."""
    if key is not None and test_seed is not None:
        raise PrivacyError(
            "Expected key or test_seed, got both. A private run takes no seed: whoever knows it "
            "can take the noise off."
        )
    if key is not None and not isinstance(key, NoiseKey):
        raise PrivacyError(
            f"Expected a NoiseKey, got {type(key).__name__}. A private run takes no seed; leave "
            "key out for a secret one, or say test_seed for a run that is not private."
        )
    if test_seed is not None:
        return NoiseKey.test(test_seed)
    return NoiseKey.secret() if key is None else key


def training_device(
    device: torch.device | str | None, parameters: Mapping[str, nn.Parameter]
) -> torch.device:
    """Return where to train."""
    found = next(iter(parameters.values())).device
    if device is not None and torch.device(device).type != found.type:
        raise ModelError(
            f"Expected the model on {device}, got it on {found}. Move it there before building "
            "the optimizer."
        )
    return found


def plain_sgd(optimizer: Optimizer) -> bool:
    """Return whether a step of ``optimizer`` is ``theta - lr * grad`` and nothing else."""
    names = ("momentum", "weight_decay", "nesterov", "maximize")
    return type(optimizer) is torch.optim.SGD and not any(
        group.get(name) for group in optimizer.param_groups for name in names
    )


def step_event(
    settings: Settings, rule: ClippingRule, key: NoiseKey, label: str, secure: bool
) -> PrivacyEvent | None:
    """Return the event of one step, ``None`` for a run without noise."""
    if not settings.noise_multiplier:
        return None
    form = "rounded" if secure else "fast"
    return settings.event(rule, noise_form=form, seeded=not key.private, label=label)


def opened_meter(
    event: PrivacyEvent | None,
    settings: Settings,
    key: NoiseKey,
    stopping: EarlyStopping | None,
    account: PrivacyAccount | None,
    resumed: str | None,
) -> Meter:
    """Return what the run is charged to.

    Parameters
    ----------
    event, settings, key, stopping
        The run's.
    account
        Where to charge; ``None`` keeps the charges with the run.
    resumed
        Name of the account's run to take up again.
    """
    limit = None if settings.target_epsilon is None else settings.steps
    looks = None
    if stopping is not None:
        looks = stopping.planned(settings.steps, seeded=not key.private)
    if account is None or event is None:
        return LocalMeter(event, looks, limit)
    plan: dict[str, Any] = {"steps": settings.steps, "looks": looks, "extend": limit is None}
    if resumed is not None:
        return AccountMeter.resume(event, account, resumed, **plan)
    return AccountMeter.open(event, account, key, **plan)
