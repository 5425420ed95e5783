"""The doors to PLIS maps: all of them at once, or a batch at a time.

A map has the shape of the records' input, so all of them together are as large as the data.
Neighbours: :mod:`.maps` (what a map is), :mod:`.views` (who may see it).
"""

from collections.abc import Callable, Iterator

import numpy as np

from equigrad._validate import choice, positive
from equigrad.errors import CheckpointError, NeedsError, PrivacyViewError
from equigrad.valuation.context import ScoringContext, scored_rows
from equigrad.valuation.maps import MAP_KINDS, MapKind, PlisMap, PlisTerms, map_of
from equigrad.valuation.scorers.plis import Plis
from equigrad.valuation.trajectory import Trajectory
from equigrad.valuation.views import Local, View, as_view

__all__ = ["plis_map", "plis_maps"]


def plis_map(
    trajectory: Trajectory,
    data: object,
    *,
    checkpoint: int = -1,
    kind: MapKind = "norm",
    clip: float | None = None,
    noise_multiplier: float | None = None,
    clipped_zero: bool = False,
    share: bool = False,
    view: View | str | None = None,
    batch_size: int = 512,
    progress: Callable[[int, int], None] | None = None,
) -> PlisMap:
    """Return the maps of all records; they take as much memory as the data in float64.

    For parameters and errors see :func:`plis_maps`, which holds one batch at a time.
    """
    parts = list(
        plis_maps(
            trajectory,
            data,
            checkpoint=checkpoint,
            kind=kind,
            clip=clip,
            noise_multiplier=noise_multiplier,
            clipped_zero=clipped_zero,
            share=share,
            view=view,
            batch_size=batch_size,
            progress=progress,
        )
    )
    return PlisMap(
        maps=np.concatenate([part.maps for part in parts]),
        norms=np.concatenate([part.norms for part in parts]),
        clipped=np.concatenate([part.clipped for part in parts]),
        degenerate=np.concatenate([part.degenerate for part in parts]),
        terms=parts[0].terms,
    )


def plis_maps(
    trajectory: Trajectory,
    data: object,
    *,
    checkpoint: int = -1,
    kind: MapKind = "norm",
    clip: float | None = None,
    noise_multiplier: float | None = None,
    clipped_zero: bool = False,
    share: bool = False,
    view: View | str | None = None,
    batch_size: int = 512,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[PlisMap]:
    """Return an iterator over the maps of the records, a batch at a time, in their order.

    Until the iterator ends, or is closed, the model holds the checkpoint; then it is put back as
    it was found.

    Parameters
    ----------
    trajectory
        The checkpoints.
    data
        The records: ``(inputs, labels)``, a map-style ``Dataset``, a ``DataLoader`` or any other
        iterable of batches.
    checkpoint
        Number of the checkpoint, from the end if negative; the last one by default.
    kind
        ``"norm"``: ``J_i = d ||g_i||_2 / dx``; ``"rho"``: ``||g_i|| J_i / (s^2 C^2)``.
    clip, noise_multiplier
        C > 0 and s > 0 (the noise on a step's sum has standard deviation ``s C``); by default
        those of the trajectory's private steps.
    clipped_zero
        Give the maps of ``min(||g_i||, C)``, which are exactly 0 for clipped records. By default
        they are those of the unclipped norm, with clipped records marked.
    share
        Give ``|J_ij| / sum_j |J_ij|`` in place of slopes.
    view
        ``"local"``: maps never leave the records' owner. There is no default.
    batch_size
        Records in one pass.
    progress
        Called with (records done, records in all).

    Raises
    ------
    PrivacyViewError
        If no view is given, or one other than local.
    TaintedScoresError
        If the model was trained on the records without privacy, but for research.
    NeedsError
        If C or s is needed and unknown.
    CheckpointError
        If there is no such checkpoint.
    ModelError, DataError, NonFiniteScoreError
        For a model or records that have no such maps.

    Notes
    -----
    Guarantee: a record's map does not depend on other records, nor on ``batch_size``; no NaN.
    Source: section 3.3 of the specification, derived from arXiv 2211.10173 (abstract).
    """
    shown = as_view(view)
    choice("kind", kind, MAP_KINDS)
    context = ScoringContext(trajectory, scored_rows(data), batch_size=batch_size)
    Plis().check(context)
    shown.check(Plis(), context)
    if not isinstance(shown, Local):
        raise PrivacyViewError(
            f"Expected view='local' for maps, got {shown.name!r}: a map is no score and has no "
            "public bounds to be released under. Release scores instead."
        )
    index = _index(trajectory, checkpoint)
    bound, noise = _constants(trajectory, clip, noise_multiplier)
    if (bound is None and (clipped_zero or kind == "rho")) or (noise is None and kind == "rho"):
        raise NeedsError(
            "Expected clip (and noise_multiplier for kind='rho') or a trajectory with "
            f"private_steps, got clip={bound} and noise_multiplier={noise}. Give what is missing."
        )
    terms = PlisTerms(
        kind=kind,
        share=share,
        clipped_zero=clipped_zero,
        clip=bound,
        noise_multiplier=noise,
        origin=trajectory.origin,
        checkpoint=trajectory.identity(index),
    )
    return _walk(context, index, terms, progress)


def _walk(
    context: ScoringContext,
    index: int,
    terms: PlisTerms,
    progress: Callable[[int, int], None] | None,
) -> Iterator[PlisMap]:
    """Yield the maps of one batch after another."""
    with context.opened() as model_pass:
        context.trajectory.load(index)
        for visit in context.visits(model_pass, index, gradients=False, tables={}):
            yield map_of(visit, terms)
            if progress is not None:
                progress(visit.start + len(visit), len(context))


def _constants(
    trajectory: Trajectory, clip: float | None, noise_multiplier: float | None
) -> tuple[float | None, float | None]:
    """Return C and s: those given, else those of the training, else None."""
    known = trajectory.private_steps
    bound = known.clip if clip is None and known is not None else clip
    noise = (
        known.noise_multiplier
        if noise_multiplier is None and known is not None
        else noise_multiplier
    )
    return (
        None if bound is None else positive("clip", bound),
        None if noise is None else positive("noise_multiplier", noise),
    )


def _index(trajectory: Trajectory, checkpoint: int) -> int:
    count = len(trajectory)
    if not -count <= checkpoint < count:
        raise CheckpointError(
            f"Expected a checkpoint in {-count}..{count - 1}, got {checkpoint} of {count}."
        )
    return checkpoint % count
