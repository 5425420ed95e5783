"""Checkpoints kept while a model is trained: a private run's, its paired twin's, anybody's.

Which steps are kept is a public schedule: it follows from the planned number of steps alone. The
states of a private run are released with it, so keeping them costs no privacy. Memory: each kept
state is a copy of the model's parameters and buffers on the CPU, 80 MB for twenty states of a
million float32 parameters; a sequence of one's own (``into``) may put them elsewhere. Neighbours:
:mod:`.trajectory` (what is made here), :mod:`equigrad.privacy.training` (who trains).
"""

from collections.abc import Callable, Mapping, MutableSequence, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from equigrad._validate import positive_int
from equigrad.errors import CheckpointError
from equigrad.privacy.accounting import ADD_OR_REMOVE_ONE
from equigrad.privacy.clipping import Flat
from equigrad.privacy.training import PairedTrainer, PrivateTrainer, PublicData, StepReport
from equigrad.valuation.trajectory import Origin, PrivateSteps, Trajectory

__all__ = ["CheckpointKeeper", "checkpoint_steps", "collect"]

State = Mapping[str, Tensor]


def checkpoint_steps(steps: int, checkpoints: int = 20) -> tuple[int, ...]:
    """Return the steps after which a state is kept: evenly spaced, the last one included.

    Parameters
    ----------
    steps
        Planned number of steps, at least 1.
    checkpoints
        States to keep, at least 1; with fewer steps than that, one after each.
    """
    positive_int("steps", steps)
    count = min(positive_int("checkpoints", checkpoints), steps)
    return tuple(int(step) for step in np.rint(np.arange(1, count + 1) * steps / count))


class CheckpointKeeper:
    """Keeps states of a model while a loop of the user's own trains it.

    Call it after every step of the optimiser (before a scheduler's)::

        keeper = CheckpointKeeper(model, optimizer, steps=500)
        for step in range(500):
            ...
            optimizer.step()
            keeper()
        trajectory = keeper.trajectory(loss, origin="public")

    Parameters
    ----------
    model
        The module that is trained.
    optimizer
        Of which the learning rate is read; none is known without it, or where parameter groups
        have different ones, or one is not above 0.
    steps, checkpoints
        See :func:`checkpoint_steps`.
    into
        Where states are appended, a list by default. It is read again through
        :class:`Trajectory`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        *,
        steps: int,
        checkpoints: int = 20,
        into: MutableSequence[State] | None = None,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.planned = steps
        self.schedule = checkpoint_steps(steps, checkpoints)
        self.states: MutableSequence[State] = [] if into is None else into
        if len(self.states):
            raise CheckpointError(
                f"Expected an empty sequence to keep states in, got one of {len(self.states)}."
            )
        self.steps: list[int] = []
        self.rates: list[float | None] = []
        self.steps_done = 0

    def __call__(self, rates: Sequence[float] | None = None) -> None:
        """Note that a step was made; keep the state if it is due.

        Parameters
        ----------
        rates
            The step's learning rate in each parameter group, if the optimiser does not show it
            any more.

        Raises
        ------
        CheckpointError
            If more steps are made than were planned: the last would not be among the states.
        """
        if self.steps_done >= self.planned:
            raise CheckpointError(
                f"Expected at most the planned {self.planned} steps, got one more. Plan for all "
                "steps, so that the last state is kept."
            )
        self.steps_done += 1
        if self.steps_done in self.schedule:
            self.keep(rates)

    def keep(self, rates: Sequence[float] | None = None) -> None:
        """Keep the state now, whatever the schedule says: after a loop that ended early.

        Does nothing if the state after this step was kept already, or no step was made.
        """
        if not self.steps_done or (self.steps and self.steps[-1] == self.steps_done):
            return
        self.states.append(
            {name: _copied(tensor) for name, tensor in self.model.state_dict().items()}
        )
        self.steps.append(self.steps_done)
        self.rates.append(_one_rate(self._shown() if rates is None else rates))

    def trajectory(
        self,
        loss: Callable[[Any, Any], Tensor],
        *,
        origin: Origin,
        **facts: Any,
    ) -> Trajectory:
        """Return what was kept.

        Parameters
        ----------
        loss
            ``loss(outputs, targets) -> (B,)``.
        origin
            What the model was trained on; only the user knows.
        facts
            Further facts of :class:`Trajectory`, such as ``private_steps``.

        Raises
        ------
        CheckpointError
            If nothing was kept.
        """
        rates = [rate for rate in self.rates if rate is not None]
        return Trajectory(
            self.model,
            self.states,
            loss,
            origin=origin,
            steps=tuple(self.steps),
            learning_rates=tuple(rates) if len(rates) == len(self.rates) else None,
            **{"optimizer": _name(self.optimizer), **facts},
        )

    def _shown(self) -> list[float]:
        groups = () if self.optimizer is None else self.optimizer.param_groups
        return [float(group["lr"]) for group in groups]


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


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)


def _one_rate(rates: Sequence[float]) -> float | None:
    """Return the learning rate if there is one, above 0."""
    found = set(rates)
    return found.pop() if len(found) == 1 and min(found) > 0 else None


def _name(optimizer: Optimizer | None) -> str | None:
    return None if optimizer is None else type(optimizer).__name__
