"""Pieces that can only be written out row by row: computed on demand, or the sum of others."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from equigrad.gradients.pieces.base import Piece
from equigrad.gradients.pieces.rounding import slack_of_sums
from equigrad.gradients.workspace import Workspace

__all__ = ["MixedPiece", "RowsPiece"]


class RowsPiece(Piece):
    """Rows given by a tensor, or by a function of a slice of records.

    Parameters
    ----------
    compute
        ``(B, *shape)`` tensor, or a function from a slice to ``(records, *shape)``. A function is
        called anew for each use: once for the norms and once for each sum.
    """

    def __init__(
        self,
        parameter: nn.Parameter,
        size: int,
        compute: Tensor | Callable[[slice], Tensor],
        workspace: Workspace,
        *,
        view: slice | None = None,
        layer: str = "",
    ) -> None:
        super().__init__(parameter, size, workspace, view=view, layer=layer)
        self._compute = compute
        self._bad: Tensor | None = None

    def rows(self, at: slice) -> Tensor:
        """Return ``(records, *shape)``."""
        rows = self._compute[at] if isinstance(self._compute, Tensor) else self._compute(at)
        rows = rows.reshape(-1, *self.shape)
        if self._bad is None:
            return rows
        return rows.masked_fill(self._bad[at].view(-1, *[1] * len(self.shape)), 0)

    def drop(self, bad: Tensor) -> None:
        """Zero the marked records."""
        self._bad = bad if self._bad is None else self._bad | bad


class MixedPiece(Piece):
    """The sum of pieces of different kinds of one parameter, written out to take its norm.

    Parameters
    ----------
    pieces
        Pieces of the same parameter, at least one; their views may differ.
    """

    way = "mixed rows"

    def __init__(self, pieces: Sequence[Piece]) -> None:
        first = pieces[0]
        layer = " + ".join(dict.fromkeys(piece.layer for piece in pieces))
        super().__init__(first.parameter, first.size, first.workspace, layer=layer)
        self.pieces = tuple(pieces)

    @property
    def positions(self) -> int:
        """Return the positions of all uses together."""
        return sum(piece.positions for piece in self.pieces)

    def rows(self, at: slice) -> Tensor:
        """Return ``(records, *shape)``."""
        total: Tensor | None = None
        for piece in self.pieces:
            rows = self._widened(piece, at)
            total = rows.clone() if total is None else total + rows
        if total is None:
            raise ValueError("Expected at least one piece, got none. Leave the parameter out.")
        return total

    def magnitude(self) -> Tensor:
        """Return the sum of the parts' bounds."""
        return torch.stack([piece.magnitude() for piece in self.pieces]).sum(0)

    def slack(self) -> Tensor | None:
        """Return what rounding may add: the parts' sums are added up, not their rows."""
        terms = self.positions + len(self.pieces)
        return slack_of_sums(terms, self.magnitude(), routes=2)

    def _widened(self, piece: Piece, at: slice) -> Tensor:
        """Return the piece's rows, with zeros where its view does not reach."""
        rows = piece.rows(at)
        if piece.view is None:
            return rows
        start, stop, _ = piece.view.indices(self.shape[0])
        before = rows.new_zeros(rows.shape[0], start, *self.shape[1:])
        after = rows.new_zeros(rows.shape[0], self.shape[0] - stop, *self.shape[1:])
        return torch.cat((before, rows, after), dim=1)

    def drop(self, bad: Tensor) -> None:
        """Zero the marked records in every part."""
        for piece in self.pieces:
            piece.drop(bad)

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """Return the sum of the parts' weighted sums: sums, unlike norms, may be added."""
        total: Tensor | None = None
        for piece in self.pieces:
            part = piece.weighted_sum(weights)
            if piece.view is not None:
                wide = part.new_zeros(self.shape)
                wide[piece.view] = part
                part = wide
            total = part if total is None else total + part
        if total is None:
            raise ValueError("Expected at least one piece, got none. Leave the parameter out.")
        return total

    def dots(self, vector: Tensor) -> Tensor:
        """Return the sum of the parts' inner products."""
        parts = [p.dots(vector if p.view is None else vector[p.view]) for p in self.pieces]
        return torch.stack(parts).sum(0)
