"""How noise is added: as it stands, or on a public grid where the addition is exact.

Why the grid is right. Let s be the sum, ``round`` the rounding of each coordinate to multiples of
gamma (half to even), ``C`` the bound on what one row adds, d the number of coordinates, and X a
real-valued Gaussian vector. The mechanism gives out ``round(s) + round(X)``.

1. Rounding moves each coordinate of two neighbouring sums by at most gamma/2 each, so the query
   ``round(s)`` has L2 sensitivity at most ``C' = C (1 + kappa) + gamma sqrt(d)``, where kappa
   bounds the relative error of a sum formed in floating point. (L1: ``gamma d``.)
2. ``round(s) + X`` with ``X ~ N(0, (sigma C')^2 I)`` is the Gaussian mechanism of multiplier sigma.
3. ``round(s)`` is on the grid, so ``round(round(s) + X) = round(s) + round(X)`` but for ties,
   which have probability 0. The output is a function of step 2's: post-processing, so the
   accounting of the real-valued mechanism stands. (A discrete Gaussian would need its own.)
4. Both terms are whole multiples of gamma, a power of two, below 2^53 of them: the addition in
   float64 is exact, and every multiple is reachable from every input, as far as the sampler goes.

The same holds for Laplace noise with the L1 sensitivity. The users are the mechanisms beside.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from equigrad.errors import ConfigError

__all__ = ["GRID_BITS", "add_plain", "add_rounded", "grid_step"]

GRID_BITS = 24
"""A noise of one standard deviation spans 2^24 to 2^25 steps of the grid."""

# Sums beyond 2^52 steps are cut there. A cut to a box never moves two sums apart.
_LIMIT = 2.0**52

Array = npt.NDArray[Any]
Blocks = Iterable[tuple[slice, Array]]


def grid_step(deviation: float) -> float:
    """Return gamma, the largest power of two that is at most ``deviation * 2^-24``.

    ``deviation`` is the noise's scale before the grid's own correction, a public number > 0.
    """
    step = math.ldexp(1.0, math.frexp(deviation)[1] - 1 - GRID_BITS)
    if step < np.finfo(np.float64).tiny:
        raise ConfigError(
            f"Expected noise of scale >= 1e-290, got {deviation!r}. Use a larger clipping bound."
        )
    return step


def add_plain(total: Tensor, blocks: Blocks, scale: float) -> None:
    """Add ``scale`` times the blocks to ``total`` in place; the blocks are used up."""
    host = _host(total)
    flat = host.view(-1).numpy()
    for place, block in blocks:
        block *= scale
        flat[place] += block
    if host.data_ptr() != total.data_ptr():
        total.copy_(host)


def add_rounded(total: Tensor, blocks: Blocks, scale: float, step: float, out: Tensor) -> None:
    """Put the sum plus ``scale`` times the blocks, both on the grid of ``step``, into ``out``.

    Parameters
    ----------
    total
        Any shape, float32 or float64.
    blocks
        Float64 noise of scale 1 in blocks; used up.
    scale, step
        The noise's scale and the grid's step, a power of two.
    out
        Same shape as ``total``, or ``total`` itself. In float64 each number is a whole multiple
        of ``step``; in float32 such a multiple is rounded, which is post-processing.

    Raises
    ------
    ConfigError
        If the sum has NaN. Then nothing may be released: the bound of a row did not hold.
    """
    source, target = _host(total), _host(out)
    sums, flat = source.view(-1).numpy(), target.view(-1).numpy()
    for place, block in blocks:
        part = sums[place].astype(np.float64)
        part *= 1.0 / step  # exact: a power of two
        np.rint(part, out=part)
        np.minimum(part, _LIMIT, out=part)
        np.maximum(part, -_LIMIT, out=part)
        block *= scale / step
        np.rint(block, out=block)
        part += block
        part *= step
        if math.isnan(part.sum()):
            raise ConfigError(
                "Expected a sum without NaN to add noise to, got NaN. Nothing was released; give "
                "rows whose gradient is not finite the weight 0."
            )
        flat[place] = part
    if target.data_ptr() != out.data_ptr():
        out.copy_(target)


def _host(tensor: Tensor) -> Tensor:
    """Return the tensor if it is contiguous in main memory, else a copy that is."""
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ConfigError(f"Expected a sum in float32 or float64, got {tensor.dtype}.")
    return tensor.detach().cpu().contiguous()
