"""What must hold before a private run may touch its account.

Every function raises one error that says what was expected, or returns what the run goes on with.
Nothing here depends on a step's data: a run that has started never stops for what its rows hold.
Neighbours: :mod:`.settings` checks numbers, :mod:`.rows` shapes.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from equigrad.errors import ConfigError, DataError, ModelError
from equigrad.gradients.calling import call_model, evaluating
from equigrad.privacy.training.rows import (
    Inputs,
    Rows,
    map_inputs,
    tensors_of,
)

__all__ = [
    "check_groups",
    "check_optimizer",
    "check_rows",
    "check_scheduler",
    "refuse_gradients",
    "trainable",
]

_CLASS_LOSSES = (nn.CrossEntropyLoss, nn.NLLLoss)
_CLASS_FUNCTIONS = (functional.cross_entropy, functional.nll_loss)
_CHUNK = 8192


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that will be trained, by name.

    Raises
    ------
    ModelError
        If there is none, one is not a float, or they lie on several devices.
    """
    found = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not found:
        raise ModelError("Expected a model with trainable parameters, got none. Unfreeze a layer.")
    other = [name for name, p in found.items() if not p.dtype.is_floating_point]
    if other:
        raise ModelError(f"Expected float parameters, got {other[0]} of another kind. Freeze it.")
    devices = sorted({str(p.device) for p in found.values()})
    if len(devices) > 1:
        raise ModelError(
            f"Expected a model on one device, got {', '.join(devices)}. Move it to one of them."
        )
    return found


def check_optimizer(optimizer: Optimizer, parameters: dict[str, nn.Parameter]) -> None:
    """Refuse an optimiser that needs closures or sparse gradients, or trains something else."""
    if not isinstance(optimizer, Optimizer):
        raise ConfigError(
            f"Expected an optimizer of torch.optim, got {type(optimizer).__name__}. "
            "Build it on the model's parameters and pass the object."
        )
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    needs = closure is not None and closure.default is inspect.Parameter.empty
    if needs or type(optimizer).__name__ == "SparseAdam":
        raise ConfigError(
            "Expected an optimizer that takes one dense gradient a step, got "
            f"{type(optimizer).__name__}. Every further evaluation would be a further release: "
            "take SGD, Adam or another first-order optimizer."
        )
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [name for name, p in parameters.items() if id(p) not in held]
    if missing:
        raise ConfigError(
            f"Expected all trainable parameters in the optimizer, got none for {missing[0]}. "
            "Freeze it (requires_grad_(False)) or give it to the optimizer: its gradient would "
            "use up the clipping bound for nothing."
        )
    if len(held - {id(p) for p in parameters.values()}):
        raise ConfigError(
            "Expected only trainable parameters of the model in the optimizer, got others. "
            "Build it on [p for p in model.parameters() if p.requires_grad]."
        )


def check_scheduler(scheduler: object, optimizer: Optimizer) -> None:
    """Refuse a scheduler that watches a metric, or steers another optimiser."""
    if scheduler is None:
        return
    if type(scheduler).__name__ == "ReduceLROnPlateau":
        raise ConfigError(
            "Expected a learning-rate schedule that depends on the step alone, got "
            "ReduceLROnPlateau. A rate steered by private losses would have to be paid for."
        )
    if getattr(scheduler, "optimizer", None) is not optimizer:
        raise ConfigError(
            "Expected the scheduler to steer the given optimizer, got another one's. "
            "Build it on the optimizer that you pass."
        )


def refuse_gradients(parameters: Mapping[str, nn.Parameter]) -> None:
    """Refuse parameters that hold a gradient: it may be un-noised.

    Raises
    ------
    ModelError
        Names the first such parameter.
    """
    for name, parameter in parameters.items():
        if parameter.grad is not None:
            raise ModelError(
                f"Expected no gradient before a private step, got one in {name}. Remove the "
                "backward() by hand and call optimizer.zero_grad(): it may hold un-noised values."
            )


def check_groups(groups: Tensor | None, n_groups: int | None, *, needed: bool) -> int:
    """Return K, the declared number of groups, after checking every label.

    Raises
    ------
    DataError
        If labels are missing where the rule needs them, or lie outside 0..K-1.
    ConfigError
        If K is not declared: the labels present would give away a group's absence.
    """
    if groups is None:
        if needed:
            raise DataError(
                "Expected group labels for this clipping rule, got none. "
                "Give groups, one whole number from 0 to n_groups - 1 per row."
            )
        return 0 if n_groups is None else n_groups
    if n_groups is None:
        raise ConfigError(
            "Expected n_groups with group labels, got None. The number of groups is public and "
            "must be declared: counting the labels would tell whether a group is present."
        )
    low, high = int(groups.min()), int(groups.max())
    if low < 0 or high >= n_groups:
        raise DataError(
            f"Expected group labels in 0..{n_groups - 1}, got {low if low < 0 else high}. "
            "Declare all groups by n_groups, or correct the labels."
        )
    return n_groups


def check_rows(rows: Rows, model: nn.Module, loss: Callable[..., Any]) -> None:
    """Refuse NaN and infinite inputs or targets, and class labels the model cannot name.

    Raises
    ------
    DataError
        Before any charge. Later non-finite gradients count as zero, silently.
    """
    seen = 0
    for inputs, targets in rows.chunks(_CHUNK):
        if seen == 0:
            width = _class_width(model, loss, inputs, targets)
            ignored = getattr(loss, "ignore_index", -100)
        for what, tensor in [*(("input", t) for t in tensors_of(inputs)), ("target", targets)]:
            if tensor.dtype.is_floating_point and not bool(torch.isfinite(tensor).all()):
                bad = (
                    ~torch.isfinite(tensor).flatten(1).all(1)
                    if tensor.dim() > 1
                    else ~torch.isfinite(tensor)
                )
                row = seen + int(bad.nonzero()[0, 0])
                raise DataError(
                    f"Expected finite numbers in every {what}, got NaN or inf in row {row}. "
                    "Fill or drop such rows before training."
                )
        if width is not None:
            _check_labels(targets, width, ignored, seen)
        seen += int(targets.shape[0])


def _check_labels(targets: Tensor, width: int, ignored: int, start: int) -> None:
    """Refuse class labels outside 0..width-1."""
    bad = ((targets < 0) | (targets >= width)) & (targets != ignored)
    if bool(bad.any()):
        at = bad.nonzero()[0]
        raise DataError(
            f"Expected labels in 0..{width - 1}, one for each output of the model, got "
            f"{int(targets[tuple(at)])} in row {start + int(at[0])}. Renumber the classes, or "
            "widen the model."
        )


def _class_width(
    model: nn.Module, loss: Callable[..., Any], inputs: Inputs, targets: Tensor
) -> int | None:
    """Return the number of classes the model can name, ``None`` if the loss knows no classes."""
    known = isinstance(loss, _CLASS_LOSSES) or loss in _CLASS_FUNCTIONS
    if not known or targets.dtype.is_floating_point:
        return None
    device = next(model.parameters()).device
    blank = map_inputs(inputs, lambda t: torch.zeros_like(t[:1]).to(device))
    with evaluating(model), torch.no_grad():
        outputs = call_model(model, blank)
    return int(outputs.shape[1]) if isinstance(outputs, Tensor) and outputs.dim() > 1 else None
