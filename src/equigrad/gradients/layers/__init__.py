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
from equigrad.gradients.layers.linear import LinearRule

__all__ = ["LAYERS", "DecomposedRule", "LayerRegistry", "LayerRule", "LinearRule", "Rule", "Use"]
