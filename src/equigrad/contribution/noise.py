"""Values for uploads that carry known noise: correction, spread, and how far to trust them.

An upload arrives as ``x_i = u_i + z_i`` with independent zero-mean noise of known variance. The
noise adds ``D s2_i`` to its squared norm and nothing, on average, to any other inner product; so
taking that off the diagonal gives an unbiased Gram matrix of the clean uploads, on which every
rule of this folder runs as it is. Derived here.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from equigrad._validate import choice, nonnegative_weights, positive_int, square_matrix
from equigrad.contribution.base import Float64
from equigrad.errors import ConfigError

__all__ = ["Noise", "Trust", "correct_gram", "gram_spread", "trust"]

NoiseKind = Literal["gaussian", "laplace"]
TrustLevel = Literal["ok", "weak", "not trustworthy"]

_OK_SNR = 10.0
_WEAK_SNR = 4.0
_ZERO_SHARE_LIMIT = 0.01
_EXCESS_KURTOSIS = {"gaussian": 0.0, "laplace": 3.0}


@dataclass(frozen=True, eq=False)
class Noise:
    """Independent noise that the parties added to their uploads before sending them.

    Attributes
    ----------
    variance
        ``(n,) float64``, each party's noise variance per coordinate, finite, >= 0 (Laplace noise
        of scale b: ``2 b^2``); 0 for a party that added none.
    dimension
        Number of coordinates that carry noise (D).
    kind
        ``"gaussian"`` or ``"laplace"``.

    Raises
    ------
    ConfigError
        (a ``ValueError``) if a variance is negative or not finite, the dimension is not a whole
        number >= 1, or the kind is unknown.
    """

    variance: Float64
    dimension: int
    kind: NoiseKind = "gaussian"

    def __post_init__(self) -> None:
        variance = np.array(self.variance, dtype=np.float64)
        if variance.ndim != 1:
            raise ConfigError(f"Expected one noise variance per party, got {variance.shape}.")
        bad = np.flatnonzero(~np.isfinite(variance) | (variance < 0))
        if bad.size:
            raise ConfigError(
                f"Expected noise variances finite and >= 0, got {variance[bad[0]]} for party "
                f"{bad[0]}. Declare 0 for a party that added no noise."
            )
        positive_int("dimension", self.dimension)
        choice("kind", self.kind, _EXCESS_KURTOSIS)
        object.__setattr__(self, "variance", variance)

    @property
    def silent(self) -> bool:
        """Whether no party added any noise."""
        return not self.variance.any()

    def take(self, parties: npt.ArrayLike) -> "Noise":
        """Return the noise of the parties at these positions."""
        return Noise(self.variance[np.asarray(parties)], self.dimension, self.kind)

    def rescaled(self, factors: npt.ArrayLike) -> "Noise":
        """Return the noise after upload i was multiplied by ``factors[i]``."""
        return Noise(self.variance * np.square(factors), self.dimension, self.kind)


@dataclass(frozen=True)
class Trust:
    """How far a round's values can be trusted under noise.

    ``snr`` is the aggregate's squared norm over its standard deviation (inf without noise).
    ``level`` is "ok" from 10 on, "weak" from 4 on, else "not trustworthy": the noise is too
    strong to tell parties apart and the values should change nobody's reputation.
    """

    snr: float
    level: TrustLevel


def correct_gram(X: npt.ArrayLike, noise: Noise) -> Float64:
    """Return an unbiased Gram matrix of the clean uploads from that of the noisy ones.

    Parameters
    ----------
    X
        ``(n, n)``, Gram matrix of the uploads as they arrived.
    noise
        What the parties declared.

    Returns
    -------
    ndarray
        ``(n, n) float64``; entries of the diagonal may be negative. A copy of X, bit for bit,
        where the variance is 0. If the coordinator rescales upload i by f_i after the noise was
        added, multiply by ``outer(f, f)`` after this correction.

    Raises
    ------
    ValueError
        If X is not a finite square matrix with one row for each variance.
    """
    C = square_matrix("the Gram matrix", X).copy()
    _same_size(C, noise)
    C[np.diag_indices_from(C)] -= noise.dimension * noise.variance
    return C


def gram_spread(C: npt.ArrayLike, noise: Noise) -> Float64:
    """Return ``(n, n)`` variances of the entries of the corrected Gram matrix.

    ``s2_j |u_i|^2 + s2_i |u_j|^2 + D s2_i s2_j`` off the diagonal and
    ``4 s2_i |u_i|^2 + K D s2_i^2`` on it, K = 2 for Gaussian and 5 for Laplace noise; the squared
    norms are read off ``C`` (the corrected matrix), negative ones as 0.
    """
    C = square_matrix("the Gram matrix", C)
    _same_size(C, noise)
    s2, D = noise.variance, noise.dimension
    norms = np.maximum(np.diagonal(C), 0.0)
    spread: Float64 = np.outer(norms, s2) + np.outer(s2, norms) + D * np.outer(s2, s2)
    fourth = 2.0 + _EXCESS_KURTOSIS[noise.kind]
    spread[np.diag_indices_from(spread)] = 4 * s2 * norms + fourth * D * s2**2
    return spread


def trust(C: npt.ArrayLike, weights: npt.ArrayLike, noise: Noise, zero_share: float = 0.0) -> Trust:
    """Judge how far the values of the corrected Gram matrix can be trusted.

    Parameters
    ----------
    C
        ``(n, n)``, corrected Gram matrix.
    weights
        ``(n,)``, the weights the values were computed with.
    noise
        What the parties declared.
    zero_share
        ``Values.degenerate_share`` of the values; above 1 % they are not trustworthy.

    Returns
    -------
    Trust
        Without any noise: ``Trust(inf, "ok")``, whatever the zero share.

    Raises
    ------
    ValueError
        If C is not a finite square matrix, or a weight is negative or not finite.
    """
    C = square_matrix("the Gram matrix", C)
    _same_size(C, noise)
    a = nonnegative_weights("weights", weights, len(C))
    if noise.silent:
        return Trust(float("inf"), "ok")
    a = a / a.sum()
    total = float(a @ C @ a)
    s2, D = noise.variance, noise.dimension
    summed = float(a**2 @ s2)
    variance = 4 * summed * max(total, 0.0) + 2 * D * summed**2
    variance += _EXCESS_KURTOSIS[noise.kind] * D * float(a**4 @ s2**2)
    snr = total / float(np.sqrt(variance)) if variance > 0 else float("inf")
    return Trust(snr, _level(snr, zero_share))


def _level(snr: float, zero_share: float) -> TrustLevel:
    if snr < _WEAK_SNR or zero_share > _ZERO_SHARE_LIMIT:
        return "not trustworthy"
    return "ok" if snr >= _OK_SNR else "weak"


def _same_size(C: Float64, noise: Noise) -> None:
    if len(C) != len(noise.variance):
        raise ValueError(
            f"Expected one noise variance for each of {len(C)} parties, got {len(noise.variance)}."
        )
