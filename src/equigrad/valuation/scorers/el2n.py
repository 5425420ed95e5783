"""How far the predicted probabilities are from the label: EL2N, its mean, and the 1-norm.

With ``e = softmax(z) - onehot(y)``. Source: Paul, Ganguli, Dziugaite 2021 (arXiv 2107.07075);
section 3.1 of the specification for the 1-norm and the mean over a trajectory.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from equigrad._validate import choice
from equigrad.errors import CheckpointError, ConfigError
from equigrad.valuation.base import SCORERS, Bounds
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.scorers.averages import AveragingScorer, LastCheckpoint
from equigrad.valuation.scorers.ensembles import Ensembled
from equigrad.valuation.scorers.initialisation import TrainedOnly
from equigrad.valuation.trajectory import Trajectory
from equigrad.valuation.visit import Visit

__all__ = ["EL1", "EL2N", "EL2NMean"]


def errors_of(visit: Visit) -> Tensor:
    """Return ``(B, K)`` probabilities less the one-hot label."""
    return visit.probabilities - visit.own.double()


class _ErrorNorm(AveragingScorer):
    """``||e_i||_2``, in [0, sqrt 2]."""

    orientation = "harder"
    classes_only = True

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return (0, sqrt 2)."""
        del trajectory
        return (0.0, math.sqrt(2))

    def measure(self, visit: Visit) -> Tensor:
        """Return the norms of the errors."""
        return errors_of(visit).square().sum(dim=1).sqrt()


@SCORERS.register("el2n")
class EL2N(_ErrorNorm, TrainedOnly):
    """``||e_i||_2`` at one checkpoint, in [0, sqrt 2].

    Parameters
    ----------
    at
        Number of the checkpoint, negative ones from the end; the last by default.
    allow_initialisation
        Score a model of step 0 with a warning, instead of refusing it.

    Raises
    ------
    CheckpointError
        If there is no checkpoint ``at``, or it is the initial model.
    """

    name = "el2n"

    def __init__(self, at: int = -1, *, allow_initialisation: bool = False) -> None:
        if isinstance(at, bool) or not isinstance(at, int):
            raise ConfigError(f"Expected at to be a checkpoint's whole number, got at={at!r}.")
        self.at, self.allow_initialisation = at, allow_initialisation

    def settings(self) -> dict[str, Any]:
        """Return the checkpoint's number and what is allowed."""
        return {"at": self.at, "allow_initialisation": self.allow_initialisation}

    def chosen(self, count: int) -> Sequence[int]:
        """Return the one checkpoint, none if there are too few."""
        index = self.at if self.at >= 0 else count + self.at
        return [index] if 0 <= index < count else []

    def check(self, context: ScoringContext) -> None:
        """Refuse what :class:`TrainedOnly` refuses, and a checkpoint that is not there."""
        have = len(self.source(context))
        if not self.chosen(have):
            raise CheckpointError(
                f"Expected checkpoint at={self.at} for the scorer 'el2n', got {have} checkpoints. "
                "Choose one of them."
            )
        super().check(context)


@SCORERS.register("el2n-mean")
class EL2NMean(_ErrorNorm, Ensembled):
    """The mean of ``||e_i||_2`` over the checkpoints or over an ensemble, in [0, sqrt 2].

    Parameters
    ----------
    over
        ``"checkpoints"`` or ``"ensemble"``: what is averaged.
    allow_initialisation
        Score an ensemble of step 0 with a warning, instead of refusing it.

    Raises
    ------
    NeedsError
        If an ensemble is to be averaged and there is none.
    CheckpointError
        If there are fewer than two checkpoints or models, or a model of the ensemble is at step 0.
        The initial model among a training's checkpoints is one of many, and only warned of.
    """

    name = "el2n-mean"
    least_checkpoints = 2

    def __init__(
        self,
        over: Literal["checkpoints", "ensemble"] = "checkpoints",
        *,
        allow_initialisation: bool = False,
    ) -> None:
        choice("over", over, ("checkpoints", "ensemble"))
        self.over, self.allow_initialisation = over, allow_initialisation
        self.needs = frozenset({"labels", "ensemble"} if over == "ensemble" else {"labels"})

    @property
    def refuses_start(self) -> bool:
        """Whether a checkpoint of step 0 is refused: in an ensemble all of them would be."""
        return self.over == "ensemble" and not self.allow_initialisation

    def settings(self) -> dict[str, Any]:
        """Return what is averaged and what is allowed."""
        return {"over": self.over, "allow_initialisation": self.allow_initialisation}


@SCORERS.register("el1")
class EL1(LastCheckpoint):
    """``||e_i||_1 = 2 (1 - p_y)`` at the last checkpoint, in [0, 2]."""

    name = "el1"
    orientation = "harder"
    classes_only = True

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return (0, 2)."""
        del trajectory
        return (0.0, 2.0)

    def measure(self, visit: Visit) -> Tensor:
        """Return the sums of the absolute errors."""
        return errors_of(visit).abs().sum(dim=1)
