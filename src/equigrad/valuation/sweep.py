"""The sweep: every batch of records at every checkpoint, once for all scorers together.

Records are taken in stretches so short that the accumulators of all scorers fit into a stated
number of bytes; within a stretch each checkpoint is loaded once and its batches are visited. For
scorers with one number per record there is one stretch, so that each checkpoint is read once.
Memory: the accumulators, one checkpoint beside the model, one batch's pass. Neighbours:
:mod:`.visit` (what a visit answers), :mod:`.scoring` (the door).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from equigrad._validate import positive_int
from equigrad.errors import CheckpointError
from equigrad.valuation.base import Float64, StreamedScorer
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.fingerprint import Fingerprint
from equigrad.valuation.trajectory import Trajectory

__all__ = ["ACCUMULATOR_BYTES", "Job", "Sweep", "SweepState"]

_FINGERPRINT: Final = "fingerprint"
ACCUMULATOR_BYTES: Final = 256 * 2**20
"""Most bytes of accumulators at a time, by default."""


@dataclass(frozen=True, eq=False)
class Job:
    """One scorer over some checkpoints of its source.

    Attributes
    ----------
    key
        Its name in the sweep's results.
    scorer
        Who accumulates.
    indices
        The checkpoints it looks at, ascending.
    """

    key: str
    scorer: StreamedScorer
    indices: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class SweepState:
    """Where a sweep stands, enough to go on to the same numbers, bit for bit.

    It holds facts of the records: it belongs to their owner and is as secret as they are.

    Attributes
    ----------
    start
        First record of the stretch under way.
    visited
        Checkpoints visited in that stretch.
    tensors
        Accumulators (``"stretch/KEY/NAME"``), finished values (``"values/KEY"``), and a digest of
        what is scored by what (``"fingerprint"``).
    """

    start: int
    visited: int
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


class Sweep:
    """Visits records and checkpoints for a number of jobs.

    Parameters
    ----------
    context
        Records and checkpoints.
    jobs
        What is accumulated; keys differ.
    accumulator_bytes
        Most bytes of accumulators at a time.
    progress
        Called with (records visited, records to visit), counted once for each checkpoint.
    keep
        Called with a :class:`SweepState` after every checkpoint of a stretch. Its tensors are the
        sweep's own and move on: write or copy them before returning.
    state
        Where to go on.

    Raises
    ------
    CheckpointError
        If the state is one of other records, scorers, settings or checkpoints.
    """

    def __init__(
        self,
        context: ScoringContext,
        jobs: Sequence[Job],
        *,
        accumulator_bytes: int = ACCUMULATOR_BYTES,
        progress: Callable[[int, int], None] | None = None,
        keep: Callable[[SweepState], None] | None = None,
        state: SweepState | None = None,
    ) -> None:
        self.context, self.jobs = context, list(jobs)
        self._bytes = positive_int("accumulator_bytes", accumulator_bytes)
        self._progress, self._keep = progress, keep
        self._state = state or SweepState(0, 0)
        self._stops = self._planned()
        self._total = len(context) * len(self._stops)
        self._size = self._stretch()
        self._fingerprint = Fingerprint(context, self.jobs, self._size)
        if state is not None:
            self._refuse_other(state)

    def run(self) -> dict[str, Float64]:
        """Return the ``(n,)`` scores of every job by key."""
        done = {job.key: self._values_before(job.key) for job in self.jobs}
        for start in range(self._state.start, len(self.context), self._size):
            stop = min(start + self._size, len(self.context))
            for key, values in self._stretch_values(start, stop, done).items():
                done[key] = torch.cat([done[key], values])
            self._note(stop, 0, {f"values/{k}": v for k, v in done.items()})
        return {
            job.key: job.scorer.finish(_array(done[job.key]), self.context) for job in self.jobs
        }

    def _planned(self) -> list[tuple[Trajectory, int, list[Job]]]:
        """Return each source's checkpoints that somebody looks at, with those who do."""
        stops: dict[tuple[int, int], tuple[Trajectory, int, list[Job]]] = {}
        for job in self.jobs:
            source = job.scorer.source(self.context)
            for index in job.indices:
                key = (id(source), index)
                stops.setdefault(key, (source, index, []))[2].append(job)
        order = {id(source): k for k, (source, _, _) in enumerate(stops.values())}
        return sorted(stops.values(), key=lambda stop: (order[id(stop[0])], stop[1]))

    def _stretch(self) -> int:
        """Return the records of a stretch: whole batches, within the limit on accumulators."""
        each = sum(job.scorer.bytes_per_record(self.context) for job in self.jobs)
        batch = self.context.batch_size
        return max(batch, self._bytes // max(each, 1) // batch * batch)

    def _stretch_values(
        self, start: int, stop: int, done: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the values of the records ``start..stop`` by key."""
        states = {job.key: self._accumulators(job, start, stop) for job in self.jobs}
        skip = self._state.visited if start == self._state.start else 0
        for number, (source, index, jobs) in enumerate(self._stops):
            if number < skip:
                continue
            self._visit(source, index, jobs, states, (start, stop))
            self._note(start, number + 1, _named(states, done))
            if self._progress is not None:
                before = start * len(self._stops)
                self._progress(before + (number + 1) * (stop - start), self._total)
        return {
            job.key: job.scorer.values(states[job.key], self.context).double().cpu()
            for job in self.jobs
        }

    def _visit(
        self,
        source: Trajectory,
        index: int,
        jobs: Sequence[Job],
        states: Mapping[str, dict[str, Tensor]],
        stretch: tuple[int, int],
    ) -> None:
        """Visit the batches of one stretch at one checkpoint."""
        context = self.context
        gradients = any(job.scorer.gradients for job in jobs)
        tables: dict[str, Any] = {}
        with context.opened(source) as model_pass:
            source.load(index)
            for job in jobs:
                job.scorer.prepare(tables, model_pass, index, context)
            for visit in context.visits(
                model_pass,
                index,
                trajectory=source,
                start=stretch[0],
                stop=stretch[1],
                gradients=gradients,
                tables=tables,
            ):
                for job in jobs:
                    visit.place = job.indices.index(index)
                    job.scorer.visit(states[job.key], visit)

    def _accumulators(self, job: Job, start: int, stop: int) -> dict[str, Tensor]:
        state = job.scorer.begin(stop - start, self.context)
        if start == self._state.start and self._state.visited:
            for name, tensor in state.items():
                tensor.copy_(self._state.tensors[f"stretch/{job.key}/{name}"])
        return state

    def _values_before(self, key: str) -> Tensor:
        return self._state.tensors.get(f"values/{key}", torch.zeros(0, dtype=torch.float64))

    def _note(self, start: int, visited: int, tensors: dict[str, Tensor]) -> None:
        if self._keep is not None:
            known = {_FINGERPRINT: self._digest(start, visited)}
            self._keep(SweepState(start, visited, tensors | known))

    def _digest(self, start: int, visited: int) -> Tensor:
        """Return the digest of the sweep at a place: of all that led there."""
        seen = self._stops if start else self._stops[:visited]
        return self._fingerprint.of((source, index) for source, index, _ in seen)

    def _refuse_other(self, state: SweepState) -> None:
        found = state.tensors.get(_FINGERPRINT)
        wanted = self._digest(state.start, state.visited)
        if found is None or not torch.equal(found.cpu(), wanted):
            raise CheckpointError(
                f"Expected the state of this very scoring to go on from, got another's (at record "
                f"{state.start}, after {state.visited} checkpoints): records, validation set, "
                "scorers, their settings, checkpoints, batch_size, seed and accumulator_bytes "
                "have to be the same. Score from the beginning."
            )


def _named(
    states: Mapping[str, Mapping[str, Tensor]], done: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return accumulators and finished values under one name each."""
    return dict(_pairs(states)) | {f"values/{key}": values for key, values in done.items()}


def _pairs(states: Mapping[str, Mapping[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    for key, state in states.items():
        for name, tensor in state.items():
            yield f"stretch/{key}/{name}", tensor


def _array(values: Tensor) -> Float64:
    return np.asarray(values.numpy(), dtype=np.float64)
