"""TracIn: what the steps of plain SGD on a record did to the loss of itself and of others.

Source: Pruthi et al. 2020 (arXiv 2002.08484), in the form that sums over checkpoints; section 3.1
of the specification for the clipped form, which gives a public range.
"""

import math
from typing import Any

from torch import Tensor

from equigrad._validate import positive
from equigrad.errors import ConfigError, NeedsError
from equigrad.valuation.base import SCORERS, Bounds, State, StreamedScorer
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.scorers.averages import zeros
from equigrad.valuation.scorers.validating import Scale, ValidationScorer
from equigrad.valuation.trajectory import Trajectory
from equigrad.valuation.visit import Visit

__all__ = ["TracIn", "TracInSelf"]


@SCORERS.register("tracin-self")
class TracInSelf(StreamedScorer):
    """``sum_t eta_t ||g_i||^2``: what training on a record did to its own loss.

    Parameters
    ----------
    clip
        C > 0: norms count up to C, which gives the score the public range
        ``[0, C^2 sum_t eta_t]``. None for plain norms, whose range [0, inf) has to be cut before
        a release.

    Raises
    ------
    NeedsError
        If the trajectory does not say its learning rates.
    """

    name = "tracin-self"
    orientation = "harder"
    needs = frozenset({"labels", "learning_rates"})
    gradients = True

    def __init__(self, clip: float | None = None) -> None:
        self.clip = None if clip is None else positive("clip", clip)

    def settings(self) -> dict[str, Any]:
        """Return the clip bound."""
        return {"clip": self.clip}

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return (0, C^2 sum_t eta_t), or (0, inf) without a clip bound."""
        return (0.0, math.inf if self.clip is None else _largest(self.clip, trajectory))

    def warnings(self, context: ScoringContext) -> list[str]:
        """Return that the form is that of SGD, for checkpoints of another optimiser."""
        return _warnings(self.name, context)

    def begin(self, n: int, context: ScoringContext) -> dict[str, Tensor]:
        """Return one sum for each record."""
        return zeros(n, self.source(context), "sum")

    def visit(self, state: State, visit: Visit) -> None:
        """Add the squared norms of a visit."""
        norms = visit.norms if self.clip is None else visit.norms.clamp(max=self.clip)
        state["sum"][visit.rows] += _rate(visit) * norms.square()

    def values(self, state: State, context: ScoringContext) -> Tensor:
        """Return the sums."""
        del context
        return state["sum"]


@SCORERS.register("tracin")
class TracIn(ValidationScorer):
    """``mean_j sum_t eta_t <g_i, g_j>`` over the validation records j; positive lowers their loss.

    Parameters
    ----------
    clipped
        Multiply every gradient, on both sides, by ``min(1, C / ||g||)``; gives the score the
        public range ``+-C^2 sum_t eta_t``.
    clip
        C > 0; given alone it means ``clipped`` too. By default the bound that the private
        training clipped to (``Trajectory.private_steps``).

    Raises
    ------
    NeedsError
        Without learning rates or validation set, or if C is needed and not known.
    """

    name = "tracin"
    needs = frozenset({"labels", "validation", "learning_rates"})

    def __init__(self, clipped: bool = False, clip: float | None = None) -> None:
        if not isinstance(clipped, bool):
            raise ConfigError(f"Expected clipped to be True or False, got clipped={clipped!r}.")
        self.clip = None if clip is None else positive("clip", clip)
        self.clipped = clipped or clip is not None
        if self.clipped and clip is None:
            self.needs = self.needs | {"private_steps"}

    def settings(self) -> dict[str, Any]:
        """Return whether gradients are clipped, and to what."""
        return {"clipped": self.clipped, "clip": self.clip}

    def check(self, context: ScoringContext) -> None:
        """Refuse to clip to a bound that nobody has said."""
        if self.clipped and self._bound(context.trajectory) is None:
            raise NeedsError(
                "Expected a clip bound for the scorer 'tracin' with clipped=True, got none: "
                "neither clip= nor the constants of a private training. Give clip=."
            )
        super().check(context)

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return the range of clipped gradients' products, None for gradients as they are."""
        bound = self._bound(trajectory)
        if bound is None:
            return None
        largest = _largest(bound, trajectory)
        return (-largest, largest)

    def warnings(self, context: ScoringContext) -> list[str]:
        """Return that the form is that of SGD, for checkpoints of another optimiser."""
        return _warnings(self.name, context)

    def weight(self, visit: Visit) -> float:
        """Return the learning rate."""
        return _rate(visit)

    def scaling(self, trajectory: Trajectory) -> tuple[str, Scale]:
        """Return the clip factors, 1 for gradients as they are."""
        bound = self._bound(trajectory)
        if bound is None:
            return super().scaling(trajectory)
        # A norm of 0 gives a factor of infinity before the minimum, 1 after it.
        return f"clipped to {bound!r}", lambda norms: (bound / norms).clamp(max=1)

    def _bound(self, trajectory: Trajectory) -> float | None:
        """Return C, None if nothing is clipped or nobody has said it."""
        if not self.clipped or self.clip is not None:
            return self.clip
        steps = trajectory.private_steps
        return None if steps is None else steps.clip


def _rate(visit: Visit) -> float:
    """Return the learning rate, which was asked for before any visit."""
    return 1.0 if visit.learning_rate is None else visit.learning_rate


def _largest(clip: float, trajectory: Trajectory) -> float:
    """Return ``C^2 sum_t eta_t``."""
    return clip**2 * math.fsum(trajectory.learning_rates or ())


def _warnings(name: str, context: ScoringContext) -> list[str]:
    optimizer = context.trajectory.optimizer or ""
    if "adam" not in optimizer.lower():
        return []
    return [
        f"{name} is the form of plain SGD, and the checkpoints were trained with {optimizer}: "
        "products of plain gradients say less of its steps (arXiv 2602.00329)"
    ]
