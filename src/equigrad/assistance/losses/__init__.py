"""What the sponsor minimises: losses with their residuals, starts and exact steps.

The contract is :class:`Loss`.
"""

from collections.abc import Callable
from typing import Any

from equigrad.assistance.losses.absolute import Absolute
from equigrad.assistance.losses.base import LOSSES, Loss
from equigrad.assistance.losses.cross_entropy import CrossEntropy
from equigrad.assistance.losses.power import L4, L15, PowerLoss
from equigrad.assistance.losses.squared import Squared
from equigrad.assistance.losses.user import TorchLoss

__all__ = [
    "L4",
    "L15",
    "LOSSES",
    "Absolute",
    "CrossEntropy",
    "Loss",
    "PowerLoss",
    "Squared",
    "TorchLoss",
    "make_loss",
]


def make_loss(loss: Loss | str | Callable[..., Any], *, classification: bool = False) -> Loss:
    """Return a loss from its name, a function in PyTorch, or the loss itself.

    Raises
    ------
    RegistryError
        If the name is unknown.
    ConfigError
        If it is none of the three.
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str):
        return LOSSES[loss]()
    return TorchLoss(loss, classification=classification)
