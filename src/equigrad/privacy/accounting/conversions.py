"""Conversions between ways to state privacy: Gaussian DP, zCDP, Rényi, groups, all to (eps, delta).

Each takes and returns numbers or arrays, in float64 and nats. Neighbours: ``individual`` converts
the losses of single records, ``pairs`` enters converted guarantees into compositions.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import erf, log_ndtr

from equigrad._validate import in_range, positive_int
from equigrad.errors import ConfigError
from equigrad.privacy.accounting.delta import checked_delta

__all__ = ["gaussian_epsilon", "group_privacy", "renyi_epsilon", "zcdp_epsilon"]

Float64 = npt.NDArray[np.float64]
_ROUNDS: Final = 200  # halvings at worst; Newton needs about ten


def gaussian_epsilon(mu: npt.ArrayLike, delta: float) -> Float64:
    """Return the epsilon of Gaussian differential privacy ``mu`` at ``delta``: tight.

    The root of ``Phi(mu/2 - eps/mu) - exp(eps) Phi(-mu/2 - eps/mu) = delta`` (Balle and Wang, ICML
    2018; Dong, Roth and Su, JRSS-B 2022), to 1e-12 relative. Exactly 0 for ``mu = 0``, and where
    delta is met at epsilon 0 already; infinite for ``mu = inf``.

    Parameters
    ----------
    mu
        >= 0, of any shape; sqrt(T)/sigma for T full-batch Gaussian steps.
    delta
        In (0, 1).

    Returns
    -------
    numpy.ndarray
        float64, in the shape of ``mu``.

    Raises
    ------
    ConfigError
        If an argument is impossible.
    """
    values = _nonnegative("mu", mu)
    checked_delta(delta)
    flat = values.reshape(-1)
    found = np.where(np.isinf(flat), np.inf, 0.0)
    open_ = np.isfinite(flat) & (erf(flat / math.sqrt(8.0)) > delta)  # delta at epsilon 0
    if open_.any():
        found[open_] = _gaussian_root(flat[open_], math.log(delta))
    return found.reshape(values.shape)


def _gaussian_root(mu: Float64, log_delta: float) -> Float64:
    """Return the root for finite mu > 0 that has one, by Newton's rule kept within brackets."""
    low = np.zeros_like(mu)
    high = 0.5 * mu * mu + mu * math.sqrt(-2.0 * log_delta)
    guess = high.copy()
    done = np.zeros(mu.shape, dtype=bool)  # each stops by itself, so no value depends on others
    for _ in range(_ROUNDS):
        upper, lower = log_ndtr(0.5 * mu - guess / mu), log_ndtr(-0.5 * mu - guess / mu)
        share = np.minimum(guess + lower - upper, -1e-300)  # log of the subtracted part
        gap = upper + np.log(-np.expm1(share)) - log_delta
        slope = -np.exp(share) / -np.expm1(share)  # derivative of the gap
        low, high = np.where(gap > 0.0, guess, low), np.where(gap > 0.0, high, guess)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = guess - gap / slope
        inside = (step >= low) & (step <= high)
        moved = np.where(inside, step, 0.5 * (low + high))
        close = np.abs(moved - guess) <= 1e-13 * (guess + mu)
        guess = np.where(done, guess, moved)
        done |= close
        if done.all():
            return guess
    return np.where(done, guess, high)


def zcdp_epsilon(rho: npt.ArrayLike, delta: float) -> Float64:
    """Return ``rho + 2 sqrt(rho ln(1/delta))``, the epsilon of rho-zCDP at ``delta``.

    Bun and Steinke (TCC 2016), Proposition 1.3. Simple, and not tight: see ``gaussian_epsilon``.

    Parameters
    ----------
    rho
        >= 0, of any shape.
    delta
        In (0, 1).

    Returns
    -------
    numpy.ndarray
        float64, in the shape of ``rho``.

    Raises
    ------
    ConfigError
        If an argument is impossible.
    """
    values = _nonnegative("rho", rho)
    checked_delta(delta)
    return np.asarray(values + 2.0 * np.sqrt(values * -math.log(delta)))


def renyi_epsilon(orders: Sequence[float], rdp: npt.ArrayLike, delta: float) -> Float64:
    """Return the least epsilon at ``delta`` that Rényi divergences of given orders allow.

    Canonne, Kamath and Steinke (2020), Proposition 12, as dp-accounting has it: the minimum over
    the orders of ``r + ln(1 - 1/a) - ln(delta a)/(a - 1)``, 0 at least, and 0 where
    ``1 - exp(-r) < delta^2``.

    Parameters
    ----------
    orders
        ``(m,)``, each above 1.01.
    rdp
        ``(..., m)``: Rényi divergence bounds, >= 0.
    delta
        In (0, 1).

    Returns
    -------
    numpy.ndarray
        ``(...,)`` float64.

    Raises
    ------
    ConfigError
        If an argument is impossible.
    """
    values, a = _nonnegative("rdp", rdp), np.asarray(orders, dtype=np.float64)
    checked_delta(delta)
    if a.ndim != 1 or not a.size or not bool((a > 1.01).all()):
        raise ConfigError(f"Expected orders above 1.01, got {list(orders)!r}.")
    if values.ndim == 0 or values.shape[-1] != a.size:
        raise ConfigError(f"Expected rdp of shape (..., {a.size}), got {values.shape}.")
    each = values + (np.log1p(-1.0 / a) - np.log(delta * a) / (a - 1.0))
    each = np.where(delta**2 + np.expm1(-values) > 0.0, 0.0, each)
    return np.asarray(np.maximum(each.min(axis=-1), 0.0))


def group_privacy(epsilon: float, delta: float, size: int) -> tuple[float, float]:
    """Return what (``epsilon``, ``delta``) for one record is for a group of ``size`` records.

    ``(c eps, delta (e^(c eps) - 1)/(e^eps - 1))`` (Vadhan 2017, Lemma 2.2, summed); ``c delta`` at
    epsilon 0. The second number may be above 1: then nothing is promised.

    Parameters
    ----------
    epsilon, delta
        >= 0 and in [0, 1].
    size
        c >= 1.

    Raises
    ------
    ConfigError
        If an argument is impossible.
    """
    in_range("epsilon", epsilon, 0.0, math.inf)
    in_range("delta", delta, 0.0, 1.0)
    positive_int("size", size)
    if size == 1 or delta == 0.0:
        return size * epsilon, delta
    if epsilon == 0.0:
        return 0.0, size * delta
    if size * epsilon > 700.0:
        return size * epsilon, math.inf
    return size * epsilon, delta * math.expm1(size * epsilon) / math.expm1(epsilon)


def _nonnegative(name: str, values: npt.ArrayLike) -> Float64:
    """Return ``values`` as float64 if all are numbers >= 0, else raise ``ConfigError``."""
    array = np.asarray(values, dtype=np.float64)
    if not bool((array >= 0.0).all()):
        raise ConfigError(
            f"Expected {name} to hold numbers >= 0, got {array[~(array >= 0.0)][:3]}."
        )
    return array
