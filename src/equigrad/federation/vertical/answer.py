"""A prediction as the sponsor gets it: a row for each query, and who took part.

Neighbours: ``predicting`` asks, ``predict`` puts both together.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.federation.vertical.predicting import Prediction

__all__ = ["Answer", "answer_csv", "answer_json", "make_answer"]

SCHEMA = "equigrad-predictions-1"


@dataclass(frozen=True, eq=False)
class Answer:
    """Predictions in the order of the query file.

    Attributes
    ----------
    ids
        Identifiers as the file spells them.
    outputs
        Names of the label columns; one for classes.
    values
        ``(n, K)`` values of a regression, or ``(n,)`` class names; a row that no party holds has
        NaN, or an empty name.
    classes
        Class names in the order of ``probabilities``; empty for regression.
    probabilities
        ``(n, K)`` by softmax, NaN for a row that no party holds; None for regression.
    counts
        ``(n,)``: how many parties were used for the row.
    parties
        All parties, the sponsor first.
    participants
        Those that were used for some row.
    absent
        Why others did not answer, by name.
    unknown
        Rows that no party holds; they have no prediction.
    alone
        Rows that the sponsor alone holds of those that answered.
    sent, received
        Bytes on the wire, by party.
    """

    ids: tuple[str, ...] = field(repr=False)
    outputs: tuple[str, ...]
    values: npt.NDArray[Any] = field(repr=False)
    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float64] | None = field(repr=False)
    counts: npt.NDArray[np.int64] = field(repr=False)
    parties: tuple[str, ...]
    participants: tuple[str, ...]
    absent: dict[str, str]
    unknown: int
    alone: int
    sent: dict[str, int]
    received: dict[str, int]

    def __len__(self) -> int:
        return len(self.ids)


def make_answer(
    ids: Sequence[str],
    found: Prediction,
    parties: Sequence[str],
    outputs: Sequence[str],
    classes: Sequence[str] = (),
) -> Answer:
    """Return the answer for scores in the order of ``ids``.

    Parameters
    ----------
    ids
        ``n`` identifiers.
    found
        What came of asking.
    parties
        Names, in the order of ``found.used``.
    outputs
        Names of the label columns.
    classes
        Class names in the order of the scores, or empty for regression. The first of equal scores
        wins.
    """
    known = np.asarray(found.held.any(axis=1))
    probabilities = None
    if classes:
        values = np.asarray(classes, dtype=object)[found.scores.argmax(axis=1)]
        values[~known] = ""
        probabilities = np.where(known[:, None], _softmax(found.scores), np.nan)
    else:
        values = np.where(known[:, None], found.scores, np.nan)
    took = np.asarray(found.used.any(axis=0))
    return Answer(
        tuple(ids),
        tuple(outputs),
        values,
        tuple(classes),
        probabilities,
        found.used.sum(axis=1),
        tuple(parties),
        tuple(name for name, used in zip(parties, took, strict=True) if used),
        dict(found.absent),
        int((~known).sum()),
        int((found.held[:, 0] & ~found.held[:, 1:].any(axis=1)).sum()),
        dict(found.sent),
        dict(found.received),
    )


def answer_csv(answer: Answer) -> str:
    """Return the predictions as CSV with a header; numbers come back to the last bit.

    Columns: ``id``; ``prediction`` (several outputs: ``prediction NAME``); ``probability CLASS``
    for each class; ``parties``. A row that no party holds has empty cells and 0 parties.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    several = not answer.classes and len(answer.outputs) > 1
    names = [f"prediction {name}" for name in answer.outputs] if several else ["prediction"]
    writer.writerow(["id", *names, *(f"probability {name}" for name in answer.classes), "parties"])
    for i, name in enumerate(answer.ids):
        numbers = () if answer.probabilities is None else answer.probabilities[i].tolist()
        value = [answer.values[i]] if answer.classes else answer.values[i].tolist()
        cells = ("" if _missing(v) else v for v in (*value, *numbers))
        writer.writerow([name, *cells, int(answer.counts[i])])
    return text.getvalue()


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return the predictions and who took part as JSON types; what is not known is null."""
    rows = []
    for i, name in enumerate(answer.ids):
        row: dict[str, Any] = {"id": name}
        if answer.probabilities is not None:
            row["prediction"] = answer.values[i] or None
            told = zip(answer.classes, answer.probabilities[i].tolist(), strict=True)
            row["probabilities"] = {c: None if _missing(p) else p for c, p in told}
        else:
            values = [None if _missing(v) else v for v in answer.values[i].tolist()]
            row["prediction"] = values[0] if len(values) == 1 else values
        rows.append(row | {"parties": int(answer.counts[i])})
    return {
        "schema": SCHEMA,
        "outputs": list(answer.outputs),
        "classes": list(answer.classes),
        "rows": len(answer),
        "participants": list(answer.participants),
        "absent": answer.absent,
        "held_by_nobody": answer.unknown,
        "held_by_sponsor_alone": answer.alone,
        "bytes_sent": answer.sent,
        "bytes_received": answer.received,
        "predictions": rows,
    }


def _softmax(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: npt.NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return shares


def _missing(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
