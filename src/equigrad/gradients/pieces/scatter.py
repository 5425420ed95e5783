"""The piece of an embedding table: gradients added into the rows that were looked up."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from equigrad.gradients.pieces.base import Piece, accumulation, row_squares, vecdot
from equigrad.gradients.pieces.rounding import slack_of_sums
from equigrad.gradients.workspace import Workspace

__all__ = ["ScatterPiece"]


class ScatterPiece(Piece):
    """Rows ``g_i[v] = sum of b_it over the positions t with id_it = v`` of a table ``(V, O)``.

    Parameters
    ----------
    ids
        ``(B, T) int64`` rows of the table.
    b
        ``(B, T, O)`` gradients of the summed loss at the looked-up vectors, 0 where padded.

    Notes
    -----
    For the norm, equal ids of one record are first added up, in ``(T, O)`` numbers a record: about
    ``T O`` operations where the Gram form takes ``2 T^2 O``, and nothing cancels. Derived here.
    """

    way = "scatter"

    def __init__(
        self,
        parameter: nn.Parameter,
        ids: Tensor,
        b: Tensor,
        workspace: Workspace,
        *,
        view: slice | None = None,
        layer: str = "",
    ) -> None:
        super().__init__(parameter, ids.shape[0], workspace, view=view, layer=layer)
        self.ids = ids.long()
        self.b = accumulation(b)

    @property
    def positions(self) -> int:
        """Return T."""
        return self.ids.shape[1]

    @property
    def operations(self) -> int:
        """Return the operations per record: adding up and squaring."""
        return 3 * self.positions * self.b.shape[2]

    def _added(self, at: slice, ids: Tensor, places: int) -> Tensor:
        """Return ``b`` of the records ``at`` added into ``(records, places, O)`` by ``ids``."""
        records = ids.shape[0]
        offsets = torch.arange(records, device=ids.device)[:, None] * places
        added: Tensor = torch.ops.aten.embedding_dense_backward(
            self.b[at], ids + offsets, records * places, -1, False
        )
        return added.view(records, places, self.b.shape[2])

    def rows(self, at: slice) -> Tensor:
        """Return ``(records, V, O)``."""
        return self._added(at, self.ids[at], self.shape[0])

    def drop(self, bad: Tensor) -> None:
        """Zero the marked records."""
        self.b = self.b.masked_fill(bad[:, None, None], 0)

    @cached_property
    def _sorted(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return ids in order, which of them are new, and every position's place among the new.

        ``(B, T)`` each, by record.
        """
        ordered, order = self.ids.sort(dim=1)
        first = torch.ones_like(ordered)
        first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        places = torch.empty_like(ordered).scatter_(1, order, first.cumsum(1) - 1)
        return ordered, first.bool(), places

    def squared_norms(self) -> Tensor:
        """Return ``(B,)`` squared norms after adding up equal ids."""
        _, _, places = self._sorted
        step = self.workspace.chunk(2 * self.b[0].numel(), self.size, self.b)
        parts = []
        for start in range(0, self.size, step):
            at = slice(start, start + step)
            parts.append(row_squares(self._added(at, places[at], self.positions)))
        return torch.cat(parts)

    def magnitude(self) -> Tensor:
        """Return the norm of what the looked-up rows get if nothing cancels, or a bound on it."""
        return self._repeats()[1]

    def slack(self) -> Tensor | None:
        """Return what rounding may add where an id occurs more than once."""
        repeats, sizes = self._repeats()
        return slack_of_sums(repeats, torch.where(repeats > 1, sizes, 0), routes=2)

    def _repeats(self) -> tuple[Tensor, Tensor]:
        """Return ``(B,)`` m, how often one id occurs with a gradient, and ``sqrt(m) |b_i|``.

        With S_v the sum of |b_t| over the m_v positions of id v, ``sum_v S_v^2`` is at most
        ``sum_v m_v sum_t |b_t|^2 <= m |b|^2``.
        """
        lengths = torch.linalg.vector_norm(self.b.detach(), dim=2)
        counts = torch.zeros_like(lengths)
        counts.scatter_add_(1, self._sorted[2], (lengths > 0).to(lengths.dtype))
        repeats = counts.amax(1) if counts.shape[1] else counts.sum(1)
        return repeats, repeats.sqrt() * torch.linalg.vector_norm(lengths, dim=1)

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """Return ``sum_i w_i g_i``, ``(V, O)``."""
        weighted = self.b * weights.to(self.b.dtype)[:, None, None]
        total: Tensor = torch.ops.aten.embedding_dense_backward(
            weighted, self.ids, self.shape[0], -1, False
        )
        return total

    def dots(self, vector: Tensor) -> Tensor:
        """Return ``sum_t <v[id_it], b_it>``, ``(B,)``."""
        looked_up = vector.to(self.b.dtype)[self.ids]
        return vecdot(looked_up.flatten(1), self.b.flatten(1))

    def gram(self, other: Piece) -> Tensor:
        """Return ``(B, B')`` inner products, from pairs of records that looked up one id."""
        if not isinstance(other, ScatterPiece):
            return super().gram(other)
        record, ids, vectors = self._entries()
        their_record, their_ids, their_vectors = other._entries()
        their_ids, order = their_ids.sort()
        start = torch.searchsorted(their_ids, ids)
        many = torch.searchsorted(their_ids, ids, right=True) - start
        total = vectors.new_zeros(self.size * other.size)
        for at in self._portions(many):
            pairs = many[at]
            mine = torch.arange(at.start, at.stop, device=ids.device).repeat_interleave(pairs)
            within = torch.arange(len(mine), device=ids.device)
            within = within - (pairs.cumsum(0) - pairs).repeat_interleave(pairs)
            theirs = order[start[mine] + within]
            products = vecdot(vectors[mine], their_vectors[theirs].to(vectors.dtype))
            total = total.index_add(0, record[mine] * other.size + their_record[theirs], products)
        return total.view(self.size, other.size)

    def _entries(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return record, id and added-up gradient ``(E, O)`` of every record's different ids."""
        ordered, first, places = self._sorted
        added = self._added(slice(0, self.size), places, self.positions)
        record, _ = first.nonzero(as_tuple=True)
        place = (first.long().cumsum(1) - 1)[first]
        return record, ordered[first], added[record, place]

    def _portions(self, many: Tensor) -> Iterator[slice]:
        """Yield slices of entries that have about as many pairs as fit the workspace."""
        fitting = self.workspace.chunk(2 * self.b.shape[2], int(many.sum()) or 1, self.b)
        portion = (many.cumsum(0) - 1).div(fitting, rounding_mode="floor")
        ends = (portion.diff().nonzero()[:, 0] + 1).tolist()
        for begin, stop in itertools.pairwise([0, *ends, len(many)]):
            yield slice(begin, stop)

    def projected(
        self,
        left: Tensor,
        right: Tensor | None,
        change: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Return the images; ``sum_t L[:, id_it] (R b_it)'`` needs no rows."""
        if right is None or change is not None:
            return super().projected(left, right, change)
        return torch.bmm(left.mT[self.ids].mT, self.b @ right.mT)

    def stack(self, others: Sequence[Piece]) -> Piece | None:
        """Merge look-ups in one table along T."""
        uses: list[ScatterPiece] = [self]
        for other in others:
            if not isinstance(other, ScatterPiece):
                return None
            uses.append(other)
        ids = torch.cat([use.ids for use in uses], dim=1)
        b = torch.cat([use.b for use in uses], dim=1)
        return ScatterPiece(
            self.parameter, ids, b, self.workspace, view=self.view, layer=self.layer
        )
