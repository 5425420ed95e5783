"""Inner products of a record's gradient with those of a validation set, never written out.

A score against the whole set is a product with one vector: the sum of the validation records'
gradients is taken once for each checkpoint, and every record's product with it comes from the
per-sample pass. Neighbours: :mod:`.tracin`, :mod:`.similarity`, which say what is summed and how
gradients are scaled; :mod:`equigrad.valuation.matrix`, which keeps the validation records apart.

One forward-mode product, ``jvp(theta -> (l_1..l_n), V)``, gives the same numbers without a
backward pass, and was measured against the pass with products: 512 records, one thread of a busy
machine, best of 25, in ms

    softmax regression 784-10        pass    .83   forward mode    .73
    784-256-10                       pass   7.6    forward mode  10.6
    784-3000-2500-10                 pass 585      forward mode 740
    two convolutions, two linear     pass 191      forward mode  77  (132 and 100 in another run)
    attention, 32 tokens             pass  57      forward mode: PyTorch has none for its fast path

It gains on convolutions only, loses on wide layers, and every other gradient scorer needs the pass
anyway, so the pass it is. The tests hold the two against each other.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from equigrad.gradients import PerSamplePass
from equigrad.valuation.base import State, StreamedScorer
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.scorers.averages import zeros
from equigrad.valuation.scorers.pairs import validation_visits
from equigrad.valuation.trajectory import Trajectory
from equigrad.valuation.visit import Visit

__all__ = ["Scale", "ValidationScorer", "validation_batches"]

Scale = Callable[[Tensor], Tensor]


class ValidationScorer(StreamedScorer):
    """``sum_t w_t mean_j <c(g_i) g_i, c(g_j) g_j>`` with weights w and scale factors c.

    The sign says what a step on record i does: positive lowers the validation loss.
    """

    orientation = "valuable"
    locality = "validation"
    needs = frozenset({"labels", "validation"})
    gradients = True

    def weight(self, visit: Visit) -> float:
        """Return w_t of a visit's checkpoint."""
        del visit
        return 1.0

    def scaling(self, trajectory: Trajectory) -> tuple[str, Scale]:
        """Return c as a function of ``(B,)`` norms, and a name by which equal ones are known."""
        del trajectory
        return "as they are", torch.ones_like

    def prepare(
        self,
        tables: dict[str, Any],
        model_pass: PerSamplePass,
        index: int,
        context: ScoringContext,
    ) -> None:
        """Take the mean scaled gradient of the validation set, once for all who scale alike."""
        name, scale = self.scaling(context.trajectory)
        key = f"validation gradient {name}"
        if key not in tables:
            tables[key] = scale, _mean_gradient(context, model_pass, index, scale)
        tables[f"validation gradient of {self.label}"] = tables[key]

    def begin(self, n: int, context: ScoringContext) -> dict[str, Tensor]:
        """Return one sum for each record."""
        return zeros(n, self.source(context), "sum")

    def visit(self, state: State, visit: Visit) -> None:
        """Add the products of a visit."""
        scale, mean = visit.tables[f"validation gradient of {self.label}"]
        factors = self.weight(visit) * scale(visit.norms)
        state["sum"][visit.rows] += factors * visit.finite("products", visit.grads.dots(mean))

    def values(self, state: State, context: ScoringContext) -> Tensor:
        """Return the sums."""
        del context
        return state["sum"]


def validation_batches(
    context: ScoringContext, model_pass: PerSamplePass, index: int
) -> Iterator[tuple[Visit, Tensor]]:
    """Yield the batches of the validation set with their ``(B,)`` gradient norms.

    Raises
    ------
    NonFiniteScoreError, DataError
        That say they speak of the validation set.
    """
    for batch in validation_visits(context, model_pass, index):
        yield batch, batch.norms


def _mean_gradient(
    context: ScoringContext, model_pass: PerSamplePass, index: int, scale: Scale
) -> dict[str, Tensor]:
    """Return the mean of the scaled gradients of the validation records by parameter name."""
    total: dict[str, Tensor] | None = None
    count = 0
    for batch, norms in validation_batches(context, model_pass, index):
        total = batch.grads.weighted_sum(scale(norms).to(batch.grads.norms.dtype), total)
        count += len(batch)
    return {name: tensor / count for name, tensor in (total or {}).items()}
