"""Diagnostics of single steps, such that a resumed training finds the same as an unbroken one.

:class:`equigrad.fairness.Diagnostics` keeps a generator and a growing series; here every observed
step has a generator of its own, keyed by seed and step, and hands its numbers on at once.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from equigrad.fairness import Diagnostics
from equigrad.federation.party.spec import Records
from equigrad.federation.streams import stream_seed
from equigrad.gradients import PerSampleGradients
from equigrad.steward.groups import Groups

__all__ = ["StepDiagnostics"]

_ROWS_PER_GROUP = 500
_PROBES = 20


class StepDiagnostics:
    """Watches every so many steps of a trainer; what it finds is not private.

    Parameters
    ----------
    loss
        ``(outputs, targets) -> (B,)``.
    train, groups
        The training records and their groups.
    every
        Steps between observations; step 0 is observed.
    seed
        Draws the sample of at most 500 records of each group, and the probes of the trace.
    """

    def __init__(
        self, loss: nn.Module, train: Records, groups: Groups, *, every: int, seed: int
    ) -> None:
        self.every = every
        self._loss, self._train, self._groups, self._seed = loss, train, groups, seed
        self._current: Diagnostics | None = None
        self._found: list[tuple[int, dict[str, Any]]] = []

    def due(self, step: int) -> bool:
        """Return whether step ``step`` (counted from 0) is observed."""
        if step % self.every:
            return False
        self._current = Diagnostics(
            self._loss,
            self._train.features,
            self._train.labels,
            self._groups.train,
            names=self._groups.names,
            every=self.every,
            rows_per_group=_ROWS_PER_GROUP,
            probes=_PROBES,
            seed=stream_seed(self._seed, "diagnostics", round_=step) >> 1,
        )
        return True

    def observe(self, grads: PerSampleGradients, weights: Tensor, groups: Tensor) -> None:
        """Take one physical chunk of the step's batch."""
        if self._current is not None:
            self._current.observe(grads, weights, groups)

    def close(
        self,
        step: int,
        model: nn.Module,
        *,
        learning_rate: float,
        sensitivity: float,
        noise_multiplier: float,
        public_batch_size: float,
        plain_sgd: bool = True,
        state: Mapping[str, float] | None = None,
    ) -> None:
        """Finish the step; its numbers wait for :meth:`taken`."""
        current, self._current = self._current, None
        if current is None:
            return
        current.close(
            step,
            model,
            learning_rate=learning_rate,
            sensitivity=sensitivity,
            noise_multiplier=noise_multiplier,
            public_batch_size=public_batch_size,
            plain_sgd=plain_sgd,
            state=state,
        )
        series = current.series
        if series.steps:
            body = {
                "overall": {name: line[0] for name, line in series.overall.items()},
                "by_group": {
                    name: [line[0] for line in lines] for name, lines in series.by_group.items()
                },
                "note": series.note,
                "notices": list(series.notices),
            }
            self._found.append((step, body))

    def taken(self) -> list[tuple[int, dict[str, Any]]]:
        """Return what was found since the last call, each with its step."""
        found, self._found = self._found, []
        return found
