"""Noisy statistics of an owner's scores, one event each.

Neighbours: :mod:`.statistics` is the contract of what can be released, :mod:`.scores` releases a
number for each record.
"""

from dataclasses import dataclass
from typing import Any

from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey
from equigrad.valuation.base import Float64
from equigrad.valuation.release.statistics import Statistic, make_statistic
from equigrad.valuation.release.terms import (
    Account,
    charge,
    check_account,
    check_key,
    finite_values,
    refuse_estimate,
    refuse_pooled,
    refuse_released,
    refuse_tainted,
    seeds,
)
from equigrad.valuation.scores import ScoreSet

__all__ = ["ReleasedAggregate", "check_aggregate", "release_aggregate"]

_USE = "a released aggregate"
_REMEDY = "Release the scores with stability=c, and compute the statistic of what was released."


@dataclass(frozen=True, eq=False)
class ReleasedAggregate:
    """What the world sees of scores: a noisy statistic.

    Attributes
    ----------
    values
        ``(m,) float64``: bins of a histogram, means of classes, or one number.
    statistic, settings
        Its name and public terms.
    scorer
        Whose scores.
    noise_std
        ``(m,)`` standard deviations of the noise; None if it is not additive (quantile).
    event
        What it was charged as.
    charged
        False if it was charged to no account.
    seeded
        True if noise of the checkpoints or of this release came from a seed.
    """

    values: Float64
    statistic: str
    settings: dict[str, Any]
    scorer: str
    noise_std: list[float] | None
    event: PrivacyEvent
    charged: bool
    seeded: bool

    @property
    def value(self) -> float:
        """The number, of a statistic that is one; ``ValueError`` otherwise."""
        return float(self.values.item())

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "view": "release_aggregate",
            "values": self.values.tolist(),
            "statistic": self.statistic,
            "settings": self.settings,
            "scorer": self.scorer,
            "noise_std": self.noise_std,
            "event": self.event.to_json(),
            "charged": self.charged,
            "seeded": self.seeded,
        }


def release_aggregate(
    scores: ScoreSet,
    statistic: Statistic | str,
    *,
    account: Account,
    key: NoiseKey | None = None,
    **options: Any,
) -> ReleasedAggregate:
    """Release a noisy statistic of scores and charge it as one event.

    Parameters
    ----------
    scores
        Local scores of a public or privately trained model, each a function of its own record (or
        compared with a public validation set).
    statistic
        A name in :data:`STATISTICS` with its terms in ``options``, or an instance:
        ``release_aggregate(scores, "mean", bounds=(0, 1), mu=.5, n_public=1000, account=account)``.
    account, key
        As for :func:`~equigrad.valuation.release.release_scores`.

    Raises
    ------
    TaintedScoresError
        If the scorer's model was trained on the records without privacy.
    StabilityError
        If a score depends on other records.
    PrivacyError
        If the scores are estimates, no account is named, or the key has served before.
    ConfigError
        If a term is missing or impossible.
    BudgetExceededError
        If the account refuses; nothing is released then.
    """
    return aggregated_by(scores, make_statistic(statistic, **options), account=account, key=key)


def check_aggregate(scores: ScoreSet) -> None:
    """Refuse scores of which no statistic may be released; errors as above."""
    refuse_released(scores)
    refuse_tainted(scores.origin, scores.scorer, _USE)
    refuse_estimate(scores.estimate, scores.scorer, _USE)
    refuse_pooled(
        scores.locality, scores.scorer, _USE, _REMEDY, public_validation=scores.public_validation
    )


def aggregated_by(
    scores: ScoreSet,
    statistic: Statistic,
    *,
    account: Account,
    key: NoiseKey | None,
    turn: int = 0,
) -> ReleasedAggregate:
    """Charge, draw and return; ``turn`` tells releases of one key apart."""
    check_aggregate(scores)
    statistic.check(len(scores))
    check_account(account, f"the {statistic.name}")
    check_key(key, again=turn > 0)
    event = statistic.event(scores.scorer, seeded=seeds(key))
    source = charge(account, event, key, again=turn > 0)
    return ReleasedAggregate(
        values=statistic.release(finite_values(scores), source, turn),
        statistic=statistic.name,
        settings=statistic.settings(),
        scorer=scores.scorer,
        noise_std=statistic.noise_std,
        event=event,
        charged=account != "none",
        seeded=scores.seeded or event.seeded,
    )
