"""Averages over independently initialised models; neighbours: GraNd and EL2N, which use them."""

from typing import Final

from equigrad.valuation.context import ScoringContext
from equigrad.valuation.scorers.initialisation import TrainedOnly
from equigrad.valuation.trajectory import Trajectory

__all__ = ["ADVISED_MODELS", "Ensembled"]

ADVISED_MODELS: Final = 10
"""Below this many models, scores still move with the seeds (Paul et al. 2021)."""


class Ensembled(TrainedOnly):
    """Looks at the ensemble's models in place of the training's checkpoints, if it needs one.

    Under privacy each model is a training of its own: R of them cost R scoring runs.
    """

    def source(self, context: ScoringContext) -> Trajectory:
        """Return the ensemble, if this scorer needs one; else the training."""
        if "ensemble" in self.needs and context.ensemble is not None:
            return context.ensemble
        return context.trajectory

    def warnings(self, context: ScoringContext) -> list[str]:
        """Return what :class:`TrainedOnly` says, and whether models are few."""
        found = super().warnings(context)
        if "ensemble" in self.needs and len(self.source(context)) < ADVISED_MODELS:
            found.append(
                f"{self.name} is a mean over {len(self.source(context))} models; "
                f"{ADVISED_MODELS} or more are advised"
            )
        return found
