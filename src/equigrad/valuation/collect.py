"""Checkpoints of a private training, or of its paired twin, kept while it runs to its end.

The states of a private run are released with it, so keeping them costs no privacy; which ones are
kept is a public schedule. Memory: one copy of the model's state for each checkpoint (see
:mod:`.keeper`, which also serves a loop of one's own). Neighbours: :mod:`.trajectory` (what is
made here), :mod:`equigrad.privacy.training` (who trains).
"""

from collections.abc import MutableSequence, Sequence

from equigrad.errors import CheckpointError
from equigrad.privacy.accounting import ADD_OR_REMOVE_ONE
from equigrad.privacy.clipping import Flat
from equigrad.privacy.training import PairedTrainer, PrivateTrainer, PublicData, StepReport
from equigrad.valuation.keeper import CheckpointKeeper, State
from equigrad.valuation.trajectory import PrivateSteps, Trajectory

__all__ = ["collect"]


def collect(
    trainer: PrivateTrainer | PairedTrainer,
    checkpoints: int = 20,
    *,
    into: MutableSequence[State] | None = None,
) -> Trajectory:
    """Train to the end and return the states met on the way.

    Parameters
    ----------
    trainer
        A private run or its paired twin, begun or not. Of a run that was begun before, the steps
        still to be made are divided evenly; what its earlier states were is gone.
    checkpoints
        States to keep; one more if early stopping ends the run between two of them.
    into
        Where states are appended, a list by default; after an error it holds what was met so far.

    Returns
    -------
    Trajectory
        Origin ``"private"``, with the events charged so far, and ``private_steps`` where they say
        what a record spends: a flat rule, no cut batches, no paid looks, no selection in which
        other records change with it. Origin ``"unprotected"`` for a twin and for a run without
        noise. ``seeded`` if the noise came from a seed.

    Raises
    ------
    CheckpointError
        If no step is left to be made.
    BudgetExceededError, ModelError, PrivacyError
        As ``trainer.step()``; what was charged stays charged.
    """
    if isinstance(trainer, PairedTrainer):
        return _collect_paired(trainer, checkpoints, into)
    keeper, before = _keeper(trainer, trainer.settings.steps, checkpoints, into)
    if trainer.finished:
        raise CheckpointError("Expected a run with steps to make, got one that was stopped early.")
    last: list[Sequence[float]] = []
    others = trainer.progress

    def told(report: StepReport) -> None:
        last[:] = [report.learning_rates]
        keeper(report.learning_rates)
        if others is not None:
            others(report)

    trainer.progress = told
    try:
        trainer.train()
    finally:
        trainer.progress = others
    keeper.keep(last[0])
    keeper.steps = [before + step for step in keeper.steps]
    return keeper.trajectory(
        trainer.loss,
        origin="unprotected" if trainer.event is None else "private",
        private_steps=_private_steps(trainer),
        events=tuple(trainer.events),
        seeded=not trainer.private,
    )


def _collect_paired(
    trainer: PairedTrainer, checkpoints: int, into: MutableSequence[State] | None
) -> Trajectory:
    keeper, before = _keeper(trainer, trainer.planned, checkpoints, into)
    for _ in range(keeper.planned):
        rates = [float(group["lr"]) for group in trainer.optimizer.param_groups]
        trainer.step()
        keeper(rates)
    keeper.steps = [before + step for step in keeper.steps]
    return keeper.trajectory(trainer.loss, origin="unprotected")


def _keeper(
    trainer: PrivateTrainer | PairedTrainer,
    planned: int,
    checkpoints: int,
    into: MutableSequence[State] | None,
) -> tuple[CheckpointKeeper, int]:
    """Return a keeper for the steps that are left, and the number made before."""
    before = trainer.steps_done
    if before >= planned:
        raise CheckpointError(
            f"Expected a run with steps to make, got one after all {planned}. Collect from its "
            "beginning."
        )
    keeper = CheckpointKeeper(
        trainer.model,
        trainer.optimizer,
        steps=planned - before,
        checkpoints=checkpoints,
        into=into,
    )
    return keeper, before


def _private_steps(trainer: PrivateTrainer) -> PrivateSteps | None:
    """Return the constants by which a record's spending follows from its gradient's norm."""
    rule, settings = trainer.rule, trainer.settings
    unpaid = trainer.stopping is None or isinstance(trainer.stopping, PublicData)
    plain = isinstance(rule, Flat) and settings.max_logical_batch is None
    # Elsewhere a record also moves what others contribute: its own norms are not all it spends.
    alone = settings.neighbouring == ADD_OR_REMOVE_ONE and settings.stability == 1
    if not (unpaid and plain and alone) or trainer.event is None:
        return None
    return PrivateSteps(
        clip=rule.sensitivity,
        noise_multiplier=settings.noise_multiplier,
        steps=trainer.steps_done,
        delta=settings.delta,
        sampling_rate=settings.sampling_rate,
    )
