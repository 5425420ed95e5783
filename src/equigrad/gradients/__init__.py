"""Per-sample gradients in one backward pass: norms, weighted sums, inner products, group sums."""

from equigrad.gradients.checks import check_per_sample, per_record_loss, replace_batchnorm
from equigrad.gradients.layers import LAYERS, DecomposedRule, LayerRule, Use
from equigrad.gradients.oracle import per_sample_oracle
from equigrad.gradients.passes import PerSamplePass, per_sample_gradients
from equigrad.gradients.pieces import (
    MixedPiece,
    OuterPiece,
    PatchPiece,
    Piece,
    RowsPiece,
    ScatterPiece,
    SumPiece,
)
from equigrad.gradients.result import LayerPlan, PerSampleGradients
from equigrad.gradients.tape import Tape

__all__ = [
    "LAYERS",
    "DecomposedRule",
    "LayerPlan",
    "LayerRule",
    "MixedPiece",
    "OuterPiece",
    "PatchPiece",
    "PerSampleGradients",
    "PerSamplePass",
    "Piece",
    "RowsPiece",
    "ScatterPiece",
    "SumPiece",
    "Tape",
    "Use",
    "check_per_sample",
    "per_record_loss",
    "per_sample_gradients",
    "per_sample_oracle",
    "replace_batchnorm",
]
