"""Images of every record's gradient of one parameter under given linear maps.

Neighbours: the pieces project themselves where their form allows it without rows, the result asks
for all parameters.
"""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from equigrad.gradients.pieces import MixedPiece, Piece, accumulation
from equigrad.gradients.pieces.base import image

__all__ = ["Maps", "parameter_projections"]

Maps = Mapping[str, tuple[Tensor, Tensor | None]]


def parameter_projections(
    parameter: nn.Parameter,
    pieces: Sequence[Piece],
    size: int,
    maps: tuple[Tensor, Tensor | None],
    change: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """Return ``(B, p, q)`` or ``(B, k)``: the sum over pieces of disjoint parts of a parameter.

    Parameters
    ----------
    parameter
        Whose gradients they are.
    pieces
        Of disjoint parts; none if the parameter was not used.
    size
        B.
    maps
        ``(left, right)`` or ``(left, None)``, see :meth:`PerSampleGradients.projected`.
    change
        Applied to the rows of the whole parameter first.
    """
    left, right = maps
    like = accumulation(parameter.detach())
    left = left.to(like)
    right = None if right is None else right.to(like)
    if change is not None and pieces:
        return MixedPiece(pieces).projected(left, right, change)
    total = like.new_zeros(size, left.shape[0], *(() if right is None else right.shape[:1]))
    if change is not None:
        row = change(like.new_zeros(1, *parameter.shape))
        return total + image(row, left, right)
    for piece in pieces:
        total = total + piece.projected(_seen(left, right, piece), right)
    return total


def _seen(left: Tensor, right: Tensor | None, piece: Piece) -> Tensor:
    """Return the columns of ``left`` that meet a piece's part of the parameter."""
    if piece.view is None:
        return left
    if right is not None:
        return left[:, piece.view]
    return left.view(-1, *piece.parameter.shape)[:, piece.view].flatten(1)
