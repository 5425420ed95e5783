"""The contract of a party's learner, and the registry of learners.

A learner fits what it is sent (the residual of one round) on its party's own columns, and keeps the
model of every round. Neighbours: ``parties`` runs the learners of one process.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from equigrad.assistance.arrays import Float64
from equigrad.errors import ModelError
from equigrad.registry import Registry

__all__ = ["LEARNERS", "Learner"]


class Learner(ABC):
    """Fits the residuals of one party's rows, round by round.

    One instance serves one pass of one party: :meth:`fresh`, then :meth:`prepare` once, then
    :meth:`fit` for t = 1, 2, ... in order, then :meth:`predict` for any round fitted so far.

    Guarantee: equal inputs and seeds give equal predictions; :meth:`predict` of a round gives a row
    the same output in any company of rows (within 1e-10, relative), and, unless ``restates``, the
    same after later rounds; no global random state is moved, no argument mutated. Where
    ``scale_residual`` is true, ``fit(t, a R)`` predicts a times what ``fit(t, R)`` does (a > 0).

    Parameters
    ----------
    scale_residual
        Divide each column of the residual by its root mean square before the fit, and multiply the
        predictions by it. Residuals shrink from round to round; learners with a fixed tolerance or
        learning rate stall without it.

    Class attributes
    ----------------
    name
        The learner's name in :data:`LEARNERS`.
    linear
        True for least squares and ridge, which hardly memorise single rows: then weights may be
        found on the rows that were sent.
    takes_missing
        True if NaN among the features is allowed.
    restates
        True if a fit changes the outputs of earlier rounds, so that all have to be told again.
    savable
        True if :meth:`save` writes the models. The models of other learners come again by the same
        fits: equal rows, residuals and seeds give equal predictions.
    """

    name: ClassVar[str]
    linear: bool = False
    takes_missing: bool = False
    restates: bool = False
    savable: bool = False

    def __init__(self, *, scale_residual: bool = True) -> None:
        self.scale_residual = scale_residual
        self._scales: dict[int, Float64] = {}
        self._n_outputs = 0

    @abstractmethod
    def fresh(self) -> Self:
        """Return a learner of the same settings that has seen nothing."""

    def prepare(self, X: npt.NDArray[Any], sample_weight: Float64 | None = None) -> None:
        """Take the party's training rows; called once, before the first fit.

        Parameters
        ----------
        X
            ``(n, ...)``; most learners want ``(n, d)``.
        sample_weight
            ``(n,)`` how much each row counts, or None for all alike.

        Raises
        ------
        ModelError
            If the learner cannot use such rows or weights.
        """
        if len(X) == 0:
            raise ModelError("Expected at least one row to learn from, got none.")
        self._scales = {}
        self._prepare(X, sample_weight)

    def fit(self, t: int, R: Float64, seed: np.random.SeedSequence) -> None:
        """Fit round ``t``.

        Parameters
        ----------
        t
            1, 2, ..., each once and in order.
        R
            ``(n, K)`` float64 residuals of the rows given to :meth:`prepare`.
        seed
            All the randomness of this fit.

        Raises
        ------
        ModelError
            If the fit fails.
        """
        scale = np.ones(R.shape[1])
        if self.scale_residual:
            scale = np.sqrt((R * R).mean(axis=0))
            scale[scale == 0.0] = 1.0
        self._scales[t], self._n_outputs = scale, R.shape[1]
        self._fit(t, R / scale, seed)

    def predict(self, t: int, X: npt.NDArray[Any]) -> Float64:
        """Return round t's outputs ``(n, K)`` float64 for rows ``X``.

        Raises
        ------
        ModelError
            If round t was not fitted, or forgotten.
        """
        if t not in self._scales:
            raise ModelError(
                f"Expected a round that was fitted, one of {sorted(self._scales)}; got {t}."
            )
        if len(X) == 0:
            return np.zeros((0, self._n_outputs))
        return self._predict(t, X) * self._scales[t]

    def predict_all(self, t: int, X: npt.NDArray[Any]) -> Float64:
        """Return the outputs ``(t, n, K)`` of rounds 1..t, as :meth:`predict` gives each."""
        return np.stack([self.predict(s, X) for s in range(1, t + 1)])

    def keep(self, rounds: int) -> None:
        """End the pass: forget what was fitted after round ``rounds``, and the training rows."""
        for t in [t for t in self._scales if t > rounds]:
            del self._scales[t]
        self._keep(rounds)

    def save(self) -> bytes:
        """Return the models of all rounds in the safetensors format: arrays, nothing that runs.

        Raises
        ------
        ModelError
            If the learner is not ``savable``.
        """
        self._refuse_unsavable()
        rounds = sorted(self._scales)
        scales = [self._scales[t] for t in rounds]
        arrays = {
            "rounds": np.array(rounds, dtype=np.int64),
            "scales": np.array(scales, dtype=np.float64).reshape(len(rounds), self._n_outputs),
        }
        models = {f"model/{name}": array for name, array in self._saved().items()}
        return save_arrays({**arrays, **models})

    def load(self, content: bytes) -> None:
        """Take the models that :meth:`save` of a learner of equal settings returned.

        Their predictions are the same to the bit. It cannot be fitted further.

        Raises
        ------
        ModelError
            If the learner is not ``savable``, or ``content`` is not of such a learner.
        """
        self._refuse_unsavable()
        try:
            arrays = load_arrays(content)
            rounds, scales = arrays["rounds"].tolist(), arrays["scales"]
            self._scales = dict(zip(rounds, scales, strict=True))
            self._n_outputs = scales.shape[1]
            start = "model/"
            models = {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
            self._restore(rounds, models)
        except (SafetensorError, KeyError, ValueError, RuntimeError, IndexError) as error:
            raise ModelError(
                f"Expected models saved by a learner {self.name!r} of equal settings, got: {error}"
            ) from error

    def _refuse_unsavable(self) -> None:
        if not self.savable:
            raise ModelError(
                f"Expected a learner whose models can be saved, got {self.name!r}. Keep its "
                "residuals, and fit them again with the same seeds."
            )

    @abstractmethod
    def _prepare(self, X: npt.NDArray[Any], sample_weight: Float64 | None) -> None:
        """Take the rows."""

    @abstractmethod
    def _fit(self, t: int, R: Float64, seed: np.random.SeedSequence) -> None:
        """Fit the scaled residual."""

    @abstractmethod
    def _predict(self, t: int, X: npt.NDArray[Any]) -> Float64:
        """Return the scaled outputs of at least one row."""

    def _keep(self, rounds: int) -> None:
        """Forget later models; a learner may keep them where that costs nothing."""
        del rounds

    def _saved(self) -> dict[str, npt.NDArray[Any]]:
        """Return the models' arrays by name; of a savable learner."""
        return {}

    def _restore(self, rounds: list[int], arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Take the arrays that :meth:`_saved` returned; of a savable learner."""
        del rounds, arrays

    def describe(self) -> dict[str, Any]:
        """Return the name and settings, ready for JSON."""
        return {"learner": self.name, "scale_residual": self.scale_residual}


LEARNERS: Registry[type[Learner]] = Registry("learner")
"""The learners that need no argument, by name."""
