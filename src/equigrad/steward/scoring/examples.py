"""The records at both ends of each score, kept as they can be shown: pictures, words or numbers.

Written beside the scores, so that the owner's page can be made again without the data.
"""

import base64
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import image

from equigrad.data import Dataset
from equigrad.errors import ConfigError
from equigrad.steward.scoring.material import Scored
from equigrad.steward.scoring.places import ScorePlaces, write_private
from equigrad.valuation import ScoreSet, suspicion

__all__ = ["write_examples"]

_SHOWN = 8
_TRAITS = 4
_WORDS = 24


def write_examples(places: ScorePlaces, scored: Scored, scores: Sequence[ScoreSet]) -> None:
    """Write ``examples.json`` (mode 0600): for each scorer the most and least suspicious records.

    Scores without a suspicious side are shown from the highest and from the lowest.
    """
    found = {one.scorer: _ends(one, scored) for one in scores}
    write_private(places.local / "examples.json", json.dumps(found, ensure_ascii=False))


def _ends(scores: ScoreSet, scored: Scored) -> dict[str, Any]:
    try:
        order = np.argsort(-suspicion(scores), kind="stable")
        names = ("most suspicious", "least suspicious")
    except ConfigError:
        order = np.argsort(-scores.values, kind="stable")
        names = ("highest", "lowest")
    count = min(_SHOWN, len(scores) // 2)
    ends = (order[:count], order[::-1][:count])
    return {
        name: [_shown(int(i), scores, scored) for i in end]
        for name, end in zip(names, ends, strict=True)
    }


def _shown(record: int, scores: ScoreSet, scored: Scored) -> dict[str, Any]:
    dataset = scored.material.dataset
    value = float(scores.values[record])
    return {
        "record": record,
        "id": None if dataset.ids is None else str(dataset.ids[record]),
        "label": dataset.classes[int(dataset.labels[record])],
        "score": value if np.isfinite(value) else str(value),
        "wrong": None if scored.wrong is None else bool(scored.wrong[record]),
        "picture": None,
        "text": None,
        "traits": [],
        **_content(dataset, record),
    }


def _content(dataset: Dataset, record: int) -> dict[str, Any]:
    """Return a record as it can be shown."""
    features = dataset.features[record]
    if dataset.kind == "image":
        return {"picture": _picture(features)}
    if dataset.kind == "text":
        words = [dataset.vocabulary[int(token)] for token in features if token]
        more = " \u2026" if len(words) > _WORDS else ""
        return {"text": " ".join(words[:_WORDS]) + more}
    traits = np.argsort(-np.abs(features), kind="stable")[:_TRAITS]
    return {"traits": [[dataset.feature_names[int(i)], float(features[i])] for i in traits]}


def _picture(pixels: npt.NDArray[Any]) -> str:
    """Return a picture as a data address of a PNG, stretched over all brightness."""
    low, high = float(pixels.min()), float(pixels.max())
    shades = (pixels - low) / (high - low if high > low else 1.0)
    png = io.BytesIO()
    if shades.shape[0] == 3:
        image.imsave(png, np.moveaxis(shades, 0, -1), format="png")
    else:
        image.imsave(png, shades.mean(axis=0), format="png", cmap="gray", vmin=0.0, vmax=1.0)
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
