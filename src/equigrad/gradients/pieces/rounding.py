"""How far rounding can move a sum: what a norm is lifted by so that it is never too small.

A record's norm and its share of a weighted sum are computed by different routes. Where terms
cancel, both are made of rounding errors, and those of the sum may be the larger ones: clipping by
the norm would then not bound what is released. Neighbours: pieces state their ``slack``, the
result adds it to the norms.
"""

import torch
from torch import Tensor

__all__ = ["lifted", "relative_error", "slack_of_sums"]

_UNIT = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
# What a norm may be too small by, relatively: well within the 1e-5 that sensitivity is stated to.
_FREE = {torch.float32: 2.0**-17, torch.float64: 2.0**-40}


def relative_error(terms: Tensor | int, dtype: torch.dtype) -> Tensor | float:
    """Return ``gamma_k = k u / (1 - k u)``, u the unit roundoff, for k = ``terms``.

    A sum of k rounded products errs by at most ``gamma_k`` of the sum of their sizes, in whatever
    order the terms are added (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
    Beyond ``k u = 1/2`` (8 million terms in float32) there is no claim.
    """
    share = terms * _UNIT[dtype]
    share = share.clamp(max=0.5) if isinstance(share, Tensor) else min(share, 0.5)
    return share / (1 - share)


def slack_of_sums(terms: Tensor | int, sizes: Tensor, *, routes: int) -> Tensor:
    """Return ``(B,)`` bounds on the distance between a record's release and its measured rows.

    Parameters
    ----------
    terms
        T, the outer products (or vectors) that add up to a record's rows.
    sizes
        ``(B,)`` bounds on S, the sum of the terms' Euclidean norms.
    routes
        2 if the norm was taken from rows that were added up, 1 if from the exact terms.

    Notes
    -----
    Let ``g = sum_t b_t a_t'``, ``h`` the rows the norm is taken of and ``w r`` what a weighted sum
    of this record alone gives. Entry (o, i) of h errs by at most
    ``gamma_T sum_t |b_to| |a_ti|``, so ``|h - g| <= gamma_T |sum_t |b_t| |a_t|'| <= gamma_T S`` by
    the triangle inequality, since ``| |b_t| |a_t|' | = |a_t| |b_t|``. The release takes one more
    product, by the weight: ``|r - g| <= gamma_(T+1) S``. Together ``|r| <= |h| + 2 gamma_(T+1) S``.
    One term more, ``gamma_(T+2)``, pays for the rounding of S. By Cauchy and Schwarz
    ``S <= |a| |b|`` with Frobenius norms, which cost one look at the inputs. Derived here; for
    kernels that add products, not for those that transform them (Winograd, Fourier).
    """
    return routes * relative_error(terms + 2, sizes.dtype) * sizes.detach()


def lifted(norms: Tensor, slack: Tensor) -> Tensor:
    """Return norms ``n`` with ``n (1 + f) >= norms + slack``, f = 2^-17 (2^-40 in float64).

    So a record that is clipped to C by n releases at most ``C (1 + f)``, and where nothing cancels
    the norms stay as they are.
    """
    free = _FREE[norms.dtype] * norms.detach()
    return norms + (slack - free).clamp_min(0)
