"""Embedding tables: a record's gradient lives in the rows it looked up."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from equigrad.gradients.layers.base import LAYERS, LayerRule, Use
from equigrad.gradients.pieces import Piece, ScatterPiece

__all__ = ["EmbeddingRule"]


@LAYERS.register(nn.Embedding)
class EmbeddingRule(LayerRule):
    """``torch.nn.Embedding``: ids ``(B, *)`` of any shape; ``padding_idx`` gets no gradient.

    Options that let records depend on each other are refused by the checks next door.
    """

    def pieces(self, module: nn.Module, use: Use, b: Tensor) -> Sequence[Piece]:
        """Return the piece of the table."""
        table = cast("nn.Embedding", module)
        weight = use.wanted(module, "weight")
        if weight is None:
            return []
        ids = use.input().reshape(b.shape[0], -1)
        b = b.reshape(b.shape[0], ids.shape[1], -1)
        if table.padding_idx is not None:
            b = b.masked_fill((ids == table.padding_idx).unsqueeze(2), 0)
        return [ScatterPiece(weight, ids, b, use.tape.workspace, layer=use.name)]
