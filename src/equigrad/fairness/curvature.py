"""Gradient and curvature of one group's loss: what the second-order terms of ``risk`` need.

Hessian-vector products by double backward. The trace is exact for small models, Hutchinson's
estimate with its standard error for others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from equigrad._validate import positive_int
from equigrad.errors import ConfigError, DataError
from equigrad.fairness.rows import (
    CHUNK,
    PerRecordLoss,
    Rows,
    summed_loss,
    trainable,
)
from equigrad.gradients.calling import evaluating

__all__ = ["EXACT_TRACE_UP_TO", "Curvature", "curvature"]

EXACT_TRACE_UP_TO = 256
"""Models of at most this many parameters get the exact trace."""

Vector = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Curvature:
    """A group's loss around the present parameters.

    Attributes
    ----------
    rows
        Number n of rows it was computed on.
    loss
        Their mean loss.
    gradient
        Gradient of the mean loss by parameter name.
    quadratic
        ``v' H v`` for each direction v asked for, H the Hessian of the mean loss.
    trace, trace_error
        ``Tr(H)`` and its standard error (0 where it is exact).
    trace_method
        ``"exact"`` or ``"hutchinson"``.
    """

    rows: int
    loss: float
    gradient: dict[str, Tensor]
    quadratic: tuple[float, ...]
    trace: float
    trace_error: float
    trace_method: Literal["exact", "hutchinson"]


def curvature(
    model: nn.Module,
    loss: PerRecordLoss,
    rows: Rows,
    directions: Sequence[Vector] = (),
    *,
    generator: torch.Generator,
    probes: int = 100,
    exact_up_to: int = EXACT_TRACE_UP_TO,
    chunk: int = CHUNK,
) -> Curvature:
    """Return loss, gradient, ``v'Hv`` and trace of the Hessian of a group's mean loss.

    Parameters
    ----------
    model
        In evaluation mode for the call (without dropout); otherwise left as it is.
    loss
        ``(outputs, targets) -> (B,)``.
    rows
        The group's rows, at least one, or a stated sample of them.
    directions
        Parameter-shaped vectors v by parameter name.
    generator
        Draws the Rademacher probes; unused for an exact trace.
    probes
        Number of probes, >= 2.
    exact_up_to
        Largest number of trainable parameters for which the trace is exact.
    chunk
        Rows differentiated at a time; bounds memory, not the result.

    Raises
    ------
    DataError
        Without rows.
    ConfigError
        For a loss that is not one number per record, or options out of range.

    Source: Hutchinson's estimator (1989) with Rademacher probes; products by Pearlmutter (1994).
    """
    if not len(rows):
        raise DataError("Expected rows of the group, got none. Leave the group out instead.")
    positive_int("probes", probes, least=2)
    positive_int("chunk", chunk)
    parameters = trainable(model)
    size = sum(p.numel() for p in parameters.values())
    exact = size <= exact_up_to
    signs = torch.eye(size) if exact else _rademacher(probes, size, generator)
    vectors = [_flat(v, parameters) for v in directions]
    total, gradient = 0.0, torch.zeros_like(_flat(parameters, parameters))
    quadratic = torch.zeros(len(vectors) + len(signs), dtype=torch.float64)
    with evaluating(model), sdpa_kernel(SDPBackend.MATH):
        for part in rows.chunks(chunk):
            value = summed_loss(model, parameters, loss, part)
            slope = _slope(value, parameters)
            total += float(value.detach())
            gradient += slope.detach()
            for k, vector in enumerate([*vectors, *signs]):
                quadratic[k] += _form(slope, parameters, vector.to(slope))
    n = len(rows)
    forms = quadratic / n
    samples = forms[len(vectors) :]
    error = 0.0 if exact else float(samples.std() / len(samples) ** 0.5)
    return Curvature(
        rows=n,
        loss=total / n,
        gradient=_shaped(gradient / n, parameters),
        quadratic=tuple(float(q) for q in forms[: len(vectors)]),
        trace=float(samples.sum() if exact else samples.mean()),
        trace_error=error,
        trace_method="exact" if exact else "hutchinson",
    )


def _slope(value: Tensor, parameters: Vector) -> Tensor:
    """Return the flat gradient of ``value``, itself differentiable."""
    leaves = list(parameters.values())
    grads = torch.autograd.grad(value, leaves, create_graph=True, allow_unused=True)
    filled = [torch.zeros_like(p) if g is None else g for p, g in zip(leaves, grads, strict=True)]
    return torch.cat([g.flatten() for g in filled])


def _form(slope: Tensor, parameters: Vector, vector: Tensor) -> float:
    """Return ``v' H v`` in float64; 0 where the loss is linear in the parameters."""
    if slope.grad_fn is None:
        return 0.0
    leaves = list(parameters.values())
    products = torch.autograd.grad(
        slope, leaves, grad_outputs=vector, retain_graph=True, allow_unused=True
    )
    start, total = 0, 0.0
    for leaf, product in zip(leaves, products, strict=True):
        part = vector[start : start + leaf.numel()]
        start += leaf.numel()
        if product is not None:
            total += float(part.double() @ product.flatten().double())
    return total


def _rademacher(probes: int, size: int, generator: torch.Generator) -> Tensor:
    """Return ``(probes, size)`` signs; int8, since a probe is kept for all chunks of rows."""
    bits = torch.randint(0, 2, (probes, size), generator=generator, dtype=torch.int8)
    return bits * 2 - 1


def _flat(vector: Vector, parameters: Vector) -> Tensor:
    missing = [name for name in parameters if name not in vector]
    if missing:
        raise ConfigError(f"Expected a direction for every parameter, got none for {missing}.")
    flat = [vector[name].detach().reshape(-1).to(p) for name, p in parameters.items()]
    return torch.cat(flat).detach()


def _shaped(flat: Tensor, parameters: Vector) -> dict[str, Tensor]:
    pieces = torch.split(flat, [p.numel() for p in parameters.values()])
    return {
        name: piece.reshape(p.shape)
        for (name, p), piece in zip(parameters.items(), pieces, strict=True)
    }
