"""How far scorers agree on the order of the records."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from equigrad.errors import DataError
from equigrad.valuation.base import Float64
from equigrad.valuation.detection._checks import numbers

__all__ = ["agreement"]


def agreement(suspicion: Mapping[str, npt.ArrayLike]) -> tuple[tuple[str, ...], Float64]:
    """Return the scorers' names and the matrix of their rank correlations.

    Parameters
    ----------
    suspicion
        ``(n,)`` numbers of the same records by scorer, all in one direction; infinite ones are
        allowed.

    Returns
    -------
    names, matrix
        ``(s,)`` names in the order given and ``(s, s) float64`` Spearman correlations with
        average ranks; NaN in the row and the column of constant numbers.

    Raises
    ------
    DataError
        If there are none, or lengths differ.
    NonFiniteScoreError
        If a number is NaN.
    """
    given = {name: numbers(values) for name, values in suspicion.items()}
    lengths = {name: values.size for name, values in given.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(f"Expected numbers of the same records, got lengths {lengths}.")
    ranks = rankdata(np.stack(list(given.values())), method="average", axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    lengths_of = np.sqrt((ranks**2).sum(axis=1))
    scale = np.outer(lengths_of, lengths_of)
    matrix = np.full(scale.shape, np.nan)
    np.divide(ranks @ ranks.T, scale, out=matrix, where=scale > 0)
    return tuple(given), np.clip(matrix, -1.0, 1.0)
