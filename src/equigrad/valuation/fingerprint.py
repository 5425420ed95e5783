"""What a stopped sweep was about, so that it is not gone on with by mistake for another one.

Neighbour: :mod:`.sweep`, which writes a fingerprint into every state and compares it.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from equigrad.privacy.training.digests import data_digest
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.trajectory import Trajectory

if TYPE_CHECKING:
    from equigrad.valuation.sweep import Job

__all__ = ["Fingerprint"]


class Fingerprint:
    """Digests of one sweep: records, scorers, stretches, and the checkpoints seen so far.

    Parameters
    ----------
    context, jobs, stretch
        Records and validation set, scorers with their settings, and the records of a stretch.

    Notes
    -----
    The records are read once more than without; that is done when it is first asked. Checkpoints
    that were visited are not read again.
    """

    def __init__(self, context: ScoringContext, jobs: "Iterable[Job]", stretch: int) -> None:
        self._context, self._jobs, self._stretch = context, tuple(jobs), stretch

    def of(self, seen: Iterable[tuple[Trajectory, int]]) -> Tensor:
        """Return the ``(32,) uint8`` digest after the checkpoints ``seen`` were visited."""
        total = hashlib.sha256(self._facts.encode())
        for source, index in seen:
            total.update(source.identity(index).encode())
        return torch.frombuffer(bytearray(total.digest()), dtype=torch.uint8)

    @cached_property
    def _facts(self) -> str:
        context = self._context
        rows = [context.rows, *([] if context.validation is None else [context.validation])]
        facts: list[Any] = [
            len(context),
            self._stretch,
            context.seed,
            [data_digest(one, context.batch_size) for one in rows],
            [[job.key, job.scorer.describe(), list(job.indices)] for job in self._jobs],
        ]
        return json.dumps(facts, sort_keys=True, default=repr)
