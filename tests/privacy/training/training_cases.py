"""Small data, models and trainers that the tests of private training share."""

from typing import Any

import torch
from torch import Tensor, nn

from equigrad.privacy.training import PrivateTrainer

RULES: dict[str, dict[str, Any]] = {
    "flat": {"clip": 0.7},
    "global": {"clip": 0.7, "threshold": 1.5},
    "global-adapt": {"clip": 0.7, "threshold": 2.0, "count_noise": 4.0},
    "auto-s": {"clip": 0.7},
    "auto-v": {"clip": 0.7},
    "group-adaptive": {"clip": 0.5, "count_noise": 3.0},
    "quantile": {"clip": 0.6, "count_noise": 5.0},
    "group-global-adapt": {"clip": 0.7},
    "group-scaled": {"clip": 0.7, "threshold": 2.0, "count_noise": 4.0},
}


def rows(n: int = 120, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Return inputs ``(n, 5)``, labels of three classes and labels of two groups."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 5, generator=generator, dtype=dtype)
    targets = torch.randint(3, (n,), generator=generator)
    groups = (torch.rand(n, generator=generator) < 0.25).long()
    return inputs, targets, groups


def net(dtype: torch.dtype = torch.float64, dropout: float = 0.0) -> nn.Sequential:
    """Return a small seeded network."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = [nn.Linear(5, 7), nn.Tanh(), nn.Dropout(dropout), nn.Linear(7, 3)]
        return nn.Sequential(*layers).to(dtype)


def trainer(
    model: nn.Module | None = None,
    data: object = None,
    *,
    optimizer: Any = None,
    **options: Any,
) -> PrivateTrainer:
    """Return a trainer of 12 steps by flat clipping, changed by ``options``."""
    model = net() if model is None else model
    if optimizer is None:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    settings: dict[str, Any] = {
        "rule": "flat",
        "noise_multiplier": 0.8,
        "delta": 1e-4,
        "steps": 12,
        "public_batch_size": 20,
        "n_groups": 2,
    }
    if "rule" in options and "rule_options" not in options and isinstance(options["rule"], str):
        settings["rule_options"] = RULES[options["rule"]]
    elif "rule" not in options:
        settings["rule_options"] = RULES["flat"]
    if "key" not in options:
        settings["test_seed"] = 5
    data = rows() if data is None else data
    merged = {k: v for k, v in (settings | options).items() if v is not ...}
    return PrivateTrainer(model, optimizer, nn.CrossEntropyLoss(), data, **merged)


def flat(model: nn.Module) -> Tensor:
    """Return all parameters in one vector."""
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])
