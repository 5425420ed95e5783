"""Metrics of one model, group by group, through fairlearn's ``MetricFrame``.

Own code only for what fairlearn lacks: declared groups that have no rows, and rates of groups
without a row of the positive class, both of which are "no rows" here and never 0. Two models are
compared in ``cost``; what one training step does to each group is the business of ``risk``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from fairlearn.metrics import MetricFrame, selection_rate, true_positive_rate

from equigrad.errors import ConfigError, DataError

__all__ = ["NOT_COVERED", "NO_ROWS", "PUBLIC_ROWS", "GroupMetrics", "group_metrics"]

Array = npt.NDArray[Any]
Numbers = dict[str, float | None]

NOT_COVERED = "computed from data, not covered by epsilon"
PUBLIC_ROWS = "computed from rows declared public"
NO_ROWS = "no rows"
"""How a table shows the value ``None`` of a group."""


@dataclass(frozen=True)
class GroupMetrics:
    """Metrics of one model by group; fractions in [0, 1], losses in nats for cross-entropy.

    Attributes
    ----------
    names
        The K declared groups, in their order.
    rows
        Number of rows by group.
    by_group
        ``by_group[metric][group]``; ``None`` where no row of the group counts for the metric.
        Metrics: ``"accuracy"``; ``"loss"`` if losses were given; ``"selection_rate"`` and
        ``"true_positive_rate"`` if there is a positive class.
    overall
        Each metric over all rows.
    difference
        Largest minus smallest value over the groups that have one; ``None`` without any.
    ratio
        Smallest over largest value, likewise; ``None`` also where the largest is 0.
    note
        What the figures were computed from, to be shown wherever they are.
    """

    names: tuple[str, ...]
    rows: dict[str, int]
    by_group: dict[str, Numbers]
    overall: Numbers
    difference: Numbers
    ratio: Numbers
    note: str

    def values(self, metric: str) -> tuple[float | None, ...]:
        """Return ``metric`` of each group in the order of ``names``."""
        if metric not in self.by_group:
            raise ConfigError(
                f"Expected a metric among {', '.join(self.by_group)}, got {metric!r}. "
                "Losses and a positive class must be given for the other metrics."
            )
        return tuple(self.by_group[metric][name] for name in self.names)

    @property
    def worst(self) -> str | None:
        """The group of least accuracy; ``None`` if no group has rows."""
        known = {k: v for k, v in self.by_group["accuracy"].items() if v is not None}
        return min(known, key=lambda name: known[name]) if known else None

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists; ``None`` is JSON's null."""
        return {
            "note": self.note,
            "rows": self.rows,
            "by_group": self.by_group,
            "overall": self.overall,
            "difference": self.difference,
            "ratio": self.ratio,
        }


def group_metrics(
    labels: npt.ArrayLike,
    predictions: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    names: Sequence[str],
    losses: npt.ArrayLike | None = None,
    positive: int | None = None,
    public: bool = False,
) -> GroupMetrics:
    """Return accuracy, loss, selection rate and true-positive rate by group.

    Parameters
    ----------
    labels, predictions
        ``(n,)`` class numbers; n = 0 is allowed, every group then reads "no rows".
    groups
        ``(n,)`` group numbers in [0, K), sensitive.
    names
        The K group names, public, in the order of the group numbers; a group need not have rows.
    losses
        ``(n,)`` loss of each row; ``None``: no loss is reported.
    positive
        The class whose selection and true-positive rates are wanted; ``None``: class 1 where all
        labels and predictions are 0 or 1, no rates otherwise.
    public
        Whether the rows were declared public; otherwise the note says that no epsilon covers
        these figures.

    Raises
    ------
    DataError
        For arrays of different lengths, group numbers outside [0, K) or NaN losses.
    ConfigError
        For no or repeated group names.

    Source: fairlearn's ``MetricFrame``; loss and absent groups are ours.
    """
    truth, guess, group, loss = _checked(labels, predictions, groups, names, losses)
    rows = {str(n): int(c) for n, c in zip(names, _counts(group, len(names)), strict=True)}
    if positive is None and np.isin(np.concatenate([truth, guess]), (0, 1)).all():
        positive = 1
    frames = {"": _frame(truth, guess, group, loss, positive)}
    if positive is not None:  # a rate among the positives has no value without positives
        hit = truth == positive
        frames["true_positive_rate"] = _rate_frame(truth[hit], guess[hit], group[hit], positive)
    tables = {k: _tables(v, names) for k, v in frames.items() if v is not None}
    by_group: dict[str, Numbers] = {}
    merged: tuple[Numbers, Numbers, Numbers] = ({}, {}, {})
    for metric in _metric_names(loss, positive):
        found = tables.get(metric if metric == "true_positive_rate" else "")
        groupwise, *rest = found or _empty_tables(metric, names)
        by_group[metric] = groupwise[metric]
        for whole, part in zip(merged, rest, strict=True):
            whole[metric] = part[metric]
    note = PUBLIC_ROWS if public else NOT_COVERED
    overall, difference, ratio = merged
    return GroupMetrics(tuple(names), rows, by_group, overall, difference, ratio, note)


def _metric_names(loss: Array | None, positive: int | None) -> list[str]:
    rates = [] if positive is None else ["selection_rate", "true_positive_rate"]
    return ["accuracy", *([] if loss is None else ["loss"]), *rates]


def _frame(
    truth: Array, guess: Array, group: Array, loss: Array | None, positive: int | None
) -> Any:
    """Return fairlearn's frame over all rows, or ``None`` without rows."""
    if not truth.size:
        return None
    metrics: dict[str, Any] = {"accuracy": _accuracy}
    parameters: dict[str, dict[str, Any]] = {}
    if loss is not None:
        metrics["loss"] = _mean_loss
        parameters["loss"] = {"losses": loss}
    if positive is not None:
        metrics["selection_rate"] = lambda a, b: selection_rate(a, b, pos_label=positive)
    return MetricFrame(
        metrics=metrics,
        y_true=truth,
        y_pred=guess,
        sensitive_features=_as_column(group),
        sample_params=parameters,
    )


def _rate_frame(truth: Array, guess: Array, group: Array, positive: int) -> Any:
    """Return fairlearn's frame of the true-positive rate over rows of the positive class."""
    if not truth.size:
        return None
    binary = (guess == positive).astype(np.int64)
    return MetricFrame(
        metrics={"true_positive_rate": lambda a, b: true_positive_rate(a, b, pos_label=1)},
        y_true=np.ones_like(binary),
        y_pred=binary,
        sensitive_features=_as_column(group),
    )


def _as_column(group: Array) -> "pd.Series[Any]":
    """Return the group numbers as a column: fairlearn squeezes the array of a single row away."""
    return pd.Series(group, name="group")


def _accuracy(truth: Array, guess: Array) -> float:
    return float((np.asarray(truth) == np.asarray(guess)).mean())


def _mean_loss(truth: Array, guess: Array, losses: Array) -> float:
    return float(np.asarray(losses).mean())


def _tables(frame: Any, names: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Return by_group, overall, difference and ratio of a frame as plain dictionaries."""
    present = frame.by_group
    by_group = {
        metric: {
            name: float(present.loc[k, metric]) if k in present.index else None
            for k, name in enumerate(names)
        }
        for metric in present.columns
    }
    parts = (frame.overall, frame.difference(), frame.ratio())
    return by_group, *({str(k): _number(v) for k, v in part.items()} for part in parts)


def _empty_tables(metric: str, names: Sequence[str]) -> tuple[dict[str, Any], ...]:
    return {metric: dict.fromkeys(names)}, {metric: None}, {metric: None}, {metric: None}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _counts(group: Array, n_groups: int) -> npt.NDArray[np.int64]:
    return np.bincount(group, minlength=n_groups)


def _checked(
    labels: npt.ArrayLike,
    predictions: npt.ArrayLike,
    groups: npt.ArrayLike,
    names: Sequence[str],
    losses: npt.ArrayLike | None,
) -> tuple[Array, Array, Array, Array | None]:
    """Return the arrays of :func:`group_metrics`, checked."""
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"Expected names of at least one group, all different, got {names!r}.")
    arrays: Mapping[str, Array] = {
        "labels": np.asarray(labels),
        "predictions": np.asarray(predictions),
        "groups": np.asarray(groups),
        **({} if losses is None else {"losses": np.asarray(losses, dtype=np.float64)}),
    }
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) != 1 or arrays["labels"].ndim != 1:
        raise DataError(f"Expected flat arrays of one length, got shapes {shapes}.")
    group = arrays["groups"]
    if not group.size:
        group = group.astype(np.int64)
    if group.dtype.kind not in "iub" or (group.size and not _within(group, len(names))):
        raise DataError(
            f"Expected whole group numbers in [0, {len(names)}), got {np.unique(group)[:9]!r}. "
            "Number the groups in the order of names."
        )
    loss = arrays.get("losses")
    if loss is not None and np.isnan(loss).any():
        raise DataError("Expected losses that are numbers, got NaN. Check the model's outputs.")
    return arrays["labels"], arrays["predictions"], group.astype(np.int64), loss


def _within(group: Array, n_groups: int) -> bool:
    return bool(group.min() >= 0 and group.max() < n_groups)
