"""Influence functions: ``g_j' (H + lam I)^-1 g_i``, H the mean Hessian of the training loss.

Source: Koh and Liang 2017 (arXiv 1703.04730), with the sign turned: positive says that training on
record i lowers the loss of validation record j.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import Tensor

from equigrad._validate import choice, in_range, positive, positive_int
from equigrad.errors import ModelError
from equigrad.gradients import PerSamplePass
from equigrad.valuation.base import SCORERS, Float64
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.scorers.curvature import MeanHessian, conjugate_gradients
from equigrad.valuation.scorers.pairs import LastPairs, mean_gradient, validation_visits

__all__ = ["Influence"]

SOLVERS: Final = ("auto", "explicit", "conjugate-gradients")
_EXPLICIT_PARAMETERS: Final = 1000
_DIRECTION_BYTES: Final = 64 * 2**20


@SCORERS.register("influence")
class Influence(LastPairs):
    """Influence at the last checkpoint, averaged over the validation set.

    Parameters
    ----------
    damping
        lam > 0, added to the diagonal of H.
    solver
        ``"explicit"`` writes H out; ``"conjugate-gradients"`` takes products with H by backward
        through backward, each a look at all records; ``"auto"`` writes H out for at most 1000
        parameters.
    tolerance
        Relative residual at which conjugate gradients stop, in (0, 1).
    iterations
        Most products with H for one system; not getting there is an error.

    Notes
    -----
    All trainable parameters count, biases included. Away from a minimum H may have negative
    eigenvalues: conjugate gradients then need a damping above the most negative one, the explicit
    solver takes the inverse as it is. The mean over the validation set is one linear system,
    :meth:`matrix` one for each validation record.
    """

    name = "influence"

    def __init__(
        self,
        damping: float = 0.01,
        solver: str = "auto",
        tolerance: float = 1e-6,
        iterations: int = 200,
    ) -> None:
        self.damping = positive("damping", damping)
        self.solver = choice("solver", solver, SOLVERS)
        self.tolerance = in_range("tolerance", tolerance, 0, 1, left_open=True, right_open=True)
        self.iterations = positive_int("iterations", iterations)

    def settings(self) -> dict[str, Any]:
        """Return damping, solver, tolerance and iterations."""
        return {
            "damping": self.damping,
            "solver": self.solver,
            "tolerance": self.tolerance,
            "iterations": self.iterations,
        }

    def score(self, context: ScoringContext) -> Float64:
        """Return the ``(n,)`` means over the validation set."""
        with context.opened() as model_pass:
            index = self.load(context)
            target = mean_gradient(context, model_pass, index)
            hessian = MeanHessian(context, model_pass, index, list(target))
            solved = self._solver(hessian)(hessian.flat(target))
            found = _dots(context, model_pass, index, [hessian.shaped(solved)])
        return found[:, 0].cpu().numpy()

    def matrix(self, context: ScoringContext) -> Float64:
        """Return the ``(n, m)`` numbers of all pairs: a linear system for each of the m columns."""
        self.check(context)
        found = []
        with context.opened() as model_pass:
            index = self.load(context)
            names = [n for n, p in model_pass.model.named_parameters() if p.requires_grad]
            hessian = MeanHessian(context, model_pass, index, names)
            solve = self._solver(hessian)
            block: list[dict[str, Tensor]] = []
            for target in _each_gradient(context, model_pass, index):
                block.append(hessian.shaped(solve(hessian.flat(target))))
                if len(block) * hessian.size * 8 > _DIRECTION_BYTES:
                    found.append(_dots(context, model_pass, index, block))
                    block = []
            if block:
                found.append(_dots(context, model_pass, index, block))
        return torch.cat(found, dim=1).cpu().numpy()

    def _solver(self, hessian: MeanHessian) -> Callable[[Tensor], Tensor]:
        """Return the function from a right-hand side to ``(H + lam I)^-1`` times it."""
        small = hessian.size <= _EXPLICIT_PARAMETERS
        if self.solver == "explicit" or (self.solver == "auto" and small):
            return self._factorised(hessian)

        def product(vector: Tensor) -> Tensor:
            return hessian.product(vector) + self.damping * vector

        def solve(target: Tensor) -> Tensor:
            return conjugate_gradients(
                product, target, tolerance=self.tolerance, iterations=self.iterations
            )

        return solve

    def _factorised(self, hessian: MeanHessian) -> Callable[[Tensor], Tensor]:
        """Return the solver by an explicit, factorised matrix."""
        matrix = hessian.explicit()
        matrix.diagonal().add_(self.damping)
        try:
            factors = torch.linalg.lu_factor(matrix)
        except RuntimeError as error:  # how torch says that it is singular
            raise ModelError(
                f"Expected H + damping I to be invertible, got {error}. Take another damping."
            ) from error
        return lambda target: torch.linalg.lu_solve(*factors, target[:, None])[:, 0]


def _each_gradient(
    context: ScoringContext, model_pass: PerSamplePass, index: int
) -> Iterator[dict[str, Tensor]]:
    """Yield each validation record's gradient."""
    own = PerSamplePass(model_pass.model, model_pass.loss, check=False)
    for visit in validation_visits(context, own, index):
        for one in torch.eye(len(visit), dtype=torch.float64, device=visit.norms.device):
            yield visit.grads.weighted_sum(one)


def _dots(
    context: ScoringContext,
    model_pass: PerSamplePass,
    index: int,
    directions: list[dict[str, Tensor]],
) -> Tensor:
    """Return the ``(n, directions)`` float64 inner products of the records' gradients."""
    found = []
    for visit in context.visits(model_pass, index):
        _ = visit.norms  # says so if one is not finite
        dots = [visit.grads.dots(direction).double() for direction in directions]
        found.append(visit.finite("scores", torch.stack(dots, dim=1)))
    return torch.cat(found)
