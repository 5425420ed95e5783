"""From reputation to reward ratio: which part of the aggregate a party's share buys.

One formula serves both presets; the paper's is the case without sharpening and without the
number of parties. Shares come from ``reputation``, ratios go to a reward rule (``base``).
"""

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive
from equigrad.errors import ConfigError

__all__ = ["paper_ratio", "ratio", "robust_ratio"]

Float64 = npt.NDArray[np.float64]


def ratio(
    shares: npt.ArrayLike,
    *,
    beta: float,
    sharpness: float = 1.0,
    factor: float = 1.0,
    eligible: npt.ArrayLike | None = None,
) -> Float64:
    """Return ``q_i = tanh(beta F s_i) / max_j tanh(beta F s_j)`` with ``s_i = r_i^p / sum r^p``.

    Parameters
    ----------
    shares
        ``(N,)`` reputations r of the members, >= 0.
    beta
        Altruism, > 0; ``inf`` gives everybody eligible with a positive share the full aggregate.
    sharpness
        Exponent p, > 0; above 1 it spreads the ratios.
    factor
        F, > 0: 1 in the paper, the number of members N in the robust preset, where q does not
        depend on N for shares proportional to fixed relative values.
    eligible
        ``(N,) bool``, whom the maximum runs over; the others get 0. Default: everybody.

    Returns
    -------
    ``(N,) float64``
        In [0, 1]; the best eligible party has exactly 1; 0 for whoever is not eligible or has no
        share. All zero when nobody eligible has a share.

    Raises
    ------
    ConfigError
        For beta, sharpness or factor <= 0, negative or NaN shares, lengths that differ.
    """
    positive("beta", beta, finite=False)
    positive("sharpness", sharpness)
    positive("factor", factor)
    r, allowed = _checked(shares, eligible)
    top = r.max(initial=0.0)
    if not top > 0:
        return np.zeros(r.size)
    powers = (r / top) ** sharpness  # relative to the top first: a large power underflows to 0
    # inf * 0 would be NaN
    scaled = (
        np.where(r > 0, np.inf, 0.0) if np.isinf(beta) else beta * factor * powers / _sum(powers)
    )
    heights = np.where(allowed, np.tanh(scaled), 0.0)
    best = heights.max(initial=0.0)
    return heights / best if best > 0 else np.zeros(r.size)


def paper_ratio(shares: npt.ArrayLike, *, beta: float = 1.0) -> Float64:
    """Return the paper's ratio, ``tanh(beta r_i) / max_j tanh(beta r_j)``, ``(N,) float64``.

    Source: Xu et al., NeurIPS 2021. See :func:`ratio` for shapes and errors.
    """
    return ratio(shares, beta=beta)


def robust_ratio(
    shares: npt.ArrayLike,
    eligible: npt.ArrayLike,
    *,
    beta: float = 0.25,
    sharpness: float = 2.0,
    n_members: int | None = None,
    warm: bool = False,
) -> Float64:
    """Return the robust preset's ratio, ``(N,) float64``: ``beta * N``, sharpened, no floor.

    Errors are those of :func:`ratio`. Derived here.

    Parameters
    ----------
    shares
        ``(N,)`` reputations r of the members.
    eligible
        ``(N,) bool``: present, not excluded, and uploaded something other than zero.
    beta, sharpness
        As in :func:`ratio`.
    n_members
        N; default: the length of ``shares``.
    warm
        Whether the round belongs to the warm-up: then every party that would get more than
        nothing gets 1.
    """
    members = np.asarray(shares).size if n_members is None else n_members
    if not members:
        return np.zeros(0)
    q = ratio(shares, beta=beta, sharpness=sharpness, factor=members, eligible=eligible)
    if not warm:
        return q
    r, allowed = _checked(shares, eligible)
    return np.where(allowed & (r > 0), 1.0, 0.0)


def _sum(powers: Float64) -> float:
    return float(powers.sum())


def _checked(
    shares: npt.ArrayLike, eligible: npt.ArrayLike | None
) -> tuple[Float64, npt.NDArray[np.bool_]]:
    r = np.asarray(shares, dtype=np.float64)
    allowed = np.ones(r.shape, np.bool_) if eligible is None else np.asarray(eligible, np.bool_)
    if r.ndim != 1 or allowed.shape != r.shape:
        raise ConfigError(
            f"Expected shares and eligibility of one length, got shapes {r.shape}, {allowed.shape}."
        )
    if not (np.isfinite(r) & (r >= 0)).all():
        raise ConfigError(f"Expected shares to be finite and >= 0, got {np.array2string(r)}.")
    return r, allowed
