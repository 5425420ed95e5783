"""Losses with one number per record; neighbour: the pass, which needs the rows apart."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor, nn

from equigrad.errors import ModelError

__all__ = ["Loss", "per_record_loss"]

Loss = Callable[[Any, Any], Tensor]

_FUNCTIONS: frozenset[Callable[..., Tensor]] = frozenset(
    {
        F.binary_cross_entropy,
        F.binary_cross_entropy_with_logits,
        F.cosine_embedding_loss,
        F.cross_entropy,
        F.gaussian_nll_loss,
        F.hinge_embedding_loss,
        F.huber_loss,
        F.kl_div,
        F.l1_loss,
        F.margin_ranking_loss,
        F.mse_loss,
        F.multi_margin_loss,
        F.multilabel_margin_loss,
        F.multilabel_soft_margin_loss,
        F.nll_loss,
        F.poisson_nll_loss,
        F.smooth_l1_loss,
        F.soft_margin_loss,
    }
)
_WEIGHED = (nn.CrossEntropyLoss, nn.NLLLoss)


def per_record_loss(loss: Loss) -> Loss:
    """Return ``loss`` with one number per record.

    Parameters
    ----------
    loss
        A function of outputs and targets. A loss of ``torch.nn``, or a function of
        ``torch.nn.functional`` (also within ``functools.partial``), that averages or sums is
        switched to ``reduction="none"`` on a copy; whatever axes a record's losses then have are
        averaged, or summed if it was ``"sum"`` or ``"batchmean"``: a record's loss is what the
        original gives for that record alone. Anything else is returned as it is.

    Returns
    -------
    Loss
        Gives ``(B,)`` for the recognised losses.
    """
    if isinstance(loss, nn.modules.loss._Loss):
        kind = loss.reduction
        plain = copy.copy(loss)
        plain.reduction = "none"
        if isinstance(loss, _WEIGHED) and kind == "mean":
            return functools.partial(_weighed_mean, plain, loss.weight, loss.ignore_index)
        return functools.partial(_reduced, plain, kind)
    function = loss.func if isinstance(loss, functools.partial) else loss
    if function in _FUNCTIONS:
        options = dict(loss.keywords) if isinstance(loss, functools.partial) else {}
        kind = options.get("reduction", "mean")
        each = functools.partial(function, **{**options, "reduction": "none"})
        if function in (F.cross_entropy, F.nll_loss) and kind == "mean":
            weight, ignored = options.get("weight"), options.get("ignore_index", -100)
            return functools.partial(_weighed_mean, each, weight, ignored)
        return functools.partial(_reduced, each, kind)
    return loss


def _reduced(plain: Loss, kind: str, outputs: Any, targets: Any) -> Tensor:
    """Reduce all axes but the first."""
    losses = plain(outputs, targets)
    if losses.ndim <= 1:
        return losses
    return losses.flatten(1).mean(1) if kind == "mean" else losses.flatten(1).sum(1)


def _weighed_mean(
    plain: Loss, weight: Tensor | None, ignored: int, outputs: Tensor, targets: Tensor
) -> Tensor:
    """Average each record's losses as torch does: by class weight, without ignored targets."""
    losses = plain(outputs, targets)
    if targets.is_floating_point():  # class probabilities: torch divides by the count alone
        return losses if losses.ndim <= 1 else losses.flatten(1).mean(1)
    if losses.ndim <= 1 and weight is None:
        return losses
    counted = targets != ignored
    if weight is None:
        share = counted.to(losses.dtype)
    else:
        share = weight[targets.clamp(0, weight.shape[0] - 1)] * counted
    total = share.flatten(1).sum(1) if share.ndim > 1 else share
    losses = losses.flatten(1).sum(1) if losses.ndim > 1 else losses
    return torch.where(total > 0, losses / torch.where(total > 0, total, 1), 0 * losses)


def checked_losses(losses: object, size: int) -> Tensor:
    """Return ``losses`` if they are one floating-point number per record, else raise."""
    if not isinstance(losses, Tensor) or not losses.is_floating_point():
        raise ModelError(
            f"Expected the loss to return a floating-point tensor, got {type(losses).__name__}. "
            "Return one number per record."
        )
    if losses.shape != (size,):
        hint = (
            'It is averaged or summed already: use reduction="none".'
            if losses.ndim == 0
            else "Average or sum all axes but the first."
        )
        raise ModelError(
            f"Expected the loss to return one number per record, shape ({size},), got shape "
            f"{tuple(losses.shape)}. {hint}"
        )
    return losses
