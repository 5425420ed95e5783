"""The table of scores: one row for each record, for its owner only.

Parquet holds the numbers to the last bit; CSV holds the same for people.
"""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from equigrad.errors import ConfigError, RecordError
from equigrad.federation.record.canonical import sha256_array
from equigrad.steward.scoring.material import Scored
from equigrad.steward.scoring.places import ScorePlaces, write_private
from equigrad.valuation import Reliability, ScoreSet, suspicion

__all__ = ["KEPT", "has_side", "read_table", "restored", "scores_digest", "write_table"]

KEPT = "kept"


def write_table(
    places: ScorePlaces,
    scored: Scored,
    scores: Sequence[ScoreSet],
    kept: npt.NDArray[np.bool_] | None = None,
) -> None:
    """Write ``scores.parquet`` and ``scores.csv`` (mode 0600).

    Columns: ``record`` (number of the training record, from 0), its ``id`` and ``group`` if there
    are any, ``label``, ``wrong`` if that is known, one column for each scorer, and ``kept``.
    """
    material = scored.material
    classes = np.asarray(material.classes)
    columns: dict[str, Any] = {"record": np.arange(len(material.train))}
    if material.dataset.ids is not None:
        columns["id"] = material.dataset.ids.astype(str)
    columns["label"] = classes[material.dataset.labels]
    if material.groups is not None:
        columns["group"] = np.asarray(material.groups.names)[material.groups.train.numpy()]
    if scored.wrong is not None:
        columns["wrong"] = scored.wrong
    columns |= {one.scorer: one.values for one in scores}
    if kept is not None:
        columns[KEPT] = kept
    frame = pd.DataFrame(columns)
    parquet = io.BytesIO()
    frame.to_parquet(parquet, index=False)
    write_private(places.scores, parquet.getvalue())
    write_private(places.scores_csv, frame.to_csv(index=False, lineterminator="\n"))


def read_table(places: ScorePlaces) -> pd.DataFrame:
    """Return the table.

    Raises
    ------
    RecordError
        If it is missing or damaged.
    """
    try:
        return pd.read_parquet(places.scores)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise RecordError(
            f"Expected the scores of this folder in {places.scores}, got: {error}. Restore the "
            "file."
        ) from error


def scores_digest(values: npt.NDArray[Any]) -> str:
    """Return the digest of one scorer's values, or of a mask."""
    return sha256_array(np.ascontiguousarray(values))


def restored(
    body: Mapping[str, Any], values: npt.NDArray[np.float64], *, public_validation: bool
) -> ScoreSet:
    """Return the scores that a record's line describes."""
    flag, bounds = body["reliability"], body["bounds"]
    return ScoreSet(
        values=values,
        scorer=body["scorer"],
        orientation=body["orientation"],
        locality=body["locality"],
        origin=body["origin"],
        bounds=None if bounds is None else (_end(bounds[0], -math.inf), _end(bounds[1], math.inf)),
        checkpoints=tuple(body["checkpoints"]),
        settings=body["settings"],
        reliability=None if flag is None else Reliability(**_rho(flag)),
        warnings=tuple(body["warnings"]),
        seeded=body["seeded"],
        estimate=body["estimate"],
        public_validation=public_validation,
    )


def _end(written: float | None, open_end: float) -> float:
    """Return an end of a range from JSON, which has no word for an open one."""
    return open_end if written is None else float(written)


def has_side(body: Mapping[str, Any]) -> bool:
    """Return whether one side of a scorer's scores is suspicious by itself."""
    if body["orientation"] == "exposed":
        return False
    try:
        suspicion(restored(body, np.zeros(1), public_validation=False))
    except ConfigError:
        return False
    return True


def _rho(flag: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flag's facts; a correlation that JSON could not hold was NaN."""
    nan = flag["rho"] is None and flag["verdict"] != "not assessed"
    return {**flag, "rho": float("nan") if nan else flag["rho"]}
