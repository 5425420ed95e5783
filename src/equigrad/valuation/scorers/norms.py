"""Norms of the records' gradients: at the end, over the trajectory, over an ensemble (GraNd).

Source: Paul, Ganguli, Dziugaite 2021 (arXiv 2107.07075); section 3.1 of the specification. The
norms are those of the per-sample pass, over all trainable parameters with biases; no gradient is
written out where a layer allows that.
"""

import math
from typing import Any

from torch import Tensor

from equigrad._validate import positive
from equigrad.valuation.base import SCORERS, Bounds
from equigrad.valuation.scorers.averages import AveragingScorer, LastCheckpoint
from equigrad.valuation.scorers.ensembles import Ensembled
from equigrad.valuation.trajectory import Trajectory
from equigrad.valuation.visit import Visit

__all__ = ["GraNd", "GradNorm", "GradNormMean"]


class _NormMeasure(AveragingScorer):
    """``||g_i||_2``, or its minimum with a clip bound.

    Parameters
    ----------
    clip
        C > 0: the norm counts up to C, which gives the score the public range [0, C]. None for
        the plain norm, whose range [0, inf) has to be cut before a release.
    """

    orientation = "harder"
    gradients = True

    def __init__(self, clip: float | None = None) -> None:
        self.clip = None if clip is None else positive("clip", clip)

    def settings(self) -> dict[str, Any]:
        """Return the clip bound."""
        return {"clip": self.clip}

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return (0, C), or (0, inf) without a clip bound."""
        del trajectory
        return (0.0, math.inf if self.clip is None else self.clip)

    def measure(self, visit: Visit) -> Tensor:
        """Return the norms."""
        return visit.norms if self.clip is None else visit.norms.clamp(max=self.clip)


@SCORERS.register("grad-norm")
class GradNorm(_NormMeasure, LastCheckpoint):
    """``||g_i||_2`` at the last checkpoint."""

    name = "grad-norm"


@SCORERS.register("grad-norm-mean")
class GradNormMean(_NormMeasure):
    """The mean over the checkpoints of ``||g_i||_2``."""

    name = "grad-norm-mean"
    least_checkpoints = 2


@SCORERS.register("grand")
class GraNd(_NormMeasure, Ensembled):
    """The mean of ``||g_i||_2`` over independently initialised models at an early step.

    Parameters
    ----------
    clip
        Bound on a norm; see :class:`GradNorm`.
    allow_initialisation
        Score models of step 0 with a warning, instead of refusing them.

    Raises
    ------
    NeedsError
        If there is no ensemble.
    CheckpointError
        If a model of the ensemble is at step 0.
    """

    name = "grand"
    needs = frozenset({"labels", "ensemble"})

    def __init__(self, clip: float | None = None, *, allow_initialisation: bool = False) -> None:
        super().__init__(clip)
        self.allow_initialisation = allow_initialisation

    def settings(self) -> dict[str, Any]:
        """Return the clip bound and what is allowed."""
        return super().settings() | {"allow_initialisation": self.allow_initialisation}
