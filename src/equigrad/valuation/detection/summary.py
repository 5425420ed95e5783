"""All measures of one scorer at once, as the tables show them."""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from equigrad.valuation.detection.clusters import f1_two_means
from equigrad.valuation.detection.ranking import auc, average_precision, precision_at, recall_at

__all__ = ["Detection", "detection"]


@dataclass(frozen=True)
class Detection:
    """How well suspicion numbers find wrong records.

    Attributes
    ----------
    auc
        Chance that a wrong record is more suspicious than a right one.
    average_precision
        Area under precision over recall.
    precision, recall
        Among the most suspicious, as many as the share says.
    f1
        Of the high cluster of exact two-means; None if a number is infinite.
    """

    auc: float
    average_precision: float
    precision: float
    recall: float
    f1: float | None

    def to_json(self) -> dict[str, float | None]:
        """Return the numbers by name."""
        return asdict(self)


def detection(
    suspicion: npt.ArrayLike, wrong: npt.ArrayLike, share: float | None = None
) -> Detection:
    """Return all measures; ``share`` as in :func:`precision_at`, by default the true one.

    Raises
    ------
    DataError, NonFiniteScoreError
        As :func:`auc`.
    """
    finite = bool(np.isfinite(np.asarray(suspicion, dtype=np.float64)).all())
    return Detection(
        auc(suspicion, wrong),
        average_precision(suspicion, wrong),
        precision_at(suspicion, wrong, share),
        recall_at(suspicion, wrong, share),
        f1_two_means(suspicion, wrong) if finite else None,
    )
