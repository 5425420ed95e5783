"""A fitted second stage: what it needs of a query, and the correction it adds.

Neighbours: ``stage`` makes it, the estimators answer with it.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from equigrad.assistance.arrays import Bool, Float64
from equigrad.assistance.learners import Learner
from equigrad.assistance.model import AssistedModel, Outputs
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["SecondStageModel", "stage_inputs"]


@dataclass(frozen=True)
class SecondStageModel:
    """A correction of the assisted model's scores; the sponsor's alone.

    Attributes
    ----------
    kept
        Whether the gate let it through; else :meth:`correction` is 0.
    reason
        ``"kept"``, ``"gate"``, ``"rows"`` (too few to fit and judge) or ``"budget"``.
    gain, error
        Mean fall of the loss on the rows that judged, and its standard error.
    steps
        ``(T2,)``.
    n_messages
        Residuals sent to assisting parties, and their answers, beyond the first stage's.
    events
        Privacy events beyond the first stage's.
    inputs
        ``"parts"`` or ``"answers"``.
    """

    kept: bool
    reason: str
    gain: float = 0.0
    error: float = 0.0
    steps: tuple[float, ...] = ()
    n_messages: int = 0
    events: tuple[PrivacyEvent, ...] = ()
    inputs: str = "parts"
    learner: Learner | None = field(default=None, repr=False)
    centre: Float64 | None = field(default=None, repr=False)
    scale: Float64 | None = field(default=None, repr=False)

    def correction(
        self,
        model: AssistedModel,
        outputs: Outputs,
        own: npt.NDArray[np.generic],
        complete: Bool,
    ) -> Float64:
        """Return ``(n, K)`` to add to the scores; 0 in rows that some party takes no part in.

        Parameters
        ----------
        model
            The assisted model.
        outputs
            ``(party, round) -> (n, K)`` on the query rows.
        own
            ``(n, ...)`` the sponsor's columns.
        complete
            ``(n,)`` bool: all parties are there and hold the row.
        """
        found = np.zeros((len(own), len(model.start)))
        if not self.kept or self.learner is None or not complete.any():
            return found
        held = np.ones((len(own), len(model.names)), dtype=np.bool_)
        told = stage_inputs(model, outputs, held, self.inputs)
        Z = standardised(told, own, self.learner, self.centre, self.scale)[0][complete]
        for t, step in enumerate(self.steps, start=1):
            found[complete] += step * self.learner.predict(t, Z)
        return found


def stage_inputs(model: AssistedModel, outputs: Outputs, held: Bool, inputs: str) -> Float64:
    """Return the parties' inputs ``(n, q)``: parts, or all answers."""
    if inputs == "parts":
        parts = model.parts(outputs, held)
        return np.concatenate(list(parts), axis=1)
    rounds, parties = range(1, model.n_rounds + 1), range(len(model.names))
    found = [outputs(m, t) for t in rounds for m in parties]
    return np.concatenate([np.zeros((len(held), 0)), *found], axis=1)


def standardised(
    told: Float64,
    own: npt.NDArray[np.generic],
    learner: Learner,
    centre: Float64 | None = None,
    scale: Float64 | None = None,
) -> tuple[Float64, Float64, Float64]:
    """Return inputs beside own columns, each with mean 0 and deviation 1; and both numbers.

    What is missing in own columns is the mean, for learners that cannot take it.
    """
    Z = np.concatenate([told, np.asarray(own, dtype=np.float64).reshape(len(own), -1)], axis=1)
    if centre is None or scale is None:
        some = np.isfinite(Z)
        counts = np.maximum(some.sum(axis=0), 1)
        centre = np.where(some, Z, 0.0).sum(axis=0) / counts
        square = (np.where(some, Z - centre, 0.0) ** 2).sum(axis=0) / counts
        scale = np.where(square > 0.0, np.sqrt(square), 1.0)
    Z = (Z - centre) / scale
    if not learner.takes_missing:
        Z = np.nan_to_num(Z, nan=0.0)
    return Z, centre, scale
