"""The piece of a Linear layer's weight: a sum of outer products over positions."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from equigrad.gradients.arithmetic import add_product
from equigrad.gradients.pieces.base import Piece, accumulation, vecdot
from equigrad.gradients.pieces.rounding import slack_of_sums
from equigrad.gradients.pieces.shared import Grams, SharedGrams, grams
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
    shared
        The same ``b`` met by other weights: Gram matrices are then taken for all of them.

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
        shared: SharedGrams | None = None,
    ) -> None:
        super().__init__(parameter, a.shape[0], workspace, view=view, layer=layer)
        self.a = accumulation(a)
        self.b = accumulation(b)
        self._shared = shared if shared is not None and shared.pays else None
        self._sizes: Tensor | None = None
        self._b_norms: Tensor | None = None
        if self._shared is not None:
            self._shared.join(self)
        self.way = self._choose() if self._shared is None else "gram"

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
        self._alone()
        self._sizes = self._b_norms = None
        self.a = self.a.masked_fill(bad[:, None, None], 0)
        self.b = self.b.masked_fill(bad[:, None, None], 0)

    def squared_norms(self) -> Tensor:
        """Return ``(B,)`` squared norms by the chosen way."""
        if self.way == "product":
            return (_norms(self.a) * self.b_norms()).square().squeeze(1)
        if self.way == "rows":
            return super().squared_norms()
        squares, self._sizes = self._grams()
        return squares

    def b_norms(self) -> Tensor:
        """Return ``(B, T)`` norms of ``b``, taken once: the bias beside asks for them, too."""
        if self._b_norms is None:
            self._b_norms = _norms(self.b)
        return self._b_norms

    def cancellation(self) -> Tensor | None:
        """Return ``sum_t |a_t||b_t|`` where the Gram way was taken."""
        if self.way != "gram":
            return None
        return self._grams()[1] if self._sizes is None else self._sizes

    def magnitude(self) -> Tensor:
        """Return ``|a_i||b_i|``."""
        return _lengths(self.a) * _lengths(self.b)

    def slack(self) -> Tensor | None:
        """Return what rounding may add to a sum over positions."""
        if self.way == "product":
            return None
        sizes = self.cancellation()
        if sizes is not None:
            return slack_of_sums(self.positions, sizes, routes=1)
        return slack_of_sums(self.positions, self.magnitude(), routes=2)

    def _grams(self) -> Grams:
        """Return squared norms from Gram matrices, and what may cancel in them."""
        if self._shared is not None:
            return self._shared.of(self)
        parts = list(grams([self.a], self.b, self.workspace))
        return torch.cat([one[0] for (one,) in parts]), torch.cat([one[1] for (one,) in parts])

    def _alone(self) -> None:
        """Share no longer."""
        if self._shared is not None:
            self._shared.leave(self)
            self._shared = None

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """Return ``sum_i w_i g_i``, ``(O, I)``."""
        if torch.is_grad_enabled():
            weighted = self.b * weights.to(self.b.dtype)[:, None, None]
            return torch.mm(weighted.flatten(0, 1).mT, self.a.flatten(0, 1))
        out = self.a.new_zeros(self.shape)
        self.add_weighted_sum(weights, out)
        return out

    def add_weighted_sum(self, weights: Tensor, out: Tensor) -> None:
        """Add the weighted sum into ``out (O, I)``.

        The smaller of ``a`` and ``b`` takes the weights, a cached part at a time.
        """
        if out.dtype != self.a.dtype or torch.is_grad_enabled():
            out.add_(self.weighted_sum(weights))
            return
        a, b, axis = self.a, self.b, 0
        if b.stride(0) < b.stride(1):  # positions outside, as recurrent layers have it
            a, b, axis = a.transpose(0, 1), b.transpose(0, 1), 1
        spread = weights.to(a.dtype).view((-1, 1, 1) if axis == 0 else (1, -1, 1))
        step = self.workspace.chunk(a.shape[1] * min(a.shape[2], b.shape[2]), a.shape[0], a)
        if step >= a.shape[0]:
            self._add_product(a, b, spread, out)
            return
        for start in range(0, a.shape[0], step):
            at = slice(start, start + step)
            self._add_product(a[at], b[at], spread[at] if axis == 0 else spread, out)

    def _add_product(self, a: Tensor, b: Tensor, share: Tensor, out: Tensor) -> None:
        """Add the weighted sum of a part to ``out``."""
        if a.shape[2] <= b.shape[2]:
            a = self._scaled(a, share)
        else:
            b = self._scaled(b, share)
        add_product(out, b.flatten(0, 1).mT, a.flatten(0, 1))

    def _scaled(self, tensor: Tensor, share: Tensor) -> Tensor:
        """Return ``tensor * share`` in a kept buffer."""
        return torch.mul(tensor, share, out=self.workspace.take("outer", tensor.shape, tensor))

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

    def projected(
        self,
        left: Tensor,
        right: Tensor | None,
        change: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Return the images; ``sum_t (L b_it)(R a_it)'`` needs no rows."""
        if right is None or change is not None:
            return super().projected(left, right, change)
        return torch.bmm((self.b @ left.mT).mT, self.a @ right.mT)

    def stack(self, others: Sequence[Piece]) -> Piece | None:
        """Merge uses of one weight along T."""
        uses: list[OuterPiece] = [self]
        for other in others:
            if not isinstance(other, OuterPiece):
                return None
            uses.append(other)
        for use in uses:
            use._alone()
        a = torch.cat([use.a for use in uses], dim=1)
        b = torch.cat([use.b for use in uses], dim=1)
        return OuterPiece(self.parameter, a, b, self.workspace, view=self.view, layer=self.layer)


def _lengths(tensor: Tensor) -> Tensor:
    """Return each record's Frobenius norm, without slope."""
    lengths: Tensor = torch.linalg.vector_norm(tensor.detach(), dim=(1, 2))
    return lengths


def _norms(tensor: Tensor) -> Tensor:
    """Return the L2 norms over the last axis."""
    norms: Tensor = torch.linalg.vector_norm(tensor, dim=-1)
    return norms
