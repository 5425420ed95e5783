"""Pieces: parts of records' gradients that know their norms, weighted sums and inner products."""

from equigrad.gradients.pieces.base import Piece, accumulation
from equigrad.gradients.pieces.materialised import MixedPiece, RowsPiece
from equigrad.gradients.pieces.outer import OuterPiece
from equigrad.gradients.pieces.patch import Geometry, PatchPiece
from equigrad.gradients.pieces.scatter import ScatterPiece
from equigrad.gradients.pieces.shared import SharedGrams
from equigrad.gradients.pieces.summed import SumPiece

__all__ = [
    "Geometry",
    "MixedPiece",
    "OuterPiece",
    "PatchPiece",
    "Piece",
    "RowsPiece",
    "ScatterPiece",
    "SharedGrams",
    "SumPiece",
    "accumulation",
]
