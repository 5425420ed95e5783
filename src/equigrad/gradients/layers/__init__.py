"""Layer rules: how each kind of layer turns what flowed through it into pieces.

Importing this package registers them all.
"""

from equigrad.gradients.layers.attention import AttentionRule
from equigrad.gradients.layers.base import (
    LAYERS,
    DecomposedRule,
    LayerRegistry,
    LayerRule,
    Rule,
    Use,
)
from equigrad.gradients.layers.cells import CellRule
from equigrad.gradients.layers.conv import ConvRule
from equigrad.gradients.layers.embedding import EmbeddingRule
from equigrad.gradients.layers.generic import GenericRule
from equigrad.gradients.layers.linear import LinearRule
from equigrad.gradients.layers.norms import (
    BatchNormRule,
    GroupNormRule,
    InstanceNormRule,
    LayerNormRule,
    RMSNormRule,
)
from equigrad.gradients.layers.recurrent import RecurrentRule

__all__ = [
    "LAYERS",
    "AttentionRule",
    "BatchNormRule",
    "CellRule",
    "ConvRule",
    "DecomposedRule",
    "EmbeddingRule",
    "GenericRule",
    "GroupNormRule",
    "InstanceNormRule",
    "LayerNormRule",
    "LayerRegistry",
    "LayerRule",
    "LinearRule",
    "RMSNormRule",
    "RecurrentRule",
    "Rule",
    "Use",
]
