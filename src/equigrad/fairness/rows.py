"""The rows of one group, their loss as a function of the parameters, and its gradient.

Shared by ``curvature`` and ``diagnostics``; nothing here changes the model, its parameters, their
``grad``, or its mode for longer than a call.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from equigrad.errors import ConfigError, DataError, ModelError
from equigrad.gradients.calling import evaluating

__all__ = [
    "CHUNK",
    "Inputs",
    "PerRecordLoss",
    "Rows",
    "group_gradient",
    "split_by_group",
    "summed_loss",
    "take",
    "trainable",
]

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]
PerRecordLoss = Callable[[Tensor, Tensor], Tensor]
CHUNK = 512
"""Rows differentiated at a time; bounds memory, not results."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Records of one group, along axis 0 of inputs and targets; sensitive."""

    inputs: Inputs
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def at(self, index: Tensor) -> "Rows":
        """Return the rows at the given positions."""
        return Rows(take(self.inputs, index), self.targets[index])

    def chunks(self, size: int = CHUNK) -> Iterator["Rows"]:
        """Yield the rows in order, at most ``size`` at a time."""
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            yield self.at(torch.arange(start, stop, device=self.targets.device))

    def outputs(self, model: nn.Module, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the model's output, at its own or at other ``parameters``."""
        inputs = self.inputs
        positional = () if isinstance(inputs, dict) else inputs
        if isinstance(positional, Tensor):
            positional = (positional,)
        named = inputs if isinstance(inputs, dict) else {}
        outputs: Tensor = functional_call(model, dict(parameters or {}), positional, named)
        return outputs


def take(inputs: Inputs, at: Tensor) -> Inputs:
    """Return the records at the indices ``at`` of a tensor, a tuple or a dictionary of them."""
    if isinstance(inputs, dict):
        return {name: value[at] for name, value in inputs.items()}
    if isinstance(inputs, tuple):
        return tuple(value[at] for value in inputs)
    return inputs[at]


def split_by_group(inputs: Inputs, targets: Tensor, groups: Tensor, n_groups: int) -> list[Rows]:
    """Return the rows of each of the K groups, possibly none.

    Raises
    ------
    DataError
        If there is not one group number in [0, K) for each record.
    """
    if groups.shape != targets.shape[:1]:
        raise DataError(
            f"Expected one group number per record, ({len(targets)},), got {tuple(groups.shape)}."
        )
    if len(groups) and not 0 <= int(groups.min()) <= int(groups.max()) < n_groups:
        raise DataError(
            f"Expected group numbers in [0, {n_groups}), got {int(groups.min())} to "
            f"{int(groups.max())}. Number the groups in the order of their names."
        )
    whole = Rows(inputs, targets)
    return [whole.at(torch.nonzero(groups == k).flatten()) for k in range(n_groups)]


def summed_loss(
    model: nn.Module, parameters: Mapping[str, Tensor], loss: PerRecordLoss, rows: Rows
) -> Tensor:
    """Return the sum of the rows' losses at ``parameters``, differentiable twice.

    Raises
    ------
    ConfigError
        If the loss is not one number per record.
    """
    losses = loss(rows.outputs(model, parameters), rows.targets)
    if losses.shape != (len(rows),):
        raise ConfigError(
            f"Expected a loss with one number per record, ({len(rows)},), got shape "
            f"{tuple(losses.shape)}. Use reduction='none'."
        )
    return losses.sum()


def group_gradient(
    model: nn.Module, loss: PerRecordLoss, rows: Rows
) -> tuple[float, dict[str, Tensor]] | None:
    """Return mean loss and its gradient by parameter name; ``None`` without rows."""
    if not len(rows):
        return None
    parameters = trainable(model)
    leaves = list(parameters.values())
    sums = [torch.zeros_like(leaf, requires_grad=False) for leaf in leaves]
    total = 0.0
    with evaluating(model):
        for part in rows.chunks():
            value = summed_loss(model, parameters, loss, part)
            total += float(value.detach())
            for held, grad in zip(
                sums, torch.autograd.grad(value, leaves, allow_unused=True), strict=True
            ):
                if grad is not None:
                    held += grad
    n = len(rows)
    return total / n, {name: held / n for name, held in zip(parameters, sums, strict=True)}


def trainable(model: nn.Module) -> dict[str, Tensor]:
    """Return fresh leaves equal to the trainable parameters, by name.

    Raises
    ------
    ModelError
        If no parameter is trainable.
    """
    found = {
        name: value.detach().clone().requires_grad_()
        for name, value in model.named_parameters()
        if value.requires_grad
    }
    if not found:
        raise ModelError("Expected a model with a trainable parameter, got none.")
    return found
