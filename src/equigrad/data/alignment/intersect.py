"""Which rows two parties share, and whether they are enough.

Neighbours: ``digests``; ``psi`` finds the same without sending digests of other rows.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from equigrad.data.alignment.digests import Digests, sortable
from equigrad.errors import AlignmentError

__all__ = ["check_common", "intersect"]


def intersect(wanted: Digests, own: Digests) -> npt.NDArray[np.int64]:
    """Return where each wanted row stands among one's own, ``(n,) int64``; -1 where it is missing.

    ``O((n + N) log N)`` time and ``O(n + N)`` memory.

    Parameters
    ----------
    wanted
        ``(n, 32)``, in any order.
    own
        ``(N, 32)``, in any order, none twice.
    """
    if not len(own):
        return np.full(len(wanted), -1, dtype=np.int64)
    ours = sortable(own)
    order = np.argsort(ours, kind="stable")
    theirs = sortable(wanted)
    at = order[np.searchsorted(ours, theirs, sorter=order).clip(max=len(own) - 1)]
    return np.where(ours[at] == theirs, at, -1).astype(np.int64)


def check_common(common: Mapping[str, int], n_rows: int, n_outputs: int) -> None:
    """Raise ``AlignmentError`` if a party shares no row with the sponsor, or fewer than 2K.

    Parameters
    ----------
    common
        How many of the sponsor's rows each party holds.
    n_rows
        How many the sponsor has.
    n_outputs
        K, columns of the residual.
    """
    least = 2 * n_outputs
    short = [name for name, count in common.items() if count < least]
    if not short:
        return
    told = ", ".join(f"{name} {count}" for name, count in common.items())
    empty = [name for name in short if common[name] == 0]
    remedy = (
        f"Check that {', '.join(empty)} uses the same key, id column and id_fold."
        if empty
        else "Leave the party out, or find more rows that it shares."
    )
    raise AlignmentError(
        f"Expected every party to hold at least {least} of the sponsor's {n_rows} rows (two for "
        f"each of {n_outputs} outputs), got: {told}. {remedy}"
    )
