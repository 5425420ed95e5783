"""What a pass says of its own work: how the gradient of each parameter is handled.

Neighbours: the pieces choose, the result shows the lines.
"""

from dataclasses import dataclass

from equigrad.gradients.pieces import Piece

__all__ = ["LayerPlan", "plan_of"]


@dataclass(frozen=True)
class LayerPlan:
    """How the gradient of one parameter (or of a part of it) is handled.

    Attributes
    ----------
    layer, parameter
        Names in the model.
    piece
        Kind of piece.
    positions
        T, the positions summed over in each record.
    way
        How the norm is taken: "product", "gram", "rows", "sum", ...
    operations
        Approximate operations per record for the norm.
    bytes
        Bytes of one record's written-out gradient if the way is by rows, else 0.
    """

    layer: str
    parameter: str
    piece: str
    positions: int
    way: str
    operations: int
    bytes: int


def plan_of(name: str, piece: Piece) -> LayerPlan:
    """Return the line of one piece of the parameter ``name``."""
    return LayerPlan(
        piece.layer,
        name,
        type(piece).__name__,
        piece.positions,
        piece.way,
        piece.operations,
        piece.shape.numel() * piece.parameter.element_size() if "rows" in piece.way else 0,
    )
