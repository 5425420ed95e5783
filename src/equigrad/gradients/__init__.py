"""Per-sample gradients in one backward pass: norms, weighted sums, inner products, group sums."""

from equigrad.gradients.layers import LAYERS, DecomposedRule, LayerRule, Use
from equigrad.gradients.losses import per_record_loss
from equigrad.gradients.passes import PerSamplePass, per_sample_gradients
from equigrad.gradients.pieces import MixedPiece, OuterPiece, Piece, RowsPiece, SumPiece
from equigrad.gradients.result import LayerPlan, PerSampleGradients
from equigrad.gradients.tape import Tape

__all__ = [
    "LAYERS",
    "DecomposedRule",
    "LayerPlan",
    "LayerRule",
    "MixedPiece",
    "OuterPiece",
    "PerSampleGradients",
    "PerSamplePass",
    "Piece",
    "RowsPiece",
    "SumPiece",
    "Tape",
    "Use",
    "per_record_loss",
    "per_sample_gradients",
]
