"""What a party tells with an upload that it trained privately, and whether that can be.

A party tells the event it released, how many steps its account holds by now, and by how much
bounding shrank its update (None where the noise in the upload is not known). The same function
checks it when the reply comes in and when ``equigrad verify`` reads the record.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from equigrad.errors import PrivacyError
from equigrad.federation.config.schema import TrainingConfig
from equigrad.federation.private.plan import PrivacyPlan

__all__ = ["Release", "Terms", "check_told", "declared_noise", "plain_descent", "tell"]

_SLACK = 1e-4  # relative; float32 rounding of an honest upload stays far below it


@dataclass(frozen=True)
class Terms:
    """What a reply of one round is held against.

    Attributes
    ----------
    plan
        The party's plan.
    lr
        The learning rate of the round.
    n_params
        D, the length of an upload.
    gamma
        The upload norm that was announced, or None.
    shrinks
        Whether bounding can only shorten (``clip``); otherwise it may lengthen, too.
    known
        Whether the noise of an honest update is known: it was trained by plain descent (see
        :func:`plain_descent`).
    """

    plan: PrivacyPlan
    lr: float
    n_params: int
    gamma: float | None
    shrinks: bool
    known: bool

    @classmethod
    def of(
        cls,
        plan: PrivacyPlan,
        training: TrainingConfig,
        round_: int,
        *,
        n_params: int,
        bounding: str = "none",
        gamma: float | None = None,
    ) -> Self:
        """Return the terms of one round; ``bounding`` and ``gamma`` as they were announced."""
        lr = training.lr * training.lr_decay**round_
        known = plain_descent(training)
        return cls(plan, lr, n_params, gamma, bounding == "clip", known)


@dataclass(frozen=True)
class Release:
    """What one round's reply tells: steps of the round, of the account, the factor, the mean.

    ``mean`` is the noisy mean of the party's scores, if it was agreed that it tells one.
    """

    steps: int
    total: int
    factor: float | None
    mean: float | None = None


def plain_descent(training: TrainingConfig) -> bool:
    """Return whether noise in the gradients passes into the update by a known factor.

    It does under gradient descent without momentum, weight decay or adaptive rates. With several
    local steps later gradients answer to earlier noise, which the factor leaves out: what is
    declared then is the noise itself, without what the loss surface makes of it.
    """
    return training.optimizer == "SGD" and not training.options


def tell(plan: PrivacyPlan, release: Release) -> dict[str, Any]:
    """Return what a reply carries, as JSON can hold it."""
    told = {
        "event": plan.event.with_steps(release.steps).to_json(),
        "steps": release.total,
        "factor": release.factor,
    }
    return told | ({"mean_score": release.mean} if _tells_mean(plan) else {})


def declared_noise(terms: Terms, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the noise that a reply with these facts declares, as replies carry it.

    Bounding multiplies the noise like the update, by a factor f that both sides know: the
    variance is ``f^2`` times that of the update (derived here). The factor follows from the
    length of an update that is private already, so telling it costs nothing. Empty if it is not
    told.
    """
    factor = told.get("factor")
    if factor is None:
        return {}
    variance = terms.plan.noise_variance(terms.lr, terms.n_params) * factor**2
    return {"kind": "gaussian", "variance": variance}


def check_told(terms: Terms, told: Mapping[str, Any], norm: float) -> Release | None:
    """Return what was released, checked, or None if nothing was.

    Parameters
    ----------
    terms
        What was agreed.
    told
        What the party told; empty if it trained nothing in this round.
    norm
        The length of its upload.

    Raises
    ------
    PrivacyError
        If the event is not the agreed one, the steps go backwards or beyond the budget, the factor
        is none that bounding could give, or a mean of scores is told that was not agreed.
    """
    if not told:
        return None
    plan = terms.plan
    keys = ["event", "steps", "factor", *(["mean_score"] if _tells_mean(plan) else [])]
    if set(told) != set(keys):
        wanted = f"{', '.join(keys[:-1])} and {keys[-1]}"
        raise PrivacyError(f"expected {wanted}, got {', '.join(sorted(told))}")
    agreed = plan.event.with_steps(plan.round_steps).to_json()
    event = told["event"]
    if not isinstance(event, Mapping) or dict(event) != agreed:
        wrong = [k for k in agreed if not isinstance(event, Mapping) or event.get(k) != agreed[k]]
        raise PrivacyError(f"expected the agreed privacy event, got other {', '.join(wrong)}")
    total = told["steps"]
    if type(total) is not int or not plan.round_steps <= total <= plan.limit_steps:
        raise PrivacyError(
            f"expected between {plan.round_steps} and {plan.limit_steps} steps charged, got {total}"
        )
    factor = told["factor"]
    if factor is not None:
        _check_factor(terms, factor, norm)
    mean = told.get("mean_score")
    if _tells_mean(plan) and (type(mean) is not float or not math.isfinite(mean)):
        raise PrivacyError(f"expected a finite mean_score, got {mean!r}")
    return Release(plan.round_steps, total, factor, mean)


def _tells_mean(plan: PrivacyPlan) -> bool:
    return plan.selection is not None and plan.selection.mean is not None


def _check_factor(terms: Terms, factor: Any, norm: float) -> None:
    if not terms.known:
        raise PrivacyError("expected no factor where the noise of an update is not known, got one")
    if type(factor) is not float or not math.isfinite(factor) or factor <= 0:
        raise PrivacyError(f"expected a factor > 0 as a number, got {factor!r}")
    bounded = terms.gamma is not None
    if (not bounded and factor != 1.0) or (terms.shrinks and factor > 1 + _SLACK):
        raise PrivacyError(f"expected a factor that bounding could give, got {factor!r}")
    if bounded and factor != 1.0 and abs(norm - float(terms.gamma or 0)) > _SLACK * norm:
        raise PrivacyError(
            f"expected an upload of norm {terms.gamma!r} where bounding changed it, got {norm!r}"
        )
