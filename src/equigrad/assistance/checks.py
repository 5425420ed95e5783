"""Whether a party's answer can be used; one that cannot counts as missing, with a reason.

Neighbour: ``sponsor``.
"""

from typing import Final

import numpy as np

from equigrad.assistance.arrays import Bool, Float64

__all__ = ["checked_answer"]

_TOO_LARGE: Final = 1e3


def checked_answer(
    answer: object, held: Bool, t: int, n_outputs: int, size: float
) -> tuple[Float64 | None, str]:
    """Return the answer, zero where its party holds no row, and why it is None if it is.

    Parameters
    ----------
    answer
        ``(N, K)``; or ``(t, N, K)``, where all rounds so far are stated again; or None.
    held
        ``(N,)``: rows the party holds.
    t, n_outputs
        The round and K.
    size
        Root mean square of the residual that was sent; an answer above 1000 times it is refused.
    """
    if answer is None:
        return None, "no answer"
    try:
        values = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError):
        return None, "no numbers"
    shape = (len(held), n_outputs)
    if values.shape not in (shape, (t, *shape)):
        return None, f"shape {values.shape}, expected {shape}"
    if not held.all():
        values = np.where(held[:, None], values, 0.0)
    if not np.isfinite(values).all():
        return None, "NaN or infinity"
    if not held.any():
        return None, "no rows"
    last = values if values.ndim == 2 else values[-1]
    if np.sqrt((last[held] ** 2).mean()) > _TOO_LARGE * size:
        return None, "more than 1000 times the residual"
    return values, ""
