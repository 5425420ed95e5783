"""One training step in every mode that ``dp_step.py`` compares: plain, ours, Opacus.

A step is forward, norms, clip, noise, optimiser. The batch is the same in every step, so that
drawing and loading cost nobody anything.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from _dp_models import Case
from equigrad.privacy.noise import Prefetch
from equigrad.privacy.training import PrivateTrainer

__all__ = ["OPACUS", "OURS", "PLAIN", "make_step"]

PLAIN = "non-private"
LEARNING_RATE = 1e-3
Step = Callable[[], Any]

OURS: dict[str, dict[str, Any]] = {
    "global-adapt": {"rule": "global-adapt", "rule_options": {"clip": 1.0}},
    "flat": {"rule": "flat", "rule_options": {"clip": 1.0}},
    "global": {"rule": "global", "rule_options": {"clip": 1.0, "threshold": 50.0}},
    "auto-s": {"rule": "auto-s", "rule_options": {"clip": 1.0}},
    "quantile": {"rule": "quantile", "rule_options": {"clip": 1.0}},
    "group-adaptive": {
        "rule": "group-adaptive",
        "rule_options": {"clip": 1.0, "count_noise": 10.0},
        "n_groups": 2,
    },
    "global-adapt, secure noise": {
        "rule": "global-adapt",
        "rule_options": {"clip": 1.0},
        "secure_noise": True,
    },
    "global-adapt, noise ahead": {
        "rule": "global-adapt",
        "rule_options": {"clip": 1.0},
        "ahead": True,
    },
    "global-adapt, no noise": {
        "rule": "global-adapt",
        "rule_options": {"clip": 1.0},
        "noise_multiplier": 0.0,
        "test_seed": 0,
    },
}
"""Our modes: the real trainer with each rule; fast noise unless said."""

OPACUS = {f"opacus {mode}": mode for mode in ("hooks", "ew", "functorch", "ghost")}
"""Opacus's modes by the names they have here."""


def make_step(mode: str, case: Case) -> Step:
    """Return a function that makes one step of ``mode`` on a copy of the case's model."""
    model = copy.deepcopy(case.model).train()
    if mode == PLAIN:
        return _plain(model, case)
    if mode in OPACUS:
        return _opacus(model, case, OPACUS[mode])
    return _ours(model, case, **OURS[mode])


def _plain(model: nn.Module, case: Case) -> Step:
    """Ordinary training: SGD on the mean cross-entropy."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    criterion = nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        criterion(model(case.inputs), case.targets).backward()
        optimizer.step()

    return step


class _SameRows:
    """The rows of the batch as they lie there, without a copy."""

    def __init__(self, rows: Any, case: Case) -> None:
        self._rows, self._case = rows, case

    def __len__(self) -> int:
        return len(self._case.targets)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows of a chunk; with q = 1 they lie one after the other."""
        at = slice(int(rows[0]), int(rows[-1]) + 1)
        return self._case.inputs[at], self._case.targets[at]


def _ours(
    model: nn.Module,
    case: Case,
    *,
    ahead: bool = False,
    n_groups: int | None = None,
    noise_multiplier: float = 1.0,
    secure_noise: bool = False,
    **options: Any,
) -> Step:
    """Our trainer, charging included; with sampling rate 1 every step has the whole batch."""
    rows = len(case.targets)
    groups = None if n_groups is None else torch.arange(rows) % n_groups
    trainer = PrivateTrainer(
        model,
        torch.optim.SGD(model.parameters(), lr=LEARNING_RATE),
        nn.CrossEntropyLoss(),
        (case.inputs, case.targets),
        groups=groups,
        n_groups=n_groups,
        sampling_rate=1.0,
        noise_multiplier=noise_multiplier,
        delta=1e-6,
        steps=10**6,
        secure_noise=secure_noise,
        **options,
    )
    trainer.releases.rows = _SameRows(trainer.releases.rows, case)
    if ahead:
        size = trainer.releases.total.numel()
        trainer.releases._prefetch = Prefetch(trainer.key, size, "gradient", double=secure_noise)
    return trainer.step


def _opacus(model: nn.Module, case: Case, mode: str) -> Step:
    """Opacus through ``make_private``, its accountant's hook attached as it ships."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from opacus import PrivacyEngine
        from opacus.validators import ModuleValidator

        model = ModuleValidator.fix(model).train()
        rows = TensorDataset(case.inputs, case.targets)
        criterion: Any = nn.CrossEntropyLoss()
        made = PrivacyEngine().make_private(
            module=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=LEARNING_RATE),
            criterion=criterion,
            data_loader=DataLoader(rows, batch_size=len(rows)),
            noise_multiplier=1.0,
            max_grad_norm=1.0,
            poisson_sampling=False,
            grad_sample_mode=mode,
        )
    wrapped, optimizer = made[0], made[1]
    if mode == "ghost":
        criterion = made[2]

    def step() -> None:
        optimizer.zero_grad()
        criterion(wrapped(case.inputs), case.targets).backward()
        optimizer.step()

    return step
