"""Comparisons of projected gradients: LESS and TRAK.

Sources: LESS, Xia et al. 2024 (arXiv 2402.04333): ``sum_t eta_t cos(R Gamma_i, R g_j)``; TRAK,
Park et al. 2023 (arXiv 2303.14186): ``phi_j' (Phi' Phi)^-1 phi_i (1 - p_i)``. Both after section
3.5 of the specification, which gives them from memory of the papers. Neighbours:
:mod:`.projections` (R), :mod:`.methods` (what the two compute at one checkpoint).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from equigrad._validate import choice, in_range, positive_int
from equigrad.errors import CheckpointError, ConfigError
from equigrad.gradients import PerSamplePass
from equigrad.valuation.base import SCORERS, Bounds, Float64, State, StreamedScorer
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.scorers.adam import AdamMoments
from equigrad.valuation.scorers.methods import METHODS, Method
from equigrad.valuation.scorers.pairs import PairScorer, validation_rows
from equigrad.valuation.scorers.projections import PROJECTIONS, projection
from equigrad.valuation.trajectory import Trajectory
from equigrad.valuation.visit import Visit

__all__ = ["Projected"]


@SCORERS.register("projected")
class Projected(PairScorer, StreamedScorer):
    """LESS or TRAK over the checkpoints, averaged over the validation set.

    Parameters
    ----------
    method
        ``"less"``: ``sum_t eta_t cos(R Gamma_i, R g_j)``, of locality ``validation`` and within
        ``sum_t eta_t``. ``"trak"``: with ``f = log(p_y / (1 - p_y))`` and ``phi = R grad f``,
        ``phi_j' (Phi' Phi)^-1 phi_i`` times ``1 - p_i``, each factor averaged over the
        checkpoints, which stand for its models; of locality ``pooled``.
    projection
        ``"kron"``: both sides of each layer's gradient; ``"dense"``: all parameters at once, for
        small models.
    dimension
        Numbers to project to; by default 8192 for LESS, 512 for TRAK, which keeps a matrix of the
        square.
    damping
        TRAK: added to the diagonal of ``Phi' Phi``, in units of its mean eigenvalue, >= 0. With
        fewer records than dimensions the matrix has no inverse; 0 is the published form.
    moments
        LESS: Adam's state at each checkpoint; Gamma_i is then the step that record i alone would
        lead to. Without it Gamma_i is the plain gradient of SGD. Not JSON, and so no part of the
        settings.

    Notes
    -----
    The projection is drawn by the context's seed, the same for all checkpoints and all sizes of
    batches. With ``moments``, or a dense projection, gradients of a few records at a time are
    written out, as many as fit the pass's workspace.
    """

    name = "projected"

    def __init__(
        self,
        method: str = "less",
        projection: str = "kron",
        dimension: int | None = None,
        damping: float = 0.1,
        moments: Sequence[AdamMoments] | None = None,
    ) -> None:
        self.method = choice("method", method, METHODS)
        self.projection = choice("projection", projection, PROJECTIONS)
        self.damping = in_range("damping", damping, 0, 1e6)
        self._method: Method = METHODS[method](self.damping)
        self.dimension = None if dimension is None else positive_int("dimension", dimension)
        if moments is not None and not self._method.takes_moments:
            raise ConfigError(
                f"Expected moments only with method='less', got them with {method!r}. Leave them "
                "out."
            )
        self.moments = moments
        self.locality = self._method.locality
        self.needs = self._method.needs
        self.classes_only = self._method.classes_only
        self.gradients = self._method.gradients

    def settings(self) -> dict[str, Any]:
        """Return method, projection, dimension and damping."""
        return {
            "method": self.method,
            "projection": self.projection,
            "dimension": self.dimension,
            "damping": self.damping,
        }

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return plus and minus the sum of learning rates for LESS, None for TRAK."""
        return self._method.bounds(trajectory)

    def warnings(self, context: ScoringContext) -> list[str]:
        """Say which training gradient was compared."""
        return self._method.warnings(context, preconditioned=self.moments is not None)

    def check(self, context: ScoringContext) -> None:
        """Refuse also moments that do not fit the checkpoints, and a projection that is too big."""
        super().check(context)
        source = self.source(context)
        self._projection(context, source)
        if self.moments is None:
            return
        if len(self.moments) != len(source):
            raise CheckpointError(
                f"Expected Adam's moments for each of {len(source)} checkpoints, got "
                f"{len(self.moments)}. Take them when a checkpoint is taken."
            )
        shapes = _shapes(source)
        for k, one in enumerate(self.moments):
            wrong = [n for n, s in shapes.items() if n not in one.first or one.first[n].shape != s]
            if wrong:
                raise CheckpointError(
                    f"Expected Adam's moments of checkpoint {k} to have the parameters' names and "
                    f"shapes, got others for {wrong[0]!r} ({len(wrong)} differ). Take them of the "
                    "model's own optimiser."
                )

    def prepare(
        self,
        tables: dict[str, Any],
        model_pass: PerSamplePass,
        index: int,
        context: ScoringContext,
    ) -> None:
        """Project the validation set, and for TRAK all records."""
        if self._key not in tables:
            tables[self._key] = self._comparison(model_pass, index, context, mean=True)

    def begin(self, n: int, context: ScoringContext) -> dict[str, Tensor]:
        """Return the method's sums, one of each for every record."""
        device = self.source(context).device
        names = [*self._method.sums, "count"]
        return {name: torch.zeros(n, dtype=torch.float64, device=device) for name in names}

    def visit(self, state: State, visit: Visit) -> None:
        """Add what a visit gives."""
        for name, terms in visit.tables[self._key](visit).items():
            state[name][visit.rows] += visit.finite("scores", terms[:, 0])
        state["count"][visit.rows] += 1

    def values(self, state: State, context: ScoringContext) -> Tensor:
        """Return the scores."""
        del context
        return self._method.combined(state, state["count"])

    def matrix(self, context: ScoringContext) -> Float64:
        """Return the ``(n, m)`` numbers of all pairs."""
        self.check(context)
        source = self.source(context)
        n, m, device = len(context), len(validation_rows(context)), source.device
        sums = {
            name: torch.zeros(n, columns if columns else m, dtype=torch.float64, device=device)
            for name, columns in self._method.sums.items()
        }
        chosen = self.chosen(len(source))
        for index in chosen:
            with context.opened(source) as model_pass:
                source.load(index)
                compare = self._comparison(model_pass, index, context, mean=False)
                for visit in context.visits(
                    model_pass, index, trajectory=source, gradients=self.gradients
                ):
                    for name, terms in compare(visit).items():
                        sums[name][visit.rows] += visit.finite("scores", terms)
        count = torch.full((n, 1), float(len(chosen)), dtype=torch.float64, device=device)
        return self._method.combined(sums, count).cpu().numpy()

    @property
    def _key(self) -> str:
        return f"projected {id(self)}"

    def _projection(self, context: ScoringContext, source: Trajectory) -> Any:
        dimension = self.dimension or self._method.dimension
        return projection(self.projection, _shapes(source), dimension, context.seed)

    def _comparison(
        self, model_pass: PerSamplePass, index: int, context: ScoringContext, *, mean: bool
    ) -> Any:
        change = None if self.moments is None else self.moments[index].changes()
        project = self._projection(context, self.source(context))
        return self._method.comparison(
            context, model_pass, index, project=project, change=change, mean=mean
        )


def _shapes(source: Trajectory) -> dict[str, torch.Size]:
    """Return the trainable parameters' shapes by name."""
    return {name: p.shape for name, p in source.model.named_parameters() if p.requires_grad}
