"""The door for regression."""

from sklearn.base import RegressorMixin

from equigrad.assistance.estimators.base import BaseGAL

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
