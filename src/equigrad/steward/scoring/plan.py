"""The plan of a scoring: what is trained, with how much noise, and what all of it costs together.

Nothing here looks at records: rates, steps and noise follow from public numbers, so that whatever
does not fit is refused before anything is trained. Costs are never added up: each noise is the
least with which *all* that is released, composed, keeps to the budget.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from equigrad.errors import ConfigError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.account.pricing import refuse_unless_fitting, steps_in_words
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.steward.config import ScoreSettings
from equigrad.steward.scoring.noise import least_noise
from equigrad.valuation import checkpoint_steps

__all__ = [
    "DEFAULT_RATE",
    "DEFAULT_STEPS",
    "Plan",
    "Schedule",
    "planned",
    "refuse_beyond_account",
    "schedule",
]

DEFAULT_RATE: Final = 0.3
"""Share of the records in one step: at equal epsilon few large steps score best."""
DEFAULT_STEPS: Final = 100


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
    if not settings.trains_privately:
        return Plan(numbers, None, tuple(selecting), {}, "scorer")
    scorer = None
    if settings.scoring.model_origin == "private":
        scorer = _scorer_event(settings, numbers, template, selecting)
    if not settings.selection.train:
        return Plan(numbers, scorer, tuple(selecting), {}, "scorer")
    spent = [*([] if scorer is None else [scorer]), *selecting]
    arm = replace(template, steps=numbers.steps)
    arms = {
        "selected": selected(replace(arm, label=f"{settings.name}: model of the selection")),
        "baseline": replace(arm, label=f"{settings.name}: baseline"),
    }
    release = settings.selection.release
    together = ["selected", "baseline"] if release == "best" else ["selected"]
    every = "scoring, selecting and training"
    found = _within(settings, spent, [arms[name] for name in together], 1.0, every)
    arms |= zip(together, found, strict=True)
    if release != "best":
        [arms["baseline"]] = _within(settings, [], [arms["baseline"]], 1.0, "the baseline")
    return Plan(numbers, scorer, tuple(selecting), arms, release)


def _scorer_event(
    settings: ScoreSettings,
    numbers: Schedule,
    template: PrivacyEvent,
    selecting: Sequence[PrivacyEvent],
) -> PrivacyEvent:
    """Return the training of the scorer's model: within its share, or alone with the selection."""
    event = replace(template, steps=numbers.scorer_steps, label=f"{settings.name}: scorer's model")
    choice = settings.selection
    if choice.train:
        return _within(settings, [], [event], choice.split, "scoring")[0]
    return _within(settings, selecting, [event], 1.0, "scoring and selecting")[0]


def _within(
    settings: ScoreSettings,
    spent: Sequence[PrivacyEvent],
    louder: Sequence[PrivacyEvent],
    share: float,
    what: str,
) -> list[PrivacyEvent]:
    """Return ``louder`` with the least noise that keeps to a share of the budget."""
    privacy = settings.privacy
    limit, delta = share * float(privacy.epsilon or 0.0), float(privacy.delta or 0.0)
    return least_noise(spent, louder, limit, delta, accountant=privacy.accountant, what=what)


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
