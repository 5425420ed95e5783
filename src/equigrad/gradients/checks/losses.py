"""Losses with one number per record: PyTorch's own are switched over, others are held to it.

A loss that was averaged over the batch has lost the rows' own gradients; and one that broadcasts
``(B, 1)`` against ``(B,)`` compares every record with everybody's target.
"""

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import loss as torch_losses

from equigrad.errors import ModelError

__all__ = ["per_record_loss", "record_losses"]

Loss = Callable[[Any, Any], Tensor]

_ELEMENTWISE = {
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
}
_CLASSES = {"cross_entropy", "nll_loss"}
_OTHER = {"multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss"}
_FUNCTIONS = {getattr(nn.functional, n): n for n in _ELEMENTWISE | _CLASSES | _OTHER}
_MODULES = {
    "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "CrossEntropyLoss": "cross_entropy",
    "HingeEmbeddingLoss": "hinge_embedding_loss",
    "HuberLoss": "huber_loss",
    "KLDivLoss": "kl_div",
    "L1Loss": "l1_loss",
    "MSELoss": "mse_loss",
    "MultiLabelMarginLoss": "multilabel_margin_loss",
    "MultiLabelSoftMarginLoss": "multilabel_soft_margin_loss",
    "MultiMarginLoss": "multi_margin_loss",
    "NLLLoss": "nll_loss",
    "PoissonNLLLoss": "poisson_nll_loss",
    "SmoothL1Loss": "smooth_l1_loss",
    "SoftMarginLoss": "soft_margin_loss",
}
_REMEDY = (
    'Return one number per record: reduction="none", then a mean or sum over all axes but the first'
)


def per_record_loss(loss: Loss) -> Loss:
    """Return ``loss`` as a function of ``(outputs, targets)`` that gives ``(B,)``.

    PyTorch's losses (modules, functions, and ``functools.partial`` of functions) with
    ``reduction="mean"`` or ``"sum"`` are switched to ``"none"`` and then averaged or summed over
    the record's own remaining axes, so that on a batch of one nothing changes but class weights:
    ``mean`` divides by the number of the record's targets that are not ``ignore_index``, never by
    a sum of weights, which would run over the batch. Outputs and targets of different shapes are
    refused for losses that PyTorch would broadcast. A loss with ``reduction="none"`` and any other
    callable is returned as it is; :func:`record_losses` judges what it returns.
    """
    known = _recognise(loss)
    if known is None:
        return loss
    name, reduction, unreduced, ignored = known
    return _PerRecord(name, "mean" if reduction == "mean" else "sum", unreduced, ignored)


def record_losses(losses: object, size: int) -> Tensor:
    """Return ``losses`` if it is a floating-point tensor of shape ``(size,)``, else refuse it.

    Raises
    ------
    ModelError
        With the remedy, if the loss was reduced to a scalar or kept further axes.
    """
    if not isinstance(losses, Tensor) or not losses.is_floating_point():
        got = losses.dtype if isinstance(losses, Tensor) else type(losses).__name__
        raise ModelError(f"Expected the loss to be a floating-point tensor, got {got}. {_REMEDY}.")
    if losses.shape != (size,):
        got = "a scalar" if losses.dim() == 0 else f"shape {tuple(losses.shape)}"
        raise ModelError(
            f"Expected the loss to have one number per record, shape ({size},), got {got}. "
            f"{_REMEDY}."
        )
    return losses


def _recognise(loss: Loss) -> tuple[str, str, Loss, int | None] | None:
    """Return name, reduction, unreduced form and ignored class of a PyTorch loss, else None."""
    if isinstance(loss, nn.Module):
        name = _MODULES.get(type(loss).__name__)
        own = name is not None and type(loss).__module__ == torch_losses.__name__
        if name is None or not own or loss.reduction == "none":
            return None
        unreduced: Any = copy.copy(loss)
        unreduced.reduction = "none"
        return name, str(loss.reduction), unreduced, getattr(loss, "ignore_index", None)
    function: Any = loss
    options: dict[str, Any] = {}
    if isinstance(loss, functools.partial) and not loss.args:
        function, options = loss.func, loss.keywords
    try:
        name = _FUNCTIONS.get(function)
    except TypeError:  # a callable that cannot be hashed is none of PyTorch's
        return None
    reduction = options.get("reduction", "mean")
    if name is None or reduction == "none":
        return None
    unreduced_function = functools.partial(function, **{**options, "reduction": "none"})
    ignored = options.get("ignore_index", -100) if name in _CLASSES else None
    return name, str(reduction), unreduced_function, ignored


class _PerRecord:
    """A PyTorch loss reduced over each record's own axes."""

    def __init__(self, name: str, reduction: str, unreduced: Loss, ignored: int | None) -> None:
        self.name, self.reduction, self.unreduced, self.ignored = (
            name,
            reduction,
            unreduced,
            ignored,
        )

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.name in _ELEMENTWISE and outputs.shape != targets.shape:
            raise ModelError(
                f"Expected outputs and targets of one shape for {self.name}, got "
                f"{tuple(outputs.shape)} and {tuple(targets.shape)}, which would compare a record "
                "with other records' targets. Reshape one of them."
            )
        losses = self.unreduced(outputs, targets)
        if losses.dim() < 2:
            return losses
        total = losses.flatten(1).sum(1)
        if self.reduction == "sum":
            return total
        return total / self._count(losses, targets)

    def _count(self, losses: Tensor, targets: Tensor) -> Tensor | int:
        """Return how many of its numbers each record's loss is averaged over."""
        if self.ignored is None or targets.is_floating_point():
            return losses[0].numel() if len(losses) else 1
        counted = (targets != self.ignored).flatten(1).sum(1)
        return counted.clamp(min=1).to(torch.float32 if losses.dtype.itemsize < 8 else losses.dtype)

    def __repr__(self) -> str:
        return f"per_record_loss({self.unreduced!r}, {self.reduction!r})"
