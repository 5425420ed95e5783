"""Scores against each validation record apart: the matrix whose row means the scorers give.

Neighbours: :mod:`.scoring` (one number for each record), :mod:`.scorers` (what is summed).
"""

import numpy as np
import torch
from torch import Tensor

from equigrad.errors import ConfigError, PrivacyViewError
from equigrad.gradients import PerSamplePass
from equigrad.valuation.base import Float64, Scorer, make_scorer
from equigrad.valuation.context import ScoringContext, scored_rows, validation_set
from equigrad.valuation.scorers.validating import ValidationScorer, validation_batches
from equigrad.valuation.trajectory import Trajectory
from equigrad.valuation.views import Local, View, as_view

__all__ = ["validation_matrix"]


def validation_matrix(
    trajectory: Trajectory,
    data: object,
    validation: object,
    scorer: Scorer | str = "tracin",
    *,
    view: View | str | None = None,
    batch_size: int = 512,
) -> Float64:
    """Return ``(n, m)`` scores of every record against every validation record.

    Parameters
    ----------
    trajectory
        The checkpoints. The model is left as it was found.
    data, validation
        n records to score and m to compare with, in the forms that
        :func:`~equigrad.valuation.score` takes.
    scorer
        ``"tracin"`` (``sum_t eta_t <g_i, g_j>``), ``"grad-dot"``, ``"grad-cos"``, or an instance;
        the mean over a row is the score that it gives the record.
    view
        ``"local"``: the matrix stays with the records' owner. There is no default.
    batch_size
        b, the records in one pass.

    Returns
    -------
    Float64
        Row i, column j.

    Raises
    ------
    PrivacyViewError
        If no view is given, or one that would release the matrix.
    TaintedScoresError
        If the model was trained on the records without privacy, unless for research.
    ConfigError
        If the scorer does not compare records with a validation set.
    NeedsError, CheckpointError, NonFiniteScoreError, DataError, ModelError
        As :func:`~equigrad.valuation.score`.

    Notes
    -----
    Memory: ``8 n m`` bytes for the result, one checkpoint beside the model, and two passes over b
    records each; nothing of size n x P. Time at each checkpoint: ``ceil(m / b)`` passes over the
    validation set, and as many passes over all records.
    """
    shown, made = as_view(view), make_scorer(scorer)
    if not isinstance(shown, Local):
        raise PrivacyViewError(
            f"Expected view='local' for a matrix of scores, got {shown.name!r}. Release the "
            "records' scores, one number each."
        )
    if not isinstance(made, ValidationScorer):
        raise ConfigError(
            "Expected a scorer that compares records with a validation set (tracin, grad-dot, "
            f"grad-cos), got {made.name!r}. Use score for the others."
        )
    context = ScoringContext(
        trajectory, scored_rows(data), validation=validation_set(validation), batch_size=batch_size
    )
    made.check(context)
    shown.check(made, context)
    return np.asarray(_matrix(made, context).cpu().numpy(), dtype=np.float64)


def _matrix(scorer: ValidationScorer, context: ScoringContext) -> Tensor:
    """Return the ``(n, m)`` sums over the checkpoints that the scorer chooses."""
    source = context.trajectory
    columns = 0 if context.validation is None else len(context.validation)
    total = torch.zeros(len(context), columns, dtype=torch.float64, device=source.device)
    with context.opened() as of_records:
        of_validation = PerSamplePass(of_records.model, source.loss, check=False)
        for index in scorer.chosen(len(source)):
            source.load(index)
            _add_products(total, scorer, context, index, (of_records, of_validation))
    return total


def _add_products(
    total: Tensor,
    scorer: ValidationScorer,
    context: ScoringContext,
    index: int,
    passes: tuple[PerSamplePass, PerSamplePass],
) -> None:
    """Add the weighted products at one checkpoint, a block of both sides at a time."""
    of_records, of_validation = passes
    _, scale = scorer.scaling(context.trajectory)
    for others, others_norms in validation_batches(context, of_validation, index):
        right = scale(others_norms)
        for visit in context.visits(of_records, index):
            left = scorer.weight(visit) * scale(visit.norms)
            products = visit.finite("products", visit.grads.gram(others.grads))
            total[visit.rows, others.rows] += left[:, None] * products * right
