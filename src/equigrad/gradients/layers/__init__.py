"""Layer rules: how each kind of layer turns what flowed through it into pieces.

Importing this package registers them all.
"""

from equigrad.gradients.layers.base import (
    LAYERS,
    DecomposedRule,
    LayerRegistry,
    LayerRule,
    Rule,
    Use,
)
from equigrad.gradients.layers.conv import ConvRule
from equigrad.gradients.layers.embedding import EmbeddingRule
from equigrad.gradients.layers.linear import LinearRule
from equigrad.gradients.layers.norms import (
    BatchNormRule,
    GroupNormRule,
    InstanceNormRule,
    LayerNormRule,
    RMSNormRule,
)

__all__ = [
    "LAYERS",
    "BatchNormRule",
    "ConvRule",
    "DecomposedRule",
    "EmbeddingRule",
    "GroupNormRule",
    "InstanceNormRule",
    "LayerNormRule",
    "LayerRegistry",
    "LayerRule",
    "LinearRule",
    "RMSNormRule",
    "Rule",
    "Use",
]
