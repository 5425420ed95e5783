"""The Gram matrices of several weights that meet the same gradient, taken together.

Input and hidden weights of a recurrent layer have one ``b``; half of the work for their norms is
the product of ``b`` with itself. Neighbours: ``outer``, whose pieces are the members.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from equigrad.gradients.pieces.base import vecdot
from equigrad.gradients.workspace import Workspace

if TYPE_CHECKING:
    from equigrad.gradients.pieces.outer import OuterPiece

__all__ = ["Grams", "SharedGrams", "grams"]

Grams = tuple[Tensor, Tensor]


def grams(inputs: Sequence[Tensor], b: Tensor, workspace: Workspace) -> Iterator[list[Grams]]:
    """Yield squared norms of ``sum_t b_t a_t'`` by Gram matrices, and what may cancel in them.

    Parameters
    ----------
    inputs
        One ``a (B, T, I)`` for each weight; the widths may differ.
    b
        ``(B, T, O)``, the gradient they share.
    workspace
        Room for a few records' matrices at a time.

    Yields
    ------
    list of pairs
        For some records, in order, and each of ``inputs``: squared norms and ``sum_t |a_t||b_t|``,
        the latter without slope.
    """
    size, t, _ = b.shape
    step = workspace.chunk(2 * t * t, size, b)
    for start in range(0, size, step):
        at = slice(start, start + step)
        right = workspace.bmm("gram b", b[at], b[at].mT)
        found: list[Grams] = []
        for a in inputs:
            left = workspace.bmm("gram a", a[at], a[at].mT)
            squares = vecdot(left.flatten(1), right.flatten(1))
            found.append((squares, (_lengths(left) * _lengths(right)).sum(1)))
        yield found


def _lengths(gram: Tensor) -> Tensor:
    """Return the roots of the diagonals, ``(records, T)``: the lengths of the vectors."""
    return gram.detach().diagonal(dim1=1, dim2=2).clamp_min(0).sqrt()


class SharedGrams:
    """Members' squared norms, computed for all of them when the first is asked.

    Parameters
    ----------
    b
        ``(B, T, O)`` gradient that the members share.
    widths
        I of each member to come, to decide whether Gram matrices pay.
    """

    def __init__(self, b: Tensor, widths: Sequence[int], workspace: Workspace) -> None:
        self._members: list[OuterPiece] = []
        self._found: dict[int, Grams] = {}
        t, o, i = b.shape[1], b.shape[2], sum(widths)
        fits = 2 * t * t <= workspace.limit // b.element_size()
        self.pays = t > 1 and fits and t * t * (i + o) <= t * i * o

    def join(self, piece: "OuterPiece") -> None:
        """Take the piece among the members."""
        self._members.append(piece)

    def leave(self, piece: "OuterPiece") -> None:
        """Strike the piece off: it became part of another."""
        self._members = [member for member in self._members if member is not piece]

    def of(self, piece: "OuterPiece") -> Grams:
        """Return ``(B,)`` squared norms of a member, and what may cancel in them."""
        if id(piece) not in self._found:
            inputs = [member.a for member in self._members]
            parts = list(grams(inputs, piece.b, piece.workspace))
            for k, member in enumerate(self._members):
                squares = torch.cat([part[k][0] for part in parts])
                sizes = torch.cat([part[k][1] for part in parts])
                self._found[id(member)] = squares, sizes
        return self._found[id(piece)]
