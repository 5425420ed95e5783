"""A recorder of disparity during training: misalignment and risk terms, every so many steps.

Plugs into a trainer: ``due`` says whether a step is observed, ``observe`` takes each physical
chunk's pass and weights, ``close`` is called once before the optimiser moves the parameters. All
of it is computed from data without noise and covered by no epsilon; a private trainer has no
recorder unless it is given one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from equigrad._validate import positive_int
from equigrad.errors import ConfigError
from equigrad.fairness.curvature import EXACT_TRACE_UP_TO, Curvature, curvature
from equigrad.fairness.groups import NOT_COVERED, PUBLIC_ROWS
from equigrad.fairness.misalignment import BatchSums, Misalignment, misalignment
from equigrad.fairness.risk import RiskTerms, Vector, noise_deviation, terms_of
from equigrad.fairness.rows import (
    Inputs,
    PerRecordLoss,
    Rows,
    group_gradient,
    split_by_group,
)
from equigrad.fairness.series import DiagnosticSeries
from equigrad.gradients import PerSampleGradients
from equigrad.gradients.calling import evaluating

__all__ = ["EVERY", "Diagnostics"]

EVERY = 200
"""Steps between observations."""

_RISK = {
    "R_step": "step",
    "R_clip": "clip",
    "R_mag": "magnitude",
    "R_dir": "direction",
    "R_noise": "noise",
    "R_noise_error": "noise_error",
    "predicted_loss": "predicted",
}
_ALIGNMENT = {
    "norm": "norm",
    "norm_batch": "norm_batch",
    "norm_batch_clipped": "norm_batch_clipped",
    "cos_gk_g": "cos_batch",
    "cos_gk_gb": "cos_clipped",
    "cos_gk_gBk": "cos_own",
    "cos_gk_gbBk": "cos_own_clipped",
}


class Diagnostics:
    """Records misalignment and the excessive-risk decomposition of a run's steps.

    Parameters
    ----------
    loss
        ``(outputs, targets) -> (B,)``, the loss that is trained.
    inputs, targets, groups
        Records whose mean gradient and Hessian stand for each group's: all training rows or a
        stated sample of them. Sensitive.
    names
        The K group names, in the order of the group numbers.
    every
        Steps between observations; step 0 is observed.
    decomposition
        Whether the risk terms are wanted (curvature costs about ``2 * probes`` passes over the
        rows for a model above 256 parameters) or the misalignment table only.
    rows_per_group
        At most this many rows of each group, drawn once with ``seed``; ``None``: all of them.
    probes
        Rademacher probes for the trace.
    seed
        Draws the sample of rows and the probes; nothing of training depends on it.
    public
        Whether the rows were declared public, which changes the note.

    Attributes
    ----------
    series : DiagnosticSeries
        What was observed so far.

    Raises
    ------
    ConfigError, DataError
        For options out of range, or groups that do not fit the rows.

    Notes
    -----
    A group without rows has ``None`` everywhere. With an optimiser other than plain SGD the step
    that the risk terms describe is not the step taken: only the misalignment table is recorded,
    and a notice says so. Group gradients are those of evaluation mode.
    """

    def __init__(
        self,
        loss: PerRecordLoss,
        inputs: Inputs,
        targets: Tensor,
        groups: Tensor,
        *,
        names: Sequence[str],
        every: int = EVERY,
        decomposition: bool = True,
        rows_per_group: int | None = None,
        probes: int = 100,
        seed: int = 0,
        public: bool = False,
    ) -> None:
        if not names or len(set(names)) != len(names):
            raise ConfigError(f"Expected different group names, at least one, got {names!r}.")
        self.loss = loss
        self.every = positive_int("every", every)
        self.decomposition = decomposition
        self.probes = positive_int("probes", probes, least=2)
        self._generator = torch.Generator().manual_seed(seed)
        whole = split_by_group(inputs, targets, groups, len(names))
        self._rows = [self._sampled(rows, rows_per_group) for rows in whole]
        self.series = DiagnosticSeries(tuple(names), note=PUBLIC_ROWS if public else NOT_COVERED)
        for name, kept, rows in zip(names, self._rows, whole, strict=True):
            if len(kept) < len(rows):
                self.series.notice(f"Group {name}: a sample of {len(kept)} of {len(rows)} rows.")
        self._sums: BatchSums | None = None

    def due(self, step: int) -> bool:
        """Return whether step ``step`` (counted from 0) is observed."""
        return step % self.every == 0

    def observe(self, grads: PerSampleGradients, weights: Tensor, groups: Tensor) -> None:
        """Take one physical chunk of the step's batch, which may have no rows.

        Parameters
        ----------
        grads
            The chunk's per-sample pass.
        weights
            ``(B,)`` weights that the clipping rule gave.
        groups
            ``(B,)`` int64 group numbers.
        """
        if self._sums is None:
            self._sums = BatchSums(len(self._rows))
        self._sums.add(grads, weights, groups)

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
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Finish step ``step``, before the optimiser moves the parameters.

        Parameters
        ----------
        step
            Counted from 0; greater than the last observed one.
        model
            At the parameters at which the gradients were taken; left as it is.
        learning_rate, sensitivity, noise_multiplier, public_batch_size
            eta, C, sigma and L of this step.
        plain_sgd
            Whether the optimiser is SGD without momentum and weight decay.
        state
            Public numbers to record beside (a threshold, a clipping bound); a list of K numbers
            is recorded by group, anything else is left out.

        Notes
        -----
        Without any observed chunk (an empty batch) nothing is recorded.
        """
        sums, self._sums = self._sums, None
        if sums is None or sums.empty:
            self.series.notice("Steps with an empty batch are left out.")
            return
        directions = (
            sums.mean(public_batch_size, clipped=False),
            sums.mean(public_batch_size, clipped=True),
        )
        wanted = self.decomposition and plain_sgd
        if self.decomposition and not plain_sgd:
            self.series.notice(
                "Only the misalignment table: the risk terms describe plain SGD steps."
            )
        bends = [
            self._curvature(model, rows, directions) if wanted else None for rows in self._rows
        ]
        slopes = [
            group_gradient(model, self.loss, rows) if bend is None else (bend.loss, bend.gradient)
            for rows, bend in zip(self._rows, bends, strict=True)
        ]
        gradients: list[Vector | None] = [None if s is None else s[1] for s in slopes]
        table = misalignment(sums, gradients, public_batch_size)
        deviation = noise_deviation(noise_multiplier, sensitivity, public_batch_size)
        terms = [
            None
            if bend is None
            else terms_of(bend, *directions, learning_rate=learning_rate, deviation=deviation)
            for bend in bends
        ]
        by_group = _by_group(table, bends, terms)
        by_group["loss"] = [None if s is None else s[0] for s in slopes]
        by_group["accuracy"] = [self._accuracy(model, rows) for rows in self._rows]
        overall = _overall(table)
        for name, value in (state or {}).items():
            if isinstance(value, int | float):
                overall[name] = value
            elif isinstance(value, list | tuple) and len(value) == len(self._rows):
                by_group[name] = list(value)
        self.series.append(step, overall, by_group)

    def _sampled(self, rows: Rows, limit: int | None) -> Rows:
        if limit is None or len(rows) <= limit:
            return rows
        at = torch.randperm(len(rows), generator=self._generator)[:limit]
        return rows.at(at.to(rows.targets.device))

    def _curvature(
        self, model: nn.Module, rows: Rows, directions: Sequence[Vector]
    ) -> Curvature | None:
        if not len(rows):
            return None
        return curvature(
            model,
            self.loss,
            rows,
            directions,
            generator=self._generator,
            probes=self.probes,
            exact_up_to=EXACT_TRACE_UP_TO,
        )

    @staticmethod
    def _accuracy(model: nn.Module, rows: Rows) -> float | None:
        """Return the share of rows whose largest output is their class, if targets are classes."""
        if not len(rows) or rows.targets.is_floating_point() or rows.targets.ndim != 1:
            return None
        right, classes = 0, True
        with evaluating(model), torch.no_grad():
            for part in rows.chunks(2048):
                outputs = part.outputs(model)
                classes &= outputs.ndim == 2
                right += int((outputs.argmax(-1) == part.targets).sum()) if classes else 0
        return right / len(rows) if classes else None


def _overall(table: Misalignment) -> dict[str, float | None]:
    return {
        "norm": table.norm,
        "norm_clipped": table.norm_clipped,
        "rho": table.rho,
        "cos_g_gb": table.cosine,
    }


def _by_group(
    table: Misalignment, bends: Sequence[Curvature | None], terms: Sequence[RiskTerms | None]
) -> dict[str, list[float | None]]:
    """Return the series of one observation; risk terms only where some group has them."""
    found: dict[str, list[float | None]] = {
        name: [getattr(line, key) for line in table.groups] for name, key in _ALIGNMENT.items()
    }
    if any(terms):
        for name, key in _RISK.items():
            found[name] = [_get(t, key) for t in terms]
        found["trace"] = [_get(b, "trace") for b in bends]
    return found


def _get(source: Any, key: str) -> float | None:
    return None if source is None else float(getattr(source, key))
