"""The outcome of a scoring as JSON types, for its owner's programs and the command line."""

from typing import Any

import pandas as pd

from equigrad.steward.scoring.report.story import ScoreStory
from equigrad.steward.scoring.table import has_side

__all__ = ["ORIENTATIONS", "score_rows", "summary"]

SCHEMA = "equigrad-score-summary-1"

ORIENTATIONS = {
    "harder": "high: hard, or wrongly labelled",
    "easier": "low: hard, or wrongly labelled",
    "valuable": "high: training on it lowers the validation loss",
    "exposed": "high: more of its privacy was spent",
}
"""What a high or low score says, in words."""

_NO_SIDE = "high: hard or exposed; no evidence of a wrong label"


def score_rows(story: ScoreStory, frame: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return one row for each scorer: what it says, its flag, its spread, how well it detects."""
    rows = []
    detection = (story.scores.get("detection") or {}) if story.scores else {}
    for label, body in story.scorers.items():
        row = {
            "scorer": label,
            "means": ORIENTATIONS[body["orientation"]] if has_side(body) else _NO_SIDE,
            "locality": body["locality"],
            "bounds": body["bounds"],
            "reliability": body["reliability"],
            "warnings": body["warnings"],
            "detection": detection.get(label),
        }
        values = None if frame is None or label not in frame else frame[label]
        for name, quantile in (("least", 0.0), ("median", 0.5), ("most", 1.0)):
            # Not interpolated: there is no number halfway to infinity.
            at = None if values is None else values.quantile(quantile, interpolation="lower")
            row[name] = None if at is None else float(at)
        rows.append(row)
    return rows


def summary(story: ScoreStory, frame: pd.DataFrame | None) -> dict[str, Any]:
    """Return the whole outcome; everything but ``statement`` and ``events`` is the owner's.

    Returns
    -------
    dict
        ``schema``; ``finished``; ``statement`` and ``events`` (the ledger); ``scorers``;
        ``agreement`` between them; ``selection`` with its size and keep rates; ``accuracy`` of
        both arms and their ``comparison``; ``removal`` curves; ``released``, the arm.
    """
    return {
        "schema": SCHEMA,
        "finished": story.finished,
        "head": story.head,
        "statement": story.statement,
        "events": story.events,
        "warnings": story.start["warnings"],
        "scorers": score_rows(story, frame),
        "agreement": story.scores.get("agreement") if story.scores else None,
        "selection": dict(story.selection) or None,
        "accuracy": {
            f"{arm} {repeat}": body["test"]["overall"]["accuracy"]
            for (arm, repeat), body in story.trained.items()
        },
        "comparison": story.comparison,
        "removal": dict(story.removal) or None,
        "released": story.finish.get("released"),
        "not_released": story.local.get("not_released"),
    }
