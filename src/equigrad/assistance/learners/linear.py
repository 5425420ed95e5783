"""Least squares and ridge in closed form, with an intercept."""

from abc import abstractmethod
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import svd

from equigrad._validate import in_range
from equigrad.assistance.arrays import Float64
from equigrad.assistance.learners.base import LEARNERS, Learner
from equigrad.errors import ModelError

__all__ = ["LeastSquares", "Ridge"]


class _Linear(Learner):
    """A linear map of the columns: factorised once, after that one product a round."""

    linear = True
    savable = True

    def __init__(self, *, scale_residual: bool = True) -> None:
        super().__init__(scale_residual=scale_residual)
        self._coefficients: dict[int, Float64] = {}
        self._solver: Float64 | None = None

    def coefficients(self, t: int) -> Float64:
        """Return round t's ``(1 + d, K)`` coefficients in the residual's units, intercept first."""
        return self._coefficients[t] * self._scales[t]

    def _prepare(self, X: npt.NDArray[Any], sample_weight: Float64 | None) -> None:
        rows = _flat(X)
        weight = np.ones(len(rows)) if sample_weight is None else sample_weight
        self._coefficients = {}
        self._solver = self._factorised(rows, weight / weight.sum())

    @abstractmethod
    def _factorised(self, rows: Float64, share: Float64) -> Float64:
        """Return the ``(1 + d, n)`` matrix that maps a residual to coefficients."""

    def _fit(self, t: int, R: Float64, seed: np.random.SeedSequence) -> None:
        del seed
        if self._solver is None:
            raise ModelError("Expected prepare(X) before fit, got a learner without rows.")
        self._coefficients[t] = self._solver @ R

    def _predict(self, t: int, X: npt.NDArray[Any]) -> Float64:
        found = self._coefficients[t]
        return np.asarray(_flat(X) @ found[1:] + found[0])

    def _keep(self, rounds: int) -> None:
        self._coefficients = {t: b for t, b in self._coefficients.items() if t <= rounds}
        self._solver = None

    def _saved(self) -> dict[str, npt.NDArray[Any]]:
        return {str(t): np.ascontiguousarray(b) for t, b in self._coefficients.items()}

    def _restore(self, rounds: list[int], arrays: dict[str, npt.NDArray[Any]]) -> None:
        self._coefficients = {t: arrays[str(t)] for t in rounds}


@LEARNERS.register("least_squares")
class LeastSquares(_Linear):
    """Minimises ``|R - A b|^2``, A with a column of ones; the solution of least norm.

    Parameters
    ----------
    scale_residual
        See :class:`Learner`; without effect on a linear map.
    """

    name = "least_squares"

    def fresh(self) -> Self:
        """Return another one."""
        return type(self)(scale_residual=self.scale_residual)

    def _factorised(self, rows: Float64, share: Float64) -> Float64:
        root = np.sqrt(share)
        full = np.column_stack([np.ones(len(rows)), rows]) * root[:, None]
        cut = max(full.shape) * np.finfo(float).eps
        return np.asarray(np.linalg.pinv(full, rcond=cut) * root)


@LEARNERS.register("ridge")
class Ridge(_Linear):
    """Minimises ``(1/N) |R - A b|^2 + penalty |b|^2``, the intercept free.

    Columns are taken as they are: standardise them where their units differ. Sample weights take
    the place of 1/N, with their sum as N.

    Parameters
    ----------
    penalty
        lambda >= 0; at 0 the slopes have least norm.
    scale_residual
        See :class:`Learner`; without effect on a linear map.
    """

    name = "ridge"

    def __init__(self, penalty: float = 1e-3, *, scale_residual: bool = True) -> None:
        super().__init__(scale_residual=scale_residual)
        self.penalty = float(in_range("penalty", penalty, 0.0, np.inf, right_open=True))

    def fresh(self) -> Self:
        """Return another one of the same penalty."""
        return type(self)(self.penalty, scale_residual=self.scale_residual)

    def _factorised(self, rows: Float64, share: Float64) -> Float64:
        root = np.sqrt(share)[:, None]
        mean = share @ rows
        left, sizes, right = svd((rows - mean) * root, full_matrices=False)
        large = sizes > max(rows.shape) * np.finfo(float).eps * sizes.max(initial=0.0)
        shrink = np.divide(sizes, sizes**2 + self.penalty, out=np.zeros_like(sizes), where=large)
        slopes = (right.T * shrink) @ (left * root).T
        return np.vstack([share - mean @ slopes, slopes])

    def describe(self) -> dict[str, Any]:
        """Return name and penalty."""
        return {**super().describe(), "penalty": self.penalty}


def _flat(X: npt.NDArray[Any]) -> Float64:
    """Return rows as ``(n, d)`` float64."""
    return np.asarray(X, dtype=np.float64).reshape(len(X), -1)
