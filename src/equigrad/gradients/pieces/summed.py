"""The piece of a bias: the sum over positions of the gradient at the layer's output."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from equigrad.gradients.pieces.base import Piece, accumulation, row_squares
from equigrad.gradients.workspace import Workspace

__all__ = ["SumPiece"]


class SumPiece(Piece):
    """Rows ``g_i = sum_t b_it`` of a parameter with ``O`` numbers.

    Parameters
    ----------
    b
        ``(B, T, O)`` gradients of the summed loss at the layer's output. ``O`` numbers are
        reshaped to the parameter's shape.
    lengths
        Gives the ``(B, T)`` norms of ``b``, if another piece takes them anyway.
    """

    way = "sum"

    def __init__(
        self,
        parameter: nn.Parameter,
        b: Tensor,
        workspace: Workspace,
        *,
        view: slice | None = None,
        layer: str = "",
        lengths: Callable[[], Tensor] | None = None,
    ) -> None:
        super().__init__(parameter, b.shape[0], workspace, view=view, layer=layer)
        b = accumulation(b)
        self._positions = b.shape[1]
        self._lengths = lengths if b.shape[1] == 1 else None
        self.total = b[:, 0] if b.shape[1] == 1 else b.sum(1)

    def for_parameter(self, parameter: nn.Parameter) -> "SumPiece":
        """Return the same sums as the piece of another parameter that met the same gradient."""
        same = copy.copy(self)
        same.parameter = parameter
        return same

    @property
    def positions(self) -> int:
        """Return T."""
        return self._positions

    @property
    def operations(self) -> int:
        """Return the operations per record: the sum and the squares."""
        return (self._positions + 2) * self.shape.numel()

    def rows(self, at: slice) -> Tensor:
        """Return ``(records, *shape)``."""
        return self.total[at].reshape(-1, *self.shape)

    def drop(self, bad: Tensor) -> None:
        """Zero the marked records."""
        self._lengths = None
        self.total = self.total.masked_fill(bad[:, None], 0)

    def squared_norms(self) -> Tensor:
        """Return ``(B,)`` squared norms."""
        if self._lengths is not None:
            return self._lengths().square().squeeze(1)
        return row_squares(self.total)

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """Return ``sum_i w_i g_i``."""
        return torch.mv(self.total.mT, weights.to(self.total.dtype)).view(self.shape)

    def add_weighted_sum(self, weights: Tensor, out: Tensor) -> None:
        """Add the weighted sum into ``out``."""
        if out.dtype != self.total.dtype or torch.is_grad_enabled() or not out.is_contiguous():
            super().add_weighted_sum(weights, out)
            return
        out.view(-1).addmv_(self.total.mT, weights.to(self.total.dtype))

    def dots(self, vector: Tensor) -> Tensor:
        """Return ``(B,)`` inner products with ``vector``."""
        return torch.mv(self.total, vector.reshape(-1).to(self.total.dtype))

    def gram(self, other: Piece) -> Tensor:
        """Return ``(B, B')`` inner products."""
        if isinstance(other, SumPiece):
            return torch.mm(self.total, other.total.to(self.total.dtype).mT)
        return super().gram(other)

    def stack(self, others: Sequence[Piece]) -> Piece | None:
        """Add uses of one parameter."""
        uses: list[SumPiece] = [self]
        for other in others:
            if not isinstance(other, SumPiece):
                return None
            uses.append(other)
        total = torch.stack([use.total for use in uses], dim=1)
        return SumPiece(self.parameter, total, self.workspace, view=self.view, layer=self.layer)
