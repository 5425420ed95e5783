"""DataInf: influence with the inverse Hessian replaced by a mean of rank-one inverses.

For a block of parameters with gradients ``g`` and a damping ``lam``::

    datainf(i, j) = g_j' mean_k (lam I + g_k g_k')^-1 g_i
                  = (g_j.g_i - mean_k (g_j.g_k)(g_k.g_i) / (lam + |g_k|^2)) / lam

summed over blocks. The mean over j is linear in ``g_j``, so that one direction in parameter space
serves all records: it takes weighted sums, norms and inner products of the per-sample pass, time
linear in the number of records, and memory of a few copies of the model.

Source: Kwon, Wu, Wu, Zou, "DataInf", ICLR 2024 (arXiv 2310.00902); the direction is derived here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from equigrad._validate import choice, positive, positive_int
from equigrad.gradients import PerSampleGradients, PerSamplePass
from equigrad.valuation.base import SCORERS, Float64
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.scorers.pairs import ChosenRows, LastPairs, mean_gradient, validation_visits
from equigrad.valuation.visit import Visit

__all__ = ["DataInf"]

_SHARE: Final = 0.1
_NONE: Final = 1e-150  # a damping whose square has an inverse is above
_TABLE_BYTES: Final = 128 * 2**20


@SCORERS.register("datainf")
class DataInf(LastPairs):
    """DataInf at the last checkpoint, averaged over the validation set.

    Parameters
    ----------
    block
        ``"layer"``: the weights and biases of each module are a block; ``"single"``: all
        parameters are one.
    damping
        lam > 0 of every block. By default ``0.1 * mean_k |g_k|^2 / d`` in each block of d
        parameters, the usual rule: a tenth of the mean eigenvalue of ``mean_k g_k g_k'``. A block
        without any gradient then contributes 0.
    reference_records
        Most records k that the mean runs over. If there are more, so many are drawn by the
        context's seed; which ones depends on the order of the records.

    Notes
    -----
    Guarantee: no tensor of size (records, parameters); a few copies of the parameters, one batch's
    pass, and ``(reference records, blocks)`` numbers.
    """

    name = "datainf"

    def __init__(
        self,
        block: str = "layer",
        damping: float | None = None,
        reference_records: int = 2000,
    ) -> None:
        self.block = choice("block", block, ("layer", "single"))
        self.damping = None if damping is None else positive("damping", damping)
        self.reference_records = positive_int("reference_records", reference_records)

    def settings(self) -> dict[str, Any]:
        """Return block, damping and the number of reference records."""
        return {
            "block": self.block,
            "damping": self.damping,
            "reference_records": self.reference_records,
        }

    def score(self, context: ScoringContext) -> Float64:
        """Return the ``(n,)`` means over the validation set."""
        with context.opened() as model_pass:
            index = self.load(context)
            direction = self._direction(context, model_pass, index)
            found = []
            for visit in context.visits(model_pass, index):
                _ = visit.norms  # says so if one is not finite
                found.append(visit.finite("scores", visit.grads.dots(direction)))
        return torch.cat(found).cpu().numpy()

    def matrix(self, context: ScoringContext) -> Float64:
        """Return the ``(n, m)`` numbers of all pairs, from Gram matrices in blocks of rows."""
        self.check(context)
        with context.opened() as model_pass:
            index = self.load(context)
            references = self._references(context)
            facts = self._facts(context, model_pass, index, references)
            work = _Pairs(context, model_pass, index, references, facts)
            return work.matrix().cpu().numpy()

    def _references(self, context: ScoringContext) -> ChosenRows:
        return ChosenRows.drawn(context.rows, self.reference_records, context.seed)

    def _direction(
        self, context: ScoringContext, model_pass: PerSamplePass, index: int
    ) -> dict[str, Tensor]:
        """Return ``mean_k (lam I + g_k g_k')^-1 g`` block by block, g the mean validation one."""
        target = mean_gradient(context, model_pass, index)
        references = self._references(context)
        facts = self._facts(context, model_pass, index, references, target)
        direction = {name: torch.zeros_like(tensor) for name, tensor in target.items()}
        for visit in context.visits(model_pass, index, rows=references):
            shares = facts.coefficients(facts.dots[visit.rows], visit.rows)
            for names, share in zip(facts.blocks, shares.unbind(1), strict=True):
                visit.grads.of(names).weighted_sum(-share, out=direction)
        for names, scale in zip(facts.blocks, facts.inverse.tolist(), strict=True):
            for name in names:
                direction[name] += scale * target[name]
        return direction

    def _facts(
        self,
        context: ScoringContext,
        model_pass: PerSamplePass,
        index: int,
        references: ChosenRows,
        target: dict[str, Tensor] | None = None,
    ) -> "_Facts":
        """Return what is known of the reference records, block by block."""
        blocks: list[list[str]] = []
        squares, dots = [], []
        for visit in context.visits(model_pass, index, rows=references):
            blocks = blocks or _blocks(visit.grads.names, self.block)
            parts = _parts(visit, blocks)
            squares.append(torch.stack([part.norms.double().square() for part in parts], dim=1))
            if target is not None:
                dots.append(torch.stack([part.dots(target).double() for part in parts], dim=1))
        found = torch.cat(squares)
        sizes = dict(model_pass.model.named_parameters())
        widths = [sum(sizes[name].numel() for name in names) for names in blocks]
        if self.damping is None:
            damping = _SHARE * found.mean(0) / torch.as_tensor(widths).to(found)
        else:
            damping = torch.full_like(found[0], self.damping)
        return _Facts(blocks, found, damping, torch.cat(dots) if dots else found[:, :0])


@dataclass(frozen=True, eq=False)
class _Facts:
    """The reference records, L blocks.

    Attributes
    ----------
    blocks
        The parameters' names.
    squares
        ``(r, L)`` squared gradient norms.
    damping
        ``(L,)``; about 0 for blocks without gradients.
    dots
        ``(r, L)`` inner products with the mean validation gradient, or ``(r, 0)``.
    """

    blocks: Sequence[Sequence[str]]
    squares: Tensor
    damping: Tensor
    dots: Tensor

    @property
    def inverse(self) -> Tensor:
        """``(L,)`` inverse damping, 0 for blocks without gradients."""
        none = self.damping < _NONE
        return torch.where(none, 0, 1 / torch.where(none, 1, self.damping))

    def coefficients(self, dots: Tensor, rows: slice) -> Tensor:
        """Return ``dots / (r lam (lam + |g_k|^2))``: what reference record k is taken off with.

        ``dots (r', L)`` or ``(r', L, m)`` belong to the reference records ``rows``.
        """
        scale = self.inverse / (self.damping + self.squares[rows] + (self.damping < _NONE))
        scale = scale / len(self.squares)
        return dots * scale.view(*scale.shape, *[1] * (dots.dim() - 2))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """All pairs of records and validation records, a block of each at a time."""

    context: ScoringContext
    model_pass: PerSamplePass
    index: int
    references: ChosenRows
    facts: _Facts

    def matrix(self) -> Tensor:
        """Return the ``(n, m)`` numbers."""
        # Coefficients of all reference records, for one block of validation records, are kept.
        each = 8 * self.facts.squares.numel()
        columns = max(1, min(self.context.batch_size, _TABLE_BYTES // each))
        narrow = replace(self.context, batch_size=columns)
        visits = validation_visits(narrow, self._fresh(), self.index)
        found = [self._columns(validation) for validation in visits]
        return torch.cat(found, dim=1)

    def _columns(self, validation: Visit) -> Tensor:
        """Return ``(n, m')`` numbers of some validation records."""
        theirs = _parts(validation, self.facts.blocks)
        coefficients = torch.cat(
            [
                self.facts.coefficients(
                    torch.stack(_grams(_parts(visit, self.facts.blocks), theirs), dim=1), visit.rows
                )
                for visit in self._visits(references=True)
            ]
        )
        return torch.cat([self._rows(visit, theirs, coefficients) for visit in self._visits()])

    def _rows(
        self, visit: Visit, theirs: Sequence[PerSampleGradients], coefficients: Tensor
    ) -> Tensor:
        """Return ``(n', m')`` numbers of some records and some validation records."""
        mine = _parts(visit, self.facts.blocks)
        inverse = self.facts.inverse
        total = torch.stack(
            [scale * gram for scale, gram in zip(inverse, _grams(mine, theirs), strict=True)]
        ).sum(0)
        for reference in self._visits(references=True):
            shares = coefficients[reference.rows]
            grams = _grams(mine, _parts(reference, self.facts.blocks))
            for block, gram in enumerate(grams):
                total = total - gram @ shares[:, block]
        return total

    def _fresh(self) -> PerSamplePass:
        """Return a pass whose results live beside those of others."""
        return PerSamplePass(self.model_pass.model, self.model_pass.loss, check=False)

    def _visits(self, *, references: bool = False) -> Any:
        rows = self.references if references else None
        return self.context.visits(self._fresh(), self.index, rows=rows)


def _blocks(names: Sequence[str], block: str) -> list[list[str]]:
    """Return the names of each block's parameters: a module's own ones, or all."""
    if block == "single":
        return [list(names)]
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.rpartition(".")[0], []).append(name)
    return list(found.values())


def _parts(visit: Visit, blocks: Sequence[Sequence[str]]) -> list[PerSampleGradients]:
    """Return a visit's gradients block by block, all of them finite."""
    _ = visit.norms
    return [visit.grads.of(names) for names in blocks]


def _grams(
    mine: Sequence[PerSampleGradients], theirs: Sequence[PerSampleGradients]
) -> list[Tensor]:
    """Return the ``(B, B')`` float64 inner products in each block."""
    return [one.gram(other).double() for one, other in zip(mine, theirs, strict=True)]
