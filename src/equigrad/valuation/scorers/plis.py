"""Privacy loss-input susceptibility (PLIS): how a record's gradient norm moves with its input.

Source: section 3.3 of the specification, derived there from the abstracts of arXiv 2211.10173 and
2109.10582. The maps behind the score are in :mod:`equigrad.valuation.maps`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from equigrad._validate import choice
from equigrad.valuation.base import SCORERS
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.input_gradients import norm_gradients
from equigrad.valuation.scorers.averages import LastCheckpoint
from equigrad.valuation.visit import Visit, only_input

__all__ = ["REDUCTIONS", "Plis"]

REDUCTIONS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = MappingProxyType(
    {
        "l2": lambda flat: torch.linalg.vector_norm(flat, dim=1),
        "l1": lambda flat: flat.abs().sum(dim=1),
        "meanabs": lambda flat: flat.abs().mean(dim=1),
    }
)
"""How a map becomes a score: its 2-norm, the sum or the mean of its absolute values."""


@SCORERS.register("plis")
class Plis(LastCheckpoint):
    """The size of ``J_i = d ||g_i|| / dx`` at the last checkpoint, 0 where the norm is 0.

    Under the Gaussian mechanism a record's privacy loss is a function of its gradient norm, so J
    says which records' loss moves most with their input. Norms are not clipped here.

    Parameters
    ----------
    reduction
        One of :data:`REDUCTIONS`; which one the paper took is not known.
    """

    name = "plis"
    orientation = "exposed"

    def __init__(self, reduction: str = "l2") -> None:
        self.reduction = choice("reduction", reduction, REDUCTIONS)

    def settings(self) -> dict[str, str]:
        """Return the reduction."""
        return {"reduction": self.reduction}

    def check(self, context: ScoringContext) -> None:
        """Refuse also inputs without features that could change a little."""
        super().check(context)
        only_input(context.first)

    def measure(self, visit: Visit) -> Tensor:
        """Return the sizes of the maps."""
        _, slopes = norm_gradients(visit)
        return REDUCTIONS[self.reduction](slopes.flatten(1))
