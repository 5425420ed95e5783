"""What the order of the scores is worth: models with records removed, for the owner only."""

from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.errors import ConfigError
from equigrad.federation.streams import numpy_stream
from equigrad.steward.scoring.comparing import correct_on
from equigrad.steward.scoring.job import Job
from equigrad.steward.scoring.progress import ScoreListener
from equigrad.steward.scoring.training import train_plainly
from equigrad.valuation import ScoreSet, suspicion
from equigrad.valuation.detection import removal_curves

__all__ = ["removal_body"]

_STEP, _MOST = 0.1, 0.5
_TRAININGS = 1 + 3 * round(_MOST / _STEP)


def removal_body(job: Job, scores: ScoreSet, listener: ScoreListener) -> dict[str, Any]:
    """Return test accuracies with the least valuable, the most valuable and random records gone.

    The models are trained on the records without any protection, like the scorer's model of a
    research run, each from the same weights.
    """
    try:
        order = suspicion(scores)
    except ConfigError as error:
        return {"scorer": scores.scorer, "note": str(error)}
    if len(order) < round(1 / _STEP):
        return {"scorer": scores.scorer, "note": "Too few records to remove a tenth of them."}
    listener.stage(
        "removal", "models with records removed by score, trained WITHOUT privacy", "models"
    )
    done = 0

    def accuracy(kept: npt.NDArray[np.int64]) -> float:
        nonlocal done
        features, labels = (part[kept] for part in job.data())
        model = train_plainly(
            job.settings,
            job.material,
            (features, labels),
            job.numbers,
            stepped=lambda made, total: None,
            marked=lambda step, model: None,
        )
        done += 1
        listener.moved(done, _TRAININGS)
        test = job.material.test
        return float(correct_on(model, test.features, test.labels).mean())

    curves = removal_curves(
        order,
        accuracy,
        generator=numpy_stream(job.settings.seed, "removal"),
        step=_STEP,
        most=_MOST,
    )
    return {
        "scorer": scores.scorer,
        "removed": curves.removed.tolist(),
        "least_valuable": curves.least_valuable.tolist(),
        "most_valuable": curves.most_valuable.tolist(),
        "random": curves.random.tolist(),
    }
