"""The plan of a scoring: what is trained, with how much noise, and what all of it costs together.

Nothing here looks at records: rates, steps and noise follow from public numbers, so that whatever
does not fit is refused before anything is trained. Costs are never added up: each noise is the
least with which *all* that is released, composed, keeps to the budget.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from scipy.optimize import brentq

from equigrad.errors import BudgetExceededError, ConfigError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.account.pricing import refuse_unless_fitting, steps_in_words
from equigrad.privacy.accounting import Accountant, PrivacyEvent
from equigrad.privacy.accounting.accountant import COARSE, FINE
from equigrad.steward.config import ScoreSettings
from equigrad.valuation import checkpoint_steps

__all__ = [
    "DEFAULT_RATE",
    "DEFAULT_STEPS",
    "Plan",
    "Schedule",
    "least_noise",
    "planned",
    "refuse_beyond_account",
    "schedule",
]

DEFAULT_RATE: Final = 0.3
"""Share of the records in one step: at equal epsilon few large steps score best."""
DEFAULT_STEPS: Final = 100

_TOLERANCE: Final = 5e-4  # in the logarithm of the noise multiplier
_LEAST, _MOST = 2.0**-5, 2.0**20


@dataclass(frozen=True)
class Schedule:
    """The public numbers of the trainings.

    Attributes
    ----------
    records
        n_public, the declared number of training records.
    batch
        L, the expected records of a step and divisor of every sum.
    rate
        q = L / n_public.
    steps, scorer_steps
        Steps of each arm, and of the scorer's model.
    checkpoints
        Steps after which a checkpoint of the scorer's model is kept, ascending.
    """

    records: int
    batch: int
    rate: float
    steps: int
    scorer_steps: int
    checkpoints: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What is charged, in full, before the first step.

    Attributes
    ----------
    schedule
        Rates and steps.
    scorer
        The training of the scorer's model; None if its model costs nothing.
    selecting
        What the selection releases beyond the model.
    arms
        Events of the trainings by arm, ``"selected"`` and ``"baseline"``; empty if none is trained.
    release
        The arm that leaves the owner (``"best"``: one of both), ``"scorer"`` without arms.
    """

    schedule: Schedule
    scorer: PrivacyEvent | None
    selecting: tuple[PrivacyEvent, ...]
    arms: dict[str, PrivacyEvent]
    release: str

    def ledger(self) -> list[PrivacyEvent]:
        """Return the events of what is released, all together within the budget."""
        scorer = [self.scorer] if self.scorer is not None and self.charges("scorer") else []
        selecting = self.selecting if self.charges("selecting") else ()
        trained = [event for name, event in self.arms.items() if self.charges(name)]
        return [*scorer, *selecting, *trained]

    def charges(self, part: str) -> bool:
        """Return whether a part is in the ledger.

        The parts are ``"scorer"``, ``"selecting"``, ``"selected"`` and ``"baseline"``.
        """
        released = {
            "scorer": {"scorer", "selecting"},
            "selected": {"scorer", "selecting", "selected"},
            "baseline": {"baseline"},
            "best": {"scorer", "selecting", "selected", "baseline"},
        }
        return part in released[self.release]


def schedule(settings: ScoreSettings, n_records: int) -> Schedule:
    """Return the public numbers of the trainings.

    Raises
    ------
    ConfigError
        If the expected batch is larger than the number of records.
    """
    privacy, training, scoring = settings.privacy, settings.training, settings.scoring
    n = n_records if privacy.public_records is None else privacy.public_records
    batch = privacy.expected_batch or max(1, round(DEFAULT_RATE * n))
    if batch > n:
        raise ConfigError(
            "Expected privacy.expected_batch (--batch) of at most the number of training records, "
            f"{n}, got {batch}. Take a smaller batch."
        )
    steps = training.steps or DEFAULT_STEPS
    if training.epochs is not None:
        steps = max(1, round(training.epochs * n / batch))
    own = scoring.steps or steps
    kept = checkpoint_steps(own, scoring.checkpoints)
    return Schedule(n, batch, batch / n, steps, own, kept)


def planned(
    settings: ScoreSettings,
    numbers: Schedule,
    template: PrivacyEvent,
    selecting: Sequence[PrivacyEvent] = (),
    selected: Callable[[PrivacyEvent], PrivacyEvent] = lambda event: event,
) -> Plan:
    """Return the plan: the noise of every training, so that what is released keeps to the budget.

    Parameters
    ----------
    settings
        What was asked for.
    numbers
        Rates and steps.
    template
        One step of a private training as these settings make it, with any noise.
    selecting
        What the selection releases beyond the models.
    selected
        Gives the event of a training on the selection from that of one on all records: its
        relation and group size follow from the selection's stability.

    Raises
    ------
    BudgetExceededError
        If no noise keeps scoring, selecting and training within the budget.
    """
    privacy, choice = settings.privacy, settings.selection
    if not settings.trains_privately:
        return Plan(numbers, None, tuple(selecting), {}, "scorer")
    target, delta = float(privacy.epsilon or 0.0), float(privacy.delta or 0.0)
    private = settings.scoring.model_origin == "private"
    scorer = replace(template, steps=numbers.scorer_steps, label=f"{settings.name}: scorer's model")
    arm = replace(template, steps=numbers.steps)
    arms = {
        "selected": selected(replace(arm, label=f"{settings.name}: model of the selection")),
        "baseline": replace(arm, label=f"{settings.name}: baseline"),
    }

    def noise(
        spent: Sequence[PrivacyEvent], louder: Sequence[PrivacyEvent], limit: float, what: str
    ) -> list[PrivacyEvent]:
        return least_noise(spent, louder, limit, delta, accountant=privacy.accountant, what=what)

    spent: list[PrivacyEvent] = list(selecting)
    if private and not choice.train:
        [scorer] = noise(selecting, [scorer], target, "scoring and selecting")
    elif private:
        [scorer] = noise([], [scorer], choice.split * target, "scoring")
    if private:
        spent = [scorer, *selecting]
    if not choice.train:
        return Plan(numbers, scorer if private else None, tuple(selecting), {}, "scorer")
    together = ["selected", "baseline"] if choice.release == "best" else ["selected"]
    every = "scoring, selecting and training"
    arms |= zip(
        together, noise(spent, [arms[name] for name in together], target, every), strict=True
    )
    if choice.release != "best":
        [arms["baseline"]] = noise([], [arms["baseline"]], target, "the baseline")
    return Plan(numbers, scorer if private else None, tuple(selecting), arms, choice.release)


def least_noise(
    spent: Sequence[PrivacyEvent],
    louder: Sequence[PrivacyEvent],
    target: float,
    delta: float,
    *,
    accountant: str,
    what: str,
) -> list[PrivacyEvent]:
    """Return ``louder`` with the least noise with which all events, composed, cost ``target``.

    All of ``louder`` get one noise multiplier. Guarantee: the composition's epsilon at the fine
    discretisation is at most ``target``, and a multiplier smaller by a thousandth would exceed it.

    Parameters
    ----------
    spent
        Events whose noise is fixed.
    louder
        Events whose noise is found.
    target, delta, accountant
        What all of them together may cost, and how that is computed.
    what
        All of them in words, for the message.

    Raises
    ------
    BudgetExceededError
        If no multiplier keeps to it: what is fixed costs too much already.
    ConfigError
        If next to no noise would do: records could be read off the result.
    """
    base = {
        width: Accountant(spent, accountant=accountant, discretization=width)
        for width in (COARSE, FINE)
    }

    def over(log_sigma: float, width: float) -> float:
        made = base[width]
        for event in louder:
            made = made.with_event(replace(event, noise_multiplier=math.exp(log_sigma)))
        return min(made.epsilon(delta) - target, 1e9)

    low, high = _bracket(lambda x: over(x, COARSE), target, what)
    near = float(brentq(over, low, high, args=(COARSE,), xtol=_TOLERANCE))
    best, reach = near, _TOLERANCE
    while over(best, FINE) > 0.0:
        best, reach = best + reach, reach * 2.0
    below, reach = best - _TOLERANCE, _TOLERANCE
    while over(below, FINE) <= 0.0:
        best, below, reach = below, below - reach, reach * 2.0
    while best - below > 2.0 * _TOLERANCE:
        middle = 0.5 * (best + below)
        best, below = (middle, below) if over(middle, FINE) <= 0.0 else (best, middle)
    return [replace(event, noise_multiplier=math.exp(best)) for event in louder]


def _bracket(over: Callable[[float], float], target: float, what: str) -> tuple[float, float]:
    """Return logarithms of multipliers, a factor of two apart, between which the cost is met."""
    sigma = 1.0
    if over(0.0) > 0.0:
        while over(math.log(2.0 * sigma)) > 0.0:
            sigma *= 2.0
            if sigma > _MOST:
                raise BudgetExceededError(
                    f"Expected {what} within epsilon = {target:g}, got more by what is fixed "
                    "already, whatever the noise. Raise --epsilon, lower --split, or choose a "
                    "cheaper selection."
                )
        return math.log(sigma), math.log(2.0 * sigma)
    while over(math.log(sigma / 2.0)) <= 0.0:
        sigma /= 2.0
        if sigma < _LEAST:
            raise ConfigError(
                f"Expected an epsilon that asks for noise, got {target:g} for {what}: next to none "
                "would do, so records could be read off the result. Lower --epsilon or --delta."
            )
    return math.log(sigma / 2.0), math.log(sigma)


def refuse_beyond_account(plan: Plan, account: PrivacyAccount | None) -> None:
    """Refuse a plan whose ledger does not fit into what an account has left, all of it together.

    Raises
    ------
    BudgetExceededError
        Says what is spent, asked and left; nothing was charged.
    """
    if account is None:
        return
    committed = account.reserved()
    for event in plan.ledger():
        refuse_unless_fitting(
            committed,
            event,
            f"{event.label}, {steps_in_words(event.steps)},",
            owner=account.owner,
            limit=(account.epsilon, account.delta),
            accountant=account.accountant,
        )
        committed.append(event)
