"""The bound on an upload: the party's own, and the coordinator's cap against outsized uploads.

A party bounds its update before anything leaves it. ``rescale`` (the paper) gives every upload
the same norm, up or down; ``clip`` (the robust preset) never scales up, so that a party that has
converged may say little.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from equigrad._validate import in_range, positive, positive_int
from equigrad.errors import ConfigError, UploadError
from equigrad.registry import Registry

__all__ = ["BOUNDS", "Bound", "Clip", "Rescale", "RescaleEps", "auto_gamma", "gamma_at"]
__all__ += ["median_cap", "norm"]

FloatArray = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]


def norm(update: npt.ArrayLike) -> float:
    """Return the Euclidean norm of a flat vector, computed in float64 without over/underflow.

    Raises
    ------
    UploadError
        For a vector that is not flat and floating, or holds NaN or inf.
    """
    vector = np.asarray(update)
    if vector.ndim != 1 or vector.dtype.kind != "f":
        raise UploadError(
            f"Expected a flat floating update, got {vector.dtype} of shape {vector.shape}. "
            "Flatten the parameters' change."
        )
    scale = float(np.abs(vector).max(initial=0.0))
    if not np.isfinite(scale):
        raise UploadError(
            "Expected a finite update, got NaN or inf in it. Lower the learning rate or look "
            "for faulty records."
        )
    if scale == 0:
        return 0.0
    scaled = vector.astype(np.float64) / scale
    # numpy's own sum: a BLAS dot product may change its last bits with the number of threads
    return scale * float(np.sqrt(np.square(scaled).sum()))


class Bound(ABC):
    """Turns an update into an upload of known norm, by one factor over the whole flat vector.

    Guarantees: the direction is the update's; a zero update gives a zero upload; the norm of the
    upload is at most gamma (``clip``: never above it by a single bit of rounding).
    """

    name: ClassVar[str]

    @abstractmethod
    def factor(self, length: float, gamma: float) -> float:
        """Return what an update of norm ``length`` is multiplied with (finite, >= 0)."""

    def __call__(self, update: npt.ArrayLike, gamma: float) -> FloatArray:
        """Return the upload.

        Parameters
        ----------
        update
            ``(D,)`` floating (numpy or a CPU tensor), finite; not changed.
        gamma
            The bound on the norm, > 0.

        Returns
        -------
        ``(D,)`` in the update's dtype.

        Raises
        ------
        ConfigError
            For gamma <= 0.
        UploadError
            For an update that is not flat, floating and finite.
        """
        positive("gamma", gamma)
        vector = np.asarray(update)
        scaled: FloatArray = vector * vector.dtype.type(self.factor(norm(vector), gamma))
        return scaled


BOUNDS: Registry[type[Bound]] = Registry("upload bound")


@BOUNDS.register("rescale")
class Rescale(Bound):
    """``u = gamma * Delta / ||Delta||``, up as well as down (Xu et al., NeurIPS 2021)."""

    name: ClassVar[str] = "rescale"

    def factor(self, length: float, gamma: float) -> float:
        """See :meth:`Bound.factor`."""
        return gamma / length if length > 0 else 0.0

    def __call__(self, update: npt.ArrayLike, gamma: float) -> FloatArray:
        """Return the upload; see :meth:`Bound.__call__`."""
        vector = np.asarray(update)
        length = norm(vector)
        if 0 < length < gamma * float(np.finfo(vector.dtype).tiny):
            # the factor would overflow; one entry of 1 keeps it near gamma
            vector = vector / np.abs(vector).max()
        return super().__call__(vector, gamma)


@BOUNDS.register("rescale-eps")
class RescaleEps(Bound):
    """``u = gamma * Delta / (||Delta|| + 1e-7)``, as in the authors' published code."""

    name: ClassVar[str] = "rescale-eps"

    def factor(self, length: float, gamma: float) -> float:
        """See :meth:`Bound.factor`."""
        return gamma / (length + 1e-7)


@BOUNDS.register("clip")
class Clip(Bound):
    """``u = Delta * min(1, gamma / ||Delta||)``: never scaled up, never longer than gamma.

    An update within the bound is returned unchanged, to the last bit. Derived here.
    """

    name: ClassVar[str] = "clip"

    def factor(self, length: float, gamma: float) -> float:
        """See :meth:`Bound.factor`."""
        return min(1.0, gamma / length) if length > 0 else 1.0

    def __call__(self, update: npt.ArrayLike, gamma: float) -> FloatArray:
        """Return the upload; see :meth:`Bound.__call__`."""
        upload = super().__call__(update, gamma)
        excess = float(np.finfo(upload.dtype).eps)
        while norm(upload) > gamma:  # rounding of the factor and of the entries, a bit or two
            upload = upload * upload.dtype.type(max(1 - excess, 0.0))
            excess *= 2  # so that it ends even where small numbers no longer shrink
        return upload


def gamma_at(t: int, rounds: int, gamma: float, end: float = 0.1) -> float:
    """Return the bound of round t, ``gamma * end^(t / (rounds - 1))``.

    Parameters
    ----------
    t
        The round, 0..rounds-1.
    rounds
        Rounds in all, T >= 1; with one round the bound is ``gamma``.
    gamma
        The bound of round 0, > 0.
    end
        The last round's bound as a part of the first's, > 0 (1: constant, as in the paper).

    Raises
    ------
    ConfigError
        For a value out of its range.
    """
    positive_int("rounds", rounds)
    in_range("t", t, 0, rounds - 1)
    positive("gamma", gamma)
    positive("gamma_end", end)
    return float(gamma) if rounds == 1 else float(gamma * end ** (t / (rounds - 1)))


def auto_gamma(norms: npt.ArrayLike, factor: float = 2.0) -> float:
    """Return the bound of round 0 from the norms of the first updates: twice their median.

    Parameters
    ----------
    norms
        ``(n,)`` norms the parties report, >= 0; zeros say nothing about the scale and are left
        out.
    factor
        What the median is multiplied with, > 0.

    Raises
    ------
    ConfigError
        When no norm is positive.
    """
    positive("factor", factor)
    median = _median(_norms(norms))
    if median is None:
        raise ConfigError("Expected a positive norm to set gamma from, got none. Give gamma.")
    return factor * median


def median_cap(norms: npt.ArrayLike, factor: float = 2.0) -> Float64:
    """Return the factors of the coordinator's cap, ``min(1, factor * median / norm)``.

    Parameters
    ----------
    norms
        ``(n,)`` norms of the present parties' uploads, >= 0 (of noisy uploads: the noise-corrected
        norms). The median runs over the positive ones.
    factor
        The cap in medians, > 0 (``norm_cap``); ``inf`` caps nothing.

    Returns
    -------
    ``(n,) float64``
        In (0, 1]; 1 for a zero upload. One party of any size moves the cap no further than to
        the next norm, so nobody outweighs the crowd. Derived here.

    Raises
    ------
    ConfigError
        For a factor <= 0 or norms that are negative or not finite.
    """
    positive("norm_cap", factor, finite=False)
    lengths = _norms(norms)
    median = _median(lengths)
    if median is None:
        return np.ones(lengths.size)
    cap = factor * median
    return np.divide(cap, lengths, out=np.ones(lengths.size), where=lengths > cap)


def _norms(norms: npt.ArrayLike) -> Float64:
    lengths = np.asarray(norms, dtype=np.float64)
    if lengths.ndim != 1 or not (np.isfinite(lengths) & (lengths >= 0)).all():
        raise ConfigError(f"Expected norms (n,) finite and >= 0, got {lengths!r}.")
    return lengths


def _median(lengths: Float64) -> float | None:
    moving = lengths[lengths > 0]
    return float(np.median(moving)) if moving.size else None
