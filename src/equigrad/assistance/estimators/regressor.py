"""The door for regression."""

from collections.abc import Collection, Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_array, column_or_1d

from equigrad.assistance.estimators.base import BaseGAL
from equigrad.assistance.state import TrainingState
from equigrad.assistance.training import OnRound
from equigrad.errors import DataError

__all__ = ["GALRegressor"]


class GALRegressor(RegressorMixin, BaseGAL):  # type: ignore[misc]  # scikit-learn is untyped
    """Regression by parties that hold different columns of the same rows.

    Each round the sponsor sends what its prediction misses, every party fits that with its own
    learner on its own columns, and the sponsor adds the best convex mix of the answers (Diao, Ding,
    Tarokh, NeurIPS 2022). Without ``parties`` it is gradient boosting of one learner.

    The sum is of functions of single parties' columns: it never learns what only two parties'
    columns together tell.

    Parameters
    ----------
    learner
        What parties fit with: a name in :data:`~equigrad.assistance.LEARNERS`, a
        :class:`~equigrad.assistance.Learner`, a scikit-learn regressor, a PyTorch module, or a
        mapping of these by party. ``"auto"`` is ridge; with ``preset="reference"`` the authors'
        linear learner.
    parties
        Columns by party name, as ``ColumnTransformer`` takes them; None for blocks, or for one
        party.
    sponsor
        Whose labels they are; the first party if None.
    remainder
        Columns that are nobody's: ``"error"``, ``"sponsor"`` or ``"drop"``.
    loss
        ``"mse"``, ``"mae"``, ``"l1.5"``, ``"l4"``, a loss, or a function in PyTorch.
    init, n_rounds, weights, rate, eta_max, shrinkage, stopping, validation_fraction, refit
        See :class:`~equigrad.assistance.Settings`.
    weigh_on
        ``"train"``, ``"holdout"``, or ``"auto"``: ``"train"`` if all learners are linear.
    absent
        What happens at prediction when a party does not answer: ``"renormalise"``, ``"zero"`` or
        ``"refuse"``.
    privacy
        A :class:`~equigrad.assistance.LabelPrivacy`, or None.
    preset
        ``"reference"`` for the authors' recipe, which replaces the settings above.
    second_stage
        None; ``"boosting"`` or any learner of a party's, ``"linear"``, or a
        :class:`~equigrad.assistance.SecondStage`. Rows that some party takes no part in are
        answered without it; contributions and staged predictions are those of the first stage.
    random_state
        Chooses held-out rows and seeds the learners. With ``privacy``, None for secret noise; a
        number makes the fit repeatable and not private.

    Attributes
    ----------
    init_
        ``(K,)`` constant start.
    weights_, steps_
        ``(T, M)`` assistance weights and ``(T,)`` steps.
    loss_, validation_loss_
        Loss on the rows sent, rounds 0..T; mean loss on the rows that chose T, all rounds tried.
    n_rounds_
        T.
    contributions_
        :class:`~equigrad.assistance.Contributions`.
    participants_, party_names_
        Parties that answered in some round; all of them, in order.
    stopped_
        Why training ended.
    events_
        Privacy events of all releases.
    second_stage_
        What became of the second stage, a :class:`~equigrad.assistance.SecondStageModel`; or None.
    n_features_in_, feature_names_in_
        As in scikit-learn; of all parties' columns together.
    """

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        held: Any = None,
        on_round: OnRound | None = None,
        state: TrainingState | None = None,
    ) -> Self:
        """Train.

        Parameters
        ----------
        X
            One table ``(n, d)``; or :class:`~equigrad.assistance.PartyBlocks`, or a list or mapping
            of blocks ``(n, ...)``.
        y
            ``(n,)`` or ``(n, K)``.
        sample_weight
            ``(n,)``; the parties learn it, too.
        held
            ``(n, M)`` bool: party m holds row i, M in the order of the parties with the sponsor
            first. Rows a party does not hold are never read.
        on_round
            Called with the :class:`~equigrad.assistance.Pass` after every round.
        state
            What its ``state()`` returned, to go on from there.

        Raises
        ------
        ConfigError, DataError, ModelError, ValueError
            For settings, rows or learners that do not fit each other.
        BudgetExceededError
            If labels are to be released once and the account refuses.
        """
        blocks = self._opened(X, y)
        target = self._target(y)
        self._flat = target.ndim == 1
        self._train(
            blocks,
            target.reshape(len(target), -1),
            classes=None,
            sample_weight=sample_weight,
            held=held,
            on_round=on_round,
            state=state,
        )
        return self

    def predict(
        self, X: Any, *, absent: Collection[str] = (), held: Any = None
    ) -> npt.NDArray[np.float64]:
        """Return values, ``(n,)`` or ``(n, K)`` as the labels were; see :meth:`answer`."""
        return self._shaped(self.answer(X, absent=absent, held=held).scores)

    def staged_predict(
        self, X: Any, *, absent: Collection[str] = (), held: Any = None
    ) -> Iterator[npt.NDArray[np.float64]]:
        """Yield the values after each round 1..T."""
        for scores in self._staged(X, absent, held):
            yield self._shaped(scores)

    def _target(self, y: Any) -> npt.NDArray[np.float64]:
        target = check_array(
            y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=self, allow_nd=False
        )
        if target.ndim > 2 or target.size == 0:
            raise DataError(f"Expected labels (n,) or (n, K), got shape {target.shape}.")
        if target.ndim == 2 and target.shape[1] == 1:
            target = column_or_1d(target, warn=True)
        found: npt.NDArray[np.float64] = target
        return found

    def _shaped(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return scores[:, 0] if self._flat else scores

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that several outputs are fine."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
