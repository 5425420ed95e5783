"""What LESS and TRAK compute at one checkpoint from projected gradients.

Neighbours: :mod:`.projected`, the scorer, which adds the checkpoints up.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from equigrad.errors import ModelError
from equigrad.gradients import PerSamplePass
from equigrad.valuation.base import Bounds, Locality
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.scorers.pairs import validation_visits
from equigrad.valuation.scorers.projections import Change, Projection
from equigrad.valuation.trajectory import Trajectory
from equigrad.valuation.visit import Visit

__all__ = ["METHODS", "Comparison", "Less", "Method", "Trak"]

Comparison = Callable[[Visit], dict[str, Tensor]]
"""From a visit to ``(B, columns)`` terms by the name of the sum that they belong to."""


@dataclass(frozen=True)
class Method(ABC):
    """How projected gradients are compared.

    Attributes
    ----------
    damping
        Of a matrix that is inverted.
    sums
        Names of what is added up over checkpoints, with the number of columns; 0 means one for
        each validation record (or one for their mean).
    dimension
        The usual dimension of projections.
    """

    damping: float

    locality: ClassVar[Locality]
    needs: ClassVar[frozenset[str]]
    sums: ClassVar[Mapping[str, int]]
    dimension: ClassVar[int]
    classes_only: ClassVar[bool] = False
    gradients: ClassVar[bool] = False
    takes_moments: ClassVar[bool] = False

    @abstractmethod
    def comparison(
        self,
        context: ScoringContext,
        model_pass: PerSamplePass,
        index: int,
        *,
        project: Projection,
        change: Change | None,
        mean: bool,
    ) -> Comparison:
        """Return the comparison of records with the validation set, or with its mean.

        Checkpoint ``index`` is loaded, and the pass may be used.
        """

    @abstractmethod
    def combined(self, sums: Mapping[str, Tensor], count: Tensor) -> Tensor:
        """Return the scores from sums over ``count`` checkpoints, of the sums' shape."""

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return the public range."""
        del trajectory
        return None

    def warnings(self, context: ScoringContext, *, preconditioned: bool) -> list[str]:
        """Return what a reader must know."""
        del context, preconditioned
        return []


class Less(Method):
    """``eta_t cos(R Gamma_i, R g_j)``, 0 where a gradient is 0."""

    locality = "validation"
    needs = frozenset({"labels", "validation", "learning_rates"})
    sums: ClassVar[Mapping[str, int]] = {"sum": 0}
    dimension = 8192
    gradients = True
    takes_moments = True

    def comparison(
        self,
        context: ScoringContext,
        model_pass: PerSamplePass,
        index: int,
        *,
        project: Projection,
        change: Change | None,
        mean: bool,
    ) -> Comparison:
        """Return the comparison by cosines."""
        images = (
            _units(_image(visit, project))
            for visit in validation_visits(context, model_pass, index)
        )
        targets = _targets(images, mean=mean)

        def compare(visit: Visit) -> dict[str, Tensor]:
            cosines = _units(_image(visit, project, change)) @ targets
            return {"sum": (visit.learning_rate or 0.0) * cosines.clamp(-1, 1)}

        return compare

    def combined(self, sums: Mapping[str, Tensor], count: Tensor) -> Tensor:
        """Return the sums."""
        del count
        return sums["sum"]

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return plus and minus the sum of learning rates, if they are known."""
        if trajectory.learning_rates is None:
            return None
        total = sum(trajectory.learning_rates)
        return (-total, total)

    def warnings(self, context: ScoringContext, *, preconditioned: bool) -> list[str]:
        """Say which training gradient was compared."""
        if preconditioned:
            return []
        optimizer = context.trajectory.optimizer or "an unknown optimiser"
        return [f"compared plain gradients (trained by {optimizer}): no moments of Adam were given"]


class Trak(Method):
    """``phi_j' (Phi' Phi + ridge)^-1 phi_i`` and ``1 - p_i``; images of the margins' gradients."""

    locality = "pooled"
    needs = frozenset({"labels", "validation"})
    sums: ClassVar[Mapping[str, int]] = {"sum": 0, "doubt": 1}
    dimension = 512
    classes_only = True

    def comparison(
        self,
        context: ScoringContext,
        model_pass: PerSamplePass,
        index: int,
        *,
        project: Projection,
        change: Change | None,
        mean: bool,
    ) -> Comparison:
        """Return the comparison by the inverse of the records' own images."""
        del change
        margins = PerSamplePass(model_pass.model, _log_odds, check=False)

        theirs = (
            _image(visit, project)
            for visit in validation_visits(context, margins, index, gradients=False)
        )
        targets = _targets(theirs, mean=mean)
        square = torch.zeros(len(targets), len(targets), dtype=targets.dtype, device=targets.device)
        for visit in context.visits(margins, index, gradients=False):
            _ = visit.own  # says so if a label is no class
            image = _image(visit, project)
            square += image.mT @ image
        targets = self._solved(square, targets)

        def compare(visit: Visit) -> dict[str, Tensor]:
            doubt = 1 - visit.probabilities[visit.own]
            own = Visit(margins, visit.inputs, visit.labels, index=index, start=visit.start)
            return {"sum": _image(own, project) @ targets, "doubt": doubt[:, None]}

        return compare

    def combined(self, sums: Mapping[str, Tensor], count: Tensor) -> Tensor:
        """Return the product of the two means."""
        return (sums["sum"] / count) * (sums["doubt"] / count)

    def _solved(self, square: Tensor, targets: Tensor) -> Tensor:
        """Return ``(Phi' Phi + ridge)^-1`` times the targets."""
        ridge = self.damping * square.diagonal().mean()
        if not bool(square.any()):
            return torch.zeros_like(targets)
        square.diagonal().add_(ridge)
        factor, info = torch.linalg.cholesky_ex(square)
        if int(info):
            raise ModelError(
                f"Expected Phi' Phi of {len(square)} dimensions to have an inverse, got a singular "
                "matrix. Take a damping above 0, or a dimension below the number of records."
            )
        return torch.cholesky_solve(targets, factor)


METHODS: Final[Mapping[str, type[Method]]] = {"less": Less, "trak": Trak}
"""The methods by name."""


def _image(visit: Visit, project: Projection, change: Change | None = None) -> Tensor:
    """Return the ``(B, k)`` projections of a visit's gradients, all of them finite."""
    _ = visit.norms  # says so if one is not finite
    return visit.finite("gradients", project(visit.grads, change))


def _units(images: Tensor) -> Tensor:
    """Return rows of length 1, or 0 where there is no direction."""
    lengths = torch.linalg.vector_norm(images, dim=1, keepdim=True)
    return torch.where(lengths == 0, 0, images / torch.where(lengths == 0, 1, lengths))


def _targets(images: Iterator[Tensor], *, mean: bool) -> Tensor:
    """Return ``(k, m)`` images as columns, or ``(k, 1)`` their mean."""
    if not mean:
        return torch.cat(list(images)).mT.contiguous()
    total: Tensor | None = None
    count = 0
    for part in images:
        total = part.sum(0) if total is None else total + part.sum(0)
        count += len(part)
    if total is None:
        raise ValueError("Expected at least one validation record, got none.")
    return (total / count)[:, None]


def _log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``log(p_y / (1 - p_y)) = z_y - log sum_{k != y} exp z_k``, ``(B,)``."""
    labels = labels.long()
    own = torch.nn.functional.one_hot(labels, logits.shape[1]).bool()
    rest = torch.logsumexp(logits.masked_fill(own, -torch.inf), dim=1)
    return logits.gather(1, labels[:, None])[:, 0] - rest
