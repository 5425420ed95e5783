"""Events of what is released beside models: noisy statistics, and choices by pure mechanisms.

Each function returns the event of one release, to be charged before the release happens.
Neighbours: ``events`` holds them, ``equigrad.privacy.account`` charges them.
"""

from typing import Any

from equigrad._validate import positive
from equigrad.privacy.accounting.events import PrivacyEvent

__all__ = ["gaussian_release", "pure_release", "top_k_release"]


def gaussian_release(
    released: str, *, sensitivity: float, noise_std: float, **more: Any
) -> PrivacyEvent:
    """Return the event of values released with Gaussian noise.

    Guarantee: if adding or removing one record moves the released vector by at most
    ``sensitivity`` in L2 norm, its price is that of the multiplier ``noise_std / sensitivity``.

    Parameters
    ----------
    released
        What it is: ``"scores"`` (one slot for each record, an absent record's slot reading a fixed
        value), ``"mean"``, ``"histogram"``, ``"count"``, or other words.
    sensitivity, noise_std
        Both > 0, in the units of what is released.
    more
        Further fields of :class:`PrivacyEvent`: ``label``, ``noise_form``, ``steps``, ``seeded``.

    Raises
    ------
    ConfigError
        If a number is impossible.
    """
    positive("sensitivity", sensitivity)
    positive("noise_std", noise_std)
    return PrivacyEvent(
        noise_multiplier=noise_std / sensitivity,
        sensitivity=float(sensitivity),
        released=released,
        **more,
    )


def pure_release(
    released: str, *, epsilon: float, bounded_range: bool = False, **more: Any
) -> PrivacyEvent:
    """Return the event of a choice by a mechanism that is ``epsilon``-DP by itself.

    Parameters
    ----------
    released
        What was chosen: ``"quantile"``, ``"index"``, or other words.
    epsilon
        > 0, in nats.
    bounded_range
        True for the exponential mechanism, False for permute-and-flip: see :class:`PrivacyEvent`.
    more
        Further fields of :class:`PrivacyEvent`; ``sensitivity`` is that of the utility.

    Raises
    ------
    ConfigError
        If a number is impossible.
    """
    return PrivacyEvent(
        mechanism="pure", epsilon=epsilon, bounded_range=bounded_range, released=released, **more
    )


def top_k_release(k: int, epsilon_per_round: float, **more: Any) -> PrivacyEvent:
    """Return the event of the ``k`` indices of the highest noisy scores.

    For keys ``eps0 s/Delta + Gumbel`` of scores in [0, Delta] of which one record moves its own
    only, the k highest are k rounds of the exponential mechanism (Durfee and Rogers, NeurIPS 2019):
    each of bounded range ``eps0``, together ``k eps0``-DP and ``k eps0^2 / 8``-zCDP. For utilities
    that one record may move in any direction, use ``eps0 s/(2 Delta)``. The event covers the
    indices, not the records that they point at.

    Parameters
    ----------
    k
        Rounds, >= 1.
    epsilon_per_round
        eps0 > 0.
    more
        Further fields of :class:`PrivacyEvent`; ``sensitivity`` is Delta.

    Raises
    ------
    ConfigError
        If a number is impossible.
    """
    return pure_release(
        "index set", epsilon=epsilon_per_round, bounded_range=True, **{"steps": k, **more}
    )
