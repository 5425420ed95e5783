"""The mean Hessian of the training loss, by its products with vectors, and linear systems in it.

Neighbours: :mod:`.influence`, which solves with it.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from equigrad.errors import ModelError
from equigrad.gradients import PerSamplePass
from equigrad.gradients.calling import call_model
from equigrad.gradients.checks import record_losses
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.visit import Visit

__all__ = ["MeanHessian", "conjugate_gradients"]


class MeanHessian:
    """``H = mean_i`` of the Hessians of the records' losses, at the loaded checkpoint.

    Parameters
    ----------
    context, model_pass, index
        The records, and the opened model with checkpoint ``index`` loaded.
    names
        The parameters, whose flattened values are the coordinates in this order.
    """

    def __init__(
        self,
        context: ScoringContext,
        model_pass: PerSamplePass,
        index: int,
        names: Sequence[str],
    ) -> None:
        known = dict(model_pass.model.named_parameters())
        self.parameters = {name: known[name] for name in names}
        self.size = sum(p.numel() for p in self.parameters.values())
        self._context, self._pass, self._index = context, model_pass, index

    def flat(self, vectors: dict[str, Tensor]) -> Tensor:
        """Return tensors by parameter name as one ``(P,)`` float64 vector."""
        return torch.cat([vectors[name].double().flatten() for name in self.parameters])

    def shaped(self, vector: Tensor) -> dict[str, Tensor]:
        """Return a ``(P,)`` vector as tensors of the parameters' shapes and dtypes."""
        sizes = [p.numel() for p in self.parameters.values()]
        parts = zip(self.parameters.items(), torch.split(vector, sizes), strict=True)
        return {name: part.view_as(p).to(p) for (name, p), part in parts}

    def product(self, vector: Tensor) -> Tensor:
        """Return ``H v``, ``(P,)`` float64, by backward through backward over all records."""
        direction = list(self.shaped(vector).values())
        total = torch.zeros_like(vector)
        for slopes in self._slopes():
            rate = torch.stack([(s * d).sum() for s, d in zip(slopes, direction, strict=True)])
            total += self._slope_of(rate.sum())
        return total

    def explicit(self) -> Tensor:
        """Return H, ``(P, P)`` float64: for small models."""
        total: Tensor | None = None
        for slopes in self._slopes():
            flat = torch.cat([slope.flatten() for slope in slopes])
            part = torch.stack([self._slope_of(entry, keep=True) for entry in flat])
            total = part if total is None else total + part
        if total is None:
            raise ValueError("Expected at least one record, got none.")
        return (total + total.mT) / 2

    def _slopes(self) -> Iterator[tuple[Tensor, ...]]:
        """Yield each batch's share in the mean loss's gradient, ready to be derived again."""
        for visit in self._context.visits(self._pass, self._index, gradients=False):
            # Fused attention has no second derivative.
            with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
                mean = self._losses(visit).sum() / len(self._context)
                yield torch.autograd.grad(
                    mean, list(self.parameters.values()), create_graph=True, materialize_grads=True
                )

    def _losses(self, visit: Visit) -> Tensor:
        """Return a batch's losses with their history, all of them finite."""
        outputs = call_model(visit.model, visit.inputs)
        visit.check_labels(outputs)
        losses = record_losses(self._pass.loss(outputs, visit.labels), len(visit))
        visit.finite("losses", losses)
        return losses

    def _slope_of(self, value: Tensor, *, keep: bool = False) -> Tensor:
        """Return the gradient of a number, ``(P,)`` float64; 0 if it depends on no parameter."""
        if not value.requires_grad:
            return value.new_zeros(self.size, dtype=torch.float64)
        slopes = torch.autograd.grad(
            value, list(self.parameters.values()), retain_graph=keep, materialize_grads=True
        )
        return torch.cat([slope.double().flatten() for slope in slopes])


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    target: Tensor,
    *,
    tolerance: float,
    iterations: int,
) -> Tensor:
    """Return x with ``|A x - target| <= tolerance |target|`` for a positive definite A.

    Parameters
    ----------
    product
        ``v -> A v``, ``(P,)`` float64.
    target
        ``(P,)`` float64.
    tolerance
        Of the residual, relative.
    iterations
        Most products.

    Raises
    ------
    ModelError
        If A has a direction without positive curvature, or the iterations do not suffice.
    """
    x, residual = torch.zeros_like(target), target.clone()
    step, square = residual.clone(), float(residual @ residual)
    goal = tolerance**2 * square
    for _ in range(iterations):
        if square <= goal:
            return x
        image = product(step)
        curvature = float(step @ image)
        if not curvature > 0:
            raise ModelError(
                "Expected H + damping I to be positive definite, got a direction of curvature "
                f"{curvature / float(step @ step):.3g}. Take a larger damping, or a later "
                "checkpoint."
            )
        x += square / curvature * step
        residual -= square / curvature * image
        before, square = square, float(residual @ residual)
        step = residual + square / before * step
    if square <= goal:
        return x
    raise ModelError(
        f"Expected a residual of at most {tolerance:g} within {iterations} iterations, got "
        f"{(square / float(target @ target)) ** 0.5:.3g}. Allow more iterations, or take a larger "
        "damping or tolerance."
    )
