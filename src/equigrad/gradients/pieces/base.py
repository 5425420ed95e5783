"""What a piece is: one additive part of every record's gradient of one parameter.

Layers make pieces from what flowed through them; the pass adds them up. The concrete pieces are
next door, one file each; everything here works from ``rows`` alone, so a new piece needs little.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from equigrad.gradients.workspace import Workspace

__all__ = ["Piece", "accumulation", "image", "row_squares", "vecdot"]


def accumulation(tensor: Tensor) -> Tensor:
    """Return ``tensor`` in a dtype fit for sums: float16 and bfloat16 become float32."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def row_squares(rows: Tensor) -> Tensor:
    """Return the squared L2 norm of each row, over all axes but the first."""
    norms: Tensor = torch.linalg.vector_norm(rows.flatten(1), dim=1)
    return norms.square()


def vecdot(left: Tensor, right: Tensor) -> Tensor:
    """Return the inner products over the last axis."""
    return (left * right).sum(-1)


def image(rows: Tensor, left: Tensor, right: Tensor | None) -> Tensor:
    """Return ``left g right'``, or ``left g`` of flattened rows; ``rows (records, *shape)``."""
    if right is None:
        return rows.reshape(len(rows), -1) @ left.mT
    matrices = rows.reshape(len(rows), left.shape[1], right.shape[1])
    return torch.matmul(left, matrices) @ right.mT


class Piece(ABC):
    """Part of the gradient of ONE parameter, for each of ``size`` records.

    A record's gradient of a parameter is the sum over that parameter's pieces.

    Parameters
    ----------
    parameter
        The parameter this is a gradient of; identity matters, not value.
    size
        Number of records B.
    workspace
        Buffers of the pass.
    view
        Rows (axis 0) of the parameter that the piece is about, as ``slice(start, stop)``; None
        means the whole parameter.
    layer
        Name of the layer, for the plan and for messages.
    """

    way: str = "rows"

    def __init__(
        self,
        parameter: nn.Parameter,
        size: int,
        workspace: Workspace,
        *,
        view: slice | None = None,
        layer: str = "",
    ) -> None:
        self.parameter = parameter
        self.size = size
        self.workspace = workspace
        self.view = view
        self.layer = layer

    @property
    def shape(self) -> torch.Size:
        """Return the shape of one record's part: that of the parameter or of its view."""
        shape = self.parameter.shape
        if self.view is None:
            return shape
        start, stop, _ = self.view.indices(shape[0])
        return torch.Size((stop - start, *shape[1:]))

    @property
    def positions(self) -> int:
        """Return T, the number of positions that are summed over in each record."""
        return 1

    @property
    def operations(self) -> int:
        """Return the approximate number of arithmetic operations per record for the norm."""
        return 2 * self.positions * self.shape.numel()

    @abstractmethod
    def rows(self, at: slice) -> Tensor:
        """Return the gradients of the records ``at``, shape ``(records, *shape)``.

        The tensor may be a borrowed buffer: use it before asking for the next.
        """

    @abstractmethod
    def drop(self, bad: Tensor) -> None:
        """Make the records marked in ``bad (B,) bool`` contribute exactly 0 from now on."""

    def chunks(self) -> Iterator[slice]:
        """Yield slices of records whose rows fit the workspace together."""
        step = self.workspace.chunk(self.shape.numel(), self.size, self.parameter)
        for start in range(0, self.size, step):
            yield slice(start, min(start + step, self.size))

    def squared_norms(self) -> Tensor:
        """Return ``(B,)`` squared L2 norms."""
        return torch.cat([row_squares(self.rows(at)) for at in self.chunks()])

    def cancellation(self) -> Tensor | None:
        """Return ``(B,)`` S, the sum of absolute sizes behind a norm that can cancel, or None.

        None says that ``squared_norms`` is a sum of squares, which loses nothing by cancelling.
        """
        return None

    def magnitude(self) -> Tensor:
        """Return ``(B,)`` bounds on the sum of the norms of the terms that add up to the rows."""
        return self.squared_norms().sqrt()

    def slack(self) -> Tensor | None:
        """Return ``(B,)`` bounds on how far a record's share of a sum may exceed its norm.

        To be asked after the norms. None says that sums are made of the very rows that the norms
        were taken of.
        """
        return None

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """Return ``sum_i weights_i g_i``, of ``shape``; ``weights (B,)``."""
        total: Tensor | None = None
        for at in self.chunks():
            rows = self.rows(at)
            part = torch.mv(rows.flatten(1).mT, weights[at].to(rows.dtype))
            total = part if total is None else total + part
        if total is None:
            return accumulation(self.parameter.new_zeros(self.shape))
        return total.view(self.shape)

    def add_weighted_sum(self, weights: Tensor, out: Tensor) -> None:
        """Add the weighted sum into ``out``, of ``shape``."""
        out.add_(self.weighted_sum(weights))

    def dots(self, vector: Tensor) -> Tensor:
        """Return ``(B,)`` inner products of the rows with ``vector``, of ``shape``."""
        parts = []
        for at in self.chunks():
            rows = self.rows(at).flatten(1)
            parts.append(torch.mv(rows, vector.reshape(-1).to(rows.dtype)))
        return torch.cat(parts)

    def gram(self, other: "Piece") -> Tensor:
        """Return ``(B, B')`` inner products with the rows of a piece of the same shape."""
        blocks = []
        for at in self.chunks():
            mine = self.rows(at).flatten(1).clone()
            line = [
                mine @ other.rows(there).flatten(1).to(mine.dtype).mT for there in other.chunks()
            ]
            blocks.append(torch.cat(line, dim=1))
        return torch.cat(blocks)

    def projected(
        self,
        left: Tensor,
        right: Tensor | None,
        change: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Return the image of every row under given maps, after ``change`` if there is one.

        ``left (p, O)`` and ``right (q, I)`` give ``(B, p, q)`` from rows seen as matrices of their
        first axis by all others; without ``right``, ``left (k, numel)`` gives ``(B, k)`` from
        flattened rows.
        """
        parts = []
        for at in self.chunks():
            rows = self.rows(at)
            parts.append(image(rows if change is None else change(rows), left, right))
        return torch.cat(parts)

    def stack(self, others: "Sequence[Piece]") -> "Piece | None":
        """Return one piece equal to the sum of this and ``others``, or None if there is none.

        ``others`` belong to the same parameter and view. Pieces of one kind merge along T.
        """
        return None
