"""Which pieces belong together: those of one part of a parameter, whose norms do not just add.

A parameter that is used twice has the sum of both uses as its gradient. Neighbours: the pieces,
which know how to merge with their like, and the result, which adds squared norms of the rest.
"""

import itertools
from collections.abc import Mapping, Sequence

from torch import nn

from equigrad.gradients.pieces import MixedPiece, Piece

__all__ = ["grouped", "matched"]


def grouped(
    parameters: Mapping[str, nn.Parameter], pieces: Sequence[Piece]
) -> dict[str, list[Piece]]:
    """Return, for each parameter, pieces on disjoint parts of it, so that squared norms add."""
    by_id: dict[int, list[Piece]] = {id(p): [] for p in parameters.values()}
    for piece in pieces:
        if id(piece.parameter) in by_id:
            by_id[id(piece.parameter)].append(piece)
    return {name: _disjoint(by_id[id(p)]) for name, p in parameters.items()}


def _disjoint(pieces: list[Piece]) -> list[Piece]:
    """Merge pieces of the same part; write overlapping parts out together."""
    if len(pieces) < 2:
        return pieces
    by_view: dict[tuple[int, int], list[Piece]] = {}
    for piece in pieces:
        rows = piece.parameter.shape[0] if piece.parameter.ndim else 1
        start, stop, _ = (piece.view or slice(None)).indices(rows)
        by_view.setdefault((start, stop), []).append(piece)
    spans = sorted(by_view)
    if any(a[1] > b[0] for a, b in itertools.pairwise(spans)):
        return [MixedPiece(pieces)]
    merged = []
    for span in spans:
        first, *rest = by_view[span]
        one = (first.stack(rest) if rest else first) or MixedPiece([first, *rest])
        merged.append(one)
    return merged


def matched(mine: list[Piece], theirs: list[Piece]) -> list[tuple[Piece, Piece]]:
    """Pair pieces of the same parts of a parameter; write them out where the parts differ."""
    if not mine or not theirs:
        return []
    if [p.view for p in mine] == [p.view for p in theirs]:
        return list(zip(mine, theirs, strict=True))
    return [(MixedPiece(mine), MixedPiece(theirs))]
