"""The piece of a Linear layer's weight: a sum of outer products over positions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equigrad.gradients.pieces.base import Piece, accumulation, vecdot
from equigrad.gradients.workspace import Workspace

__all__ = ["OuterPiece"]


class OuterPiece(Piece):
    """Rows ``g_i = sum_t b_it a_it'`` of a weight of shape ``(O, I)``.

    Parameters
    ----------
    a
        ``(B, T, I)`` inputs of the layer.
    b
        ``(B, T, O)`` gradients of the summed loss at the layer's output.

    Notes
    -----
    With one position the squared norm is ``|a_i|^2 |b_i|^2``. With more, the cheaper of two ways:
    "gram" (``sum_{s,t} <a_s,a_t><b_s,b_t>``, about ``2 T^2 (I + O)`` operations) and "rows" (form
    ``(O, I)`` for a few records at a time, about ``2 T I O``). No tensor of all rows ever exists.
    Source: Goodfellow 2015 (arXiv 1510.01799); Bu et al. 2022 (arXiv 2210.00038).
    """

    def __init__(
        self,
        parameter: nn.Parameter,
        a: Tensor,
        b: Tensor,
        workspace: Workspace,
        *,
        view: slice | None = None,
        layer: str = "",
    ) -> None:
        super().__init__(parameter, a.shape[0], workspace, view=view, layer=layer)
        self.a = accumulation(a)
        self.b = accumulation(b)
        self.way = self._choose()

    def _choose(self) -> str:
        """Return the cheaper way to the norm whose chunk of one record fits the workspace."""
        t, i, o = self.positions, self.a.shape[2], self.b.shape[2]
        if t == 1:
            return "product"
        limit = self.workspace.limit // self.a.element_size()
        gram, rows = t * t * (i + o), t * i * o
        if i * o > limit or (gram <= rows and 2 * t * t <= limit):
            return "gram"
        return "rows"

    @property
    def positions(self) -> int:
        """Return T."""
        return self.a.shape[1]

    @property
    def operations(self) -> int:
        """Return the operations per record of the chosen way."""
        t, i, o = self.positions, self.a.shape[2], self.b.shape[2]
        return {"product": 2 * (i + o), "gram": 2 * t * t * (i + o), "rows": 2 * t * i * o}[
            self.way
        ]

    def rows(self, at: slice) -> Tensor:
        """Return ``(records, O, I)``."""
        return self.workspace.bmm("outer rows", self.b[at].mT, self.a[at])

    def drop(self, bad: Tensor) -> None:
        """Zero the marked records in ``a`` and ``b``, on copies: the model owns the originals."""
        self.a = self.a.masked_fill(bad[:, None, None], 0)
        self.b = self.b.masked_fill(bad[:, None, None], 0)

    def squared_norms(self) -> Tensor:
        """Return ``(B,)`` squared norms by the chosen way."""
        if self.way == "product":
            return (_norms(self.a) * _norms(self.b)).square().squeeze(1)
        if self.way == "rows":
            return super().squared_norms()
        t = self.positions
        step = self.workspace.chunk(2 * t * t, self.size, self.a)
        parts = [self._gram_norms(slice(s, s + step)) for s in range(0, self.size, step)]
        return torch.cat(parts)

    def _gram_norms(self, at: slice) -> Tensor:
        """Return ``sum_{s,t} <a_s,a_t><b_s,b_t>`` of the records ``at``."""
        a, b = self.a[at], self.b[at]
        left = self.workspace.bmm("outer gram a", a, a.mT)
        right = self.workspace.bmm("outer gram b", b, b.mT)
        return vecdot(left.flatten(1), right.flatten(1))

    def cancellation(self) -> Tensor | None:
        """Return ``sum_t |a_t||b_t|`` where the Gram way was taken."""
        if self.way != "gram":
            return None
        return (_norms(self.a) * _norms(self.b)).sum(1)

    def _weighted_b(self, weights: Tensor) -> Tensor:
        """Return ``weights_i b_it``, ``(B T, O)``."""
        return (self.b * weights.to(self.b.dtype)[:, None, None]).flatten(0, 1)

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """Return ``sum_i w_i g_i`` as one matrix product, ``(O, I)``."""
        return torch.mm(self._weighted_b(weights).mT, self.a.flatten(0, 1))

    def add_weighted_sum(self, weights: Tensor, out: Tensor) -> None:
        """Add the weighted sum into ``out (O, I)``, without a temporary where dtypes agree."""
        if out.dtype == self.a.dtype and not torch.is_grad_enabled():
            out.addmm_(self._weighted_b(weights).mT, self.a.flatten(0, 1))
        else:
            super().add_weighted_sum(weights, out)

    def dots(self, vector: Tensor) -> Tensor:
        """Return ``sum_t b_it' V a_it``, ``(B,)``."""
        image = self.a @ vector.to(self.a.dtype).mT
        return vecdot(image.flatten(1), self.b.flatten(1))

    def gram(self, other: Piece) -> Tensor:
        """Return ``(B, B')`` inner products; one position each needs no rows."""
        if isinstance(other, OuterPiece) and self.positions == other.positions == 1:
            a, b = other.a.to(self.a.dtype), other.b.to(self.b.dtype)
            return (self.a[:, 0] @ a[:, 0].mT) * (self.b[:, 0] @ b[:, 0].mT)
        return super().gram(other)

    def stack(self, others: Sequence[Piece]) -> Piece | None:
        """Merge uses of one weight along T."""
        uses: list[OuterPiece] = [self]
        for other in others:
            if not isinstance(other, OuterPiece):
                return None
            uses.append(other)
        a = torch.cat([use.a for use in uses], dim=1)
        b = torch.cat([use.b for use in uses], dim=1)
        return OuterPiece(self.parameter, a, b, self.workspace, view=self.view, layer=self.layer)


def _norms(tensor: Tensor) -> Tensor:
    """Return the L2 norms over the last axis."""
    norms: Tensor = torch.linalg.vector_norm(tensor, dim=-1)
    return norms
