"""Linear layers: a row's gradient is a sum of outer products over the middle axes."""

from collections.abc import Sequence

from torch import Tensor, nn

from equigrad.gradients.layers.base import LAYERS, LayerRule, Use
from equigrad.gradients.pieces import OuterPiece, Piece, SumPiece

__all__ = ["LinearRule"]


@LAYERS.register(nn.Linear, nn.modules.linear.NonDynamicallyQuantizableLinear)
class LinearRule(LayerRule):
    """``torch.nn.Linear``: inputs ``(B, *, I)``, outputs ``(B, *, O)``, any middle axes."""

    def pieces(self, module: nn.Module, use: Use, b: Tensor) -> Sequence[Piece]:
        """Return the pieces of weight and bias; all middle axes become T."""
        work, name = use.tape.workspace, use.name
        b = _with_positions(b)
        found: list[Piece] = []
        weight, bias = use.wanted(module, "weight"), use.wanted(module, "bias")
        lengths = None
        if weight is not None:
            outer = OuterPiece(weight, _with_positions(use.input()), b, work, layer=name)
            lengths = outer.b_norms
            found.append(outer)
        if bias is not None:
            found.append(SumPiece(bias, b, work, layer=name, lengths=lengths))
        return found


def _with_positions(tensor: Tensor) -> Tensor:
    """Return ``tensor`` as ``(B, T, features)``."""
    return tensor.unsqueeze(1) if tensor.ndim == 2 else tensor.flatten(1, -2)
