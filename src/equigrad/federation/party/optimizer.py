"""Any optimiser of ``torch.optim`` by name, and its state as named tensors."""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from equigrad._validate import known_options
from equigrad.errors import ConfigError

__all__ = ["check_optimizer", "make_optimizer", "optimizer_names", "restore_state", "save_state"]


_STEPPING = frozenset({"capturable", "differentiable", "foreach", "fused"})


def optimizer_names() -> list[str]:
    """Return the names of the optimisers in ``torch.optim``, sorted."""
    return sorted(
        name
        for name, found in vars(torch.optim).items()
        if isinstance(found, type)
        and issubclass(found, torch.optim.Optimizer)
        and found is not torch.optim.Optimizer
    )


def make_optimizer(
    name: str, parameters: Sequence[nn.Parameter], lr: float, options: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """Return a fresh optimiser.

    Parameters
    ----------
    name
        A class of ``torch.optim``, as it is spelt there.
    parameters
        What it moves.
    lr
        Learning rate, > 0.
    options
        Further keyword arguments of the class. Where it has a fused implementation, that is used
        (a step of a small model takes up to a fifth less time) unless an option says how to step.

    Raises
    ------
    ConfigError
        If there is no such optimiser or option (the nearest name is given), or a value is
        impossible.
    """
    names = optimizer_names()
    if name not in names:
        lower = {n.lower(): n for n in names}
        near = difflib.get_close_matches(name.lower(), lower, n=1)
        hint = f" Did you mean {lower[near[0]]!r}?" if near else ""
        raise ConfigError(
            f"Expected an optimiser of torch.optim ({', '.join(names)}), got {name!r}.{hint}"
        )
    make = getattr(torch.optim, name)
    known_options(f"optimiser {name!r}", make, options, reserved=("params", "lr"))
    fused = "fused" in inspect.signature(make).parameters and not _STEPPING & options.keys()
    try:
        optimizer: torch.optim.Optimizer = make(
            parameters, lr=lr, **({"fused": True} if fused else {}), **options
        )
    except Exception as error:
        raise ConfigError(
            f"Expected settings that the optimiser {name!r} takes, got lr={lr!r} and "
            f"{dict(options)!r}: {error}"
        ) from error
    return optimizer


def check_optimizer(
    name: str,
    parameters: Sequence[nn.Parameter],
    lr: float,
    options: Mapping[str, Any],
    *,
    keep: bool,
) -> None:
    """Try one step on copies of ``parameters`` with zero gradients.

    Raises
    ------
    ConfigError
        If the optimiser cannot be made, does not suit dense parameters of these shapes, or is to
        be kept although its state is more than one set of tensors for each parameter.
    """
    twins = [nn.Parameter(torch.zeros_like(p)) for p in parameters]
    for twin in twins:
        twin.grad = torch.zeros_like(twin)
    optimizer = make_optimizer(name, twins, lr, options)
    try:
        optimizer.step(lambda: 0.0)
    except Exception as error:
        raise ConfigError(
            f"Expected an optimiser that can move this model's parameters, got {name!r}: {error}"
        ) from error
    if keep:
        save_state(optimizer)


def save_state(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return copies of an optimiser's state by ``"<parameter's position>/<name>"``, on the CPU.

    Raises
    ------
    ConfigError
        If something else than tensors belongs to the state (LBFGS).
    """
    tensors: dict[str, torch.Tensor] = {}
    for position, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{position}/{name}"] = value.detach().cpu().clone()
            elif value is not None:
                raise ConfigError(
                    f"Expected an optimiser whose state is tensors, got {name!r} of type "
                    f"{type(value).__name__} in {type(optimizer).__name__}. "
                    'Set optimizer_state = "reset".'
                )
    return tensors


def restore_state(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give a fresh optimiser the state that :func:`save_state` returned; nothing is aliased."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        position, _, name = key.partition("/")
        state.setdefault(int(position), {})[name] = tensor.clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
