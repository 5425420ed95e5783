"""Convolutions in one, two and three dimensions, with every option of torch's layers."""

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor, nn

from equigrad.gradients.layers.base import LAYERS, LayerRule, Use
from equigrad.gradients.pieces import Geometry, PatchPiece, Piece, SumPiece

__all__ = ["ConvRule"]


@LAYERS.register(nn.Conv1d, nn.Conv2d, nn.Conv3d)
class ConvRule(LayerRule):
    """``torch.nn.Conv1d/2d/3d``: stride, dilation, groups, any padding and padding mode."""

    def pieces(self, module: nn.Module, use: Use, b: Tensor) -> Sequence[Piece]:
        """Return the pieces of kernel and bias."""
        conv = cast("nn.Conv2d", module)  # the options are those of all three
        work, name = use.tape.workspace, use.name
        weight, bias = use.wanted(module, "weight"), use.wanted(module, "bias")
        found: list[Piece] = []
        if weight is not None:
            a, geometry = _padded(use.input(), conv)
            found.append(PatchPiece(weight, a, b, geometry, work, layer=name))
        if bias is not None:
            found.append(SumPiece(bias, b.flatten(2).sum(2).unsqueeze(1), work, layer=name))
        return found


def _padded(a: Tensor, conv: nn.Conv2d) -> tuple[Tensor, Geometry]:
    """Return the input with all padding but equal zeros done, and the remaining geometry."""
    sides = _sides(conv)
    equal = all(left == right for left, right in sides)
    padding = tuple(left for left, _ in sides)
    if conv.padding_mode != "zeros" or not equal:
        flat = [pad for side in reversed(sides) for pad in side]
        mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
        a = F.pad(a, flat, mode=mode)
        padding = (0,) * len(sides)
    return a, Geometry(tuple(conv.stride), padding, tuple(conv.dilation), conv.groups)


def _sides(conv: nn.Conv2d) -> list[tuple[int, int]]:
    """Return the padding at the left and right end of each axis; "same" pads the right end more."""
    if conv.padding == "valid":
        return [(0, 0) for _ in conv.kernel_size]
    if conv.padding == "same":
        totals = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(int(p), int(p)) for p in conv.padding]
