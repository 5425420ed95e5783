"""Who paid for privacy: a private model held against its paired non-private twin, group by group.

The twin starts from the same weights and sees the same sampled rows, without clipping and noise.
Takes the metrics of ``groups``; the split of the cost into causes is in ``risk``.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.errors import ConfigError
from equigrad.fairness.groups import GroupMetrics

__all__ = ["Gap", "GroupCost", "compare_groups", "gap", "group_cost", "mean_cost"]

Values = Sequence[float | None]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Gap:
    """How far groups lie apart in one number.

    Attributes
    ----------
    pair
        ``|x_a - x_b|`` of the named pair; ``None`` if no pair was named or one has no rows.
    spread
        Largest minus smallest over the groups with rows; ``None`` if no group has any.
    """

    pair: float | None
    spread: float | None


@dataclass(frozen=True)
class GroupCost:
    """What privacy cost each group, and how unequally.

    Attributes
    ----------
    names
        The groups, in their order.
    pair
        The two groups whose gap is named, or ``None``; with two groups always those.
    accuracy, accuracy_private, loss, loss_private
        Per group, of the non-private twin and of the private model; ``None`` is "no rows".
    privacy_cost
        ``accuracy - accuracy_private`` per group, a fraction; negative where privacy helped.
    excessive_risk
        ``loss_private - loss`` per group.
    cost_gap, risk_gap
        Gaps of the two.
    accuracy_gap, loss_gap
        Gaps of the private model's accuracy and loss.
    """

    names: tuple[str, ...]
    pair: tuple[str, str] | None
    accuracy: tuple[float | None, ...]
    accuracy_private: tuple[float | None, ...]
    loss: tuple[float | None, ...]
    loss_private: tuple[float | None, ...]
    privacy_cost: tuple[float | None, ...]
    excessive_risk: tuple[float | None, ...]
    cost_gap: Gap
    risk_gap: Gap
    accuracy_gap: Gap
    loss_gap: Gap

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists."""
        return asdict(self)


def gap(values: Values, at: tuple[int, int] | None = None) -> Gap:
    """Return the gap of ``values``: of the pair ``at``, and largest minus smallest.

    ``None`` and NaN mean a group without rows; it counts for neither.
    """
    x = _array(values)
    known = x[~np.isnan(x)]
    spread = float(known.max() - known.min()) if known.size else None
    between = None if at is None else _optional(abs(x[at[0]] - x[at[1]]))
    return Gap(between, spread)


def group_cost(
    accuracy: Values,
    accuracy_private: Values,
    loss: Values,
    loss_private: Values,
    *,
    names: Sequence[str],
    pair: tuple[str, str] | None = None,
) -> GroupCost:
    """Return costs and gaps from the groups' accuracies and losses.

    Parameters
    ----------
    accuracy, accuracy_private
        ``(K,)`` fractions of the non-private twin and of the private model, on the same rows.
    loss, loss_private
        ``(K,)`` mean losses on those rows.
    names
        The K groups.
    pair
        Two of them; ``None``: the only two, or no named pair if K is not 2.

    Raises
    ------
    ConfigError
        For lengths other than K or a pair that is not two of the groups.

    Source: Esipova et al., ICLR 2023 (privacy cost and its gap; excessive risk).
    """
    columns = {
        "accuracy": accuracy,
        "accuracy_private": accuracy_private,
        "loss": loss,
        "loss_private": loss_private,
    }
    wrong = {key: len(column) for key, column in columns.items() if len(column) != len(names)}
    if wrong:
        raise ConfigError(f"Expected one value for each of {len(names)} groups, got {wrong}.")
    if pair is None and len(names) == 2:
        pair = (names[0], names[1])
    at = _positions(names, pair)
    plain, private, loss_plain, loss_noisy = (_array(column) for column in columns.values())
    cost, risk = plain - private, loss_noisy - loss_plain
    return GroupCost(
        names=tuple(names),
        pair=pair,
        accuracy=_optionals(plain),
        accuracy_private=_optionals(private),
        loss=_optionals(loss_plain),
        loss_private=_optionals(loss_noisy),
        privacy_cost=_optionals(cost),
        excessive_risk=_optionals(risk),
        cost_gap=gap(_optionals(cost), at),
        risk_gap=gap(_optionals(risk), at),
        accuracy_gap=gap(_optionals(private), at),
        loss_gap=gap(_optionals(loss_noisy), at),
    )


def compare_groups(
    plain: GroupMetrics, private: GroupMetrics, *, pair: tuple[str, str] | None = None
) -> GroupCost:
    """Return the cost of privacy from the metrics of both models; see :func:`group_cost`.

    Both need losses, the same groups and the same rows.
    """
    if (plain.names, plain.rows) != (private.names, private.rows):
        raise ConfigError(
            f"Expected metrics of the same rows in the same groups, got rows {plain.rows} and "
            f"{private.rows}. Evaluate both models on one test set."
        )
    return group_cost(
        plain.values("accuracy"),
        private.values("accuracy"),
        plain.values("loss"),
        private.values("loss"),
        names=plain.names,
        pair=pair,
    )


def mean_cost(costs: Sequence[GroupCost]) -> GroupCost:
    """Return the cost averaged over seeds: accuracies and losses first, then costs and gaps.

    The excessive risk is so the mean over seeds that its definition asks for. A group without
    rows in one seed has no mean.
    """
    if not costs or len({(c.names, c.pair) for c in costs}) != 1:
        raise ConfigError("Expected costs of at least one run, all of the same groups and pair.")
    first = costs[0]
    keys = ("accuracy", "accuracy_private", "loss", "loss_private")
    plain, private, loss, loss_private = (
        _optionals(np.mean([_array(getattr(c, key)) for c in costs], axis=0)) for key in keys
    )
    return group_cost(plain, private, loss, loss_private, names=first.names, pair=first.pair)


def _positions(names: Sequence[str], pair: tuple[str, str] | None) -> tuple[int, int] | None:
    if pair is None:
        return None
    if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(names):
        raise ConfigError(
            f"Expected a pair of two different groups among {', '.join(names)}, got {pair!r}."
        )
    where = list(names)
    return where.index(pair[0]), where.index(pair[1])


def _array(values: Values) -> Float64:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _optional(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _optionals(values: Float64) -> tuple[float | None, ...]:
    return tuple(_optional(v) for v in values)
