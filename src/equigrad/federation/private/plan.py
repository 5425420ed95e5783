"""What one party may release in a whole run, worked out before the first round.

The noise of a party follows from public numbers alone: how many records it declares, the expected
batch, the local steps of a round, the rounds it takes part in and its budget. So everybody who has
the run file and the numbers of records can work it out again, and ``equigrad verify`` does.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from equigrad.errors import ConfigError
from equigrad.federation.config.schema import PartyConfig, RunConfig
from equigrad.federation.private.rules import make_rule
from equigrad.federation.private.selection_plan import SelectionPlan, plan_selection
from equigrad.privacy.accounting import ADD_OR_REMOVE_ONE, PrivacyEvent
from equigrad.privacy.accounting.calibrate import calibrate_noise
from equigrad.privacy.accounting.plan import most_steps
from equigrad.privacy.clipping import ClippingRule
from equigrad.privacy.noise import (
    FAST_FORM,
    ROUNDED_FORM,
    GaussianMechanism,
    rows_in_one_sum,
    summation_error,
)

_PHYSICAL = 1024

__all__ = ["Groups", "PrivacyPlan", "plan_party"]


@dataclass(frozen=True)
class Groups:
    """The declared groups that a clipping rule goes by: the attribute and the names, in order."""

    attribute: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class PrivacyPlan:
    """What one party may release. Constant, picklable, public but for nothing.

    Attributes
    ----------
    party
        Whose plan it is.
    event
        One local step: mechanism, sampling rate, noise, rule and its settings.
    round_steps
        Local steps of one round.
    planned_steps
        Steps of all rounds that the party takes part in, and of training alone, where that is
        asked for.
    limit_steps
        Most steps that the budget holds; the party refuses to begin a round that goes beyond.
    epsilon, delta, accountant
        The budget and how it is counted.
    secret
        Whether noise comes from keys that the operating system made (else from the run's seed).
    groups
        What the rule goes by, or None.
    max_physical
        Records in memory at a time, or None for all of a step's.
    selection
        What choosing its records costs the party beforehand; None if it trains on all of them.
    """

    party: str
    event: PrivacyEvent
    round_steps: int
    planned_steps: int
    limit_steps: int
    epsilon: float
    delta: float
    accountant: str
    secret: bool
    groups: Groups | None = None
    max_physical: int | None = None
    selection: SelectionPlan | None = None

    def rule(self, state: Mapping[str, Any] | None = None) -> ClippingRule:
        """Return the clipping rule, bound, in its released ``state`` (None: its first)."""
        settings = {k: v for k, v in self.event.settings.items() if k != "rule"}
        rule = make_rule(str(self.event.rule), settings)
        rule.bind(self.expected_batch, len(self.groups.names) if self.groups else None)
        if state is not None:
            rule.load(state)
        return rule

    @property
    def secure(self) -> bool:
        """Whether noise is rounded on a public grid."""
        return self.event.noise_form == ROUNDED_FORM

    @property
    def physical_rows(self) -> int:
        """Most records in memory at a time."""
        return self.max_physical or _PHYSICAL

    @property
    def expected_batch(self) -> float:
        """L, the public expected number of records in a step."""
        return float(self.event.public_batch_size or 1.0)

    def mechanism(self, rule: ClippingRule) -> GaussianMechanism:
        """Return what noises the gradient sum of a step, with the bound that ``rule`` has now.

        The rounded form adds a little more noise than ``sigma C``, which makes up for the rounding
        of float32 sums (see :mod:`equigrad.privacy.training.release`).
        """
        rows = rows_in_one_sum(self.expected_batch, self.physical_rows)
        return GaussianMechanism(
            self.event.noise_multiplier,
            rule.sensitivity,
            secure=self.secure,
            sum_error=summation_error(self.expected_batch, rows),
        )

    def noise_variance(self, lr: float, n_params: int) -> float:
        """Return the variance per coordinate of the noise in one round's update.

        Plain gradient descent adds ``-lr / L`` times each step's noisy sum, whose noise has
        standard deviation ``sigma C``; ``K`` steps of it add up to ``K (lr sigma C / L)^2``
        (derived here). It holds as long as the rule's bound C stays what it is at first.
        """
        deviation = self.mechanism(self.rule()).deviation(n_params)
        return self.round_steps * (lr * deviation / self.expected_batch) ** 2

    def facts(self) -> dict[str, Any]:
        """Return the plan as the record's first line holds it."""
        facts = {
            "event": self.event.to_json(),
            "round_steps": self.round_steps,
            "planned_steps": self.planned_steps,
            "limit_steps": self.limit_steps,
            "epsilon": self.epsilon,
        }
        return facts | ({"selection": self.selection.facts()} if self.selection else {})

    @property
    def spent(self) -> tuple[PrivacyEvent, ...]:
        """What is released before the first round."""
        return () if self.selection is None else self.selection.events


def plan_party(
    config: RunConfig,
    party: PartyConfig,
    records: int,
    n_params: int,
    *,
    groups: Groups | None = None,
    n_classes: int | None = None,
    noise_multiplier: float | None = None,
    scoring_noise: float | None = None,
) -> PrivacyPlan:
    """Return what a party may release.

    Parameters
    ----------
    config
        A checked run file with ``privacy.unit = "record"``.
    party
        The party's particulars.
    records
        N, the number of records that it declares; public.
    n_params
        D, the number of noisy coordinates of a step.
    groups
        The declared groups, if the rule goes by groups.
    n_classes
        K, None for a regression; for a selection.
    noise_multiplier, scoring_noise
        Noise of the rounds and of a scorer's training that was worked out before (to check a
        record without searching for it again).

    Raises
    ------
    ConfigError
        If no noise meets the budget, or the budget does not hold a single round.
    """
    privacy, training = config.privacy, config.training
    if privacy.epsilon is None or privacy.delta is None:
        raise ConfigError('Expected epsilon and delta with privacy.unit = "record", got none.')
    batch = min(privacy.expected_batch or training.batch_size, records)
    epoch = math.ceil(records / batch)
    round_steps = training.steps or epoch * (training.epochs or 1)
    played = min(config.rounds, party.leave or config.rounds) - party.join
    alone = config.rounds if config.evaluation.standalone else 0
    rule = make_rule(privacy.rule, privacy.options)
    rule.bind(batch, len(groups.names) if groups else None)
    counts = ((rule.count_sensitivity, rule.count_noise or 0.0),) if rule.n_counts else ()
    secure = privacy.noise_form == "rounded"
    budget = party.epsilon or privacy.epsilon
    selection = plan_selection(
        config, records, n_params, budget, n_classes=n_classes, noise_multiplier=scoring_noise
    )
    step = PrivacyEvent(
        noise_multiplier=noise_multiplier or privacy.noise_multiplier or 1.0,
        sampling_rate=batch / records,
        counts=counts,
        noise_coordinates=n_params + rule.n_counts if secure else 0,
        rule=rule.name,
        public_batch_size=float(batch),
        noise_form=ROUNDED_FORM if secure else FAST_FORM,
        settings=rule.describe(),
        label="local step",
        seeded=privacy.noise == "seeded",
        neighbouring=ADD_OR_REMOVE_ONE if selection is None else selection.neighbouring,
        group_size=1 if selection is None else selection.group_size,
    )
    plan = PrivacyPlan(
        party=party.name,
        event=step,
        round_steps=round_steps,
        planned_steps=round_steps * (played + alone),
        limit_steps=0,
        epsilon=budget,
        delta=privacy.delta,
        accountant=privacy.accountant,
        secret=privacy.noise == "secret",
        groups=groups,
        max_physical=privacy.max_physical,
        selection=selection,
    )
    return _with_noise(plan, given=privacy.noise_multiplier, known=noise_multiplier)


def _with_noise(plan: PrivacyPlan, *, given: float | None, known: float | None) -> PrivacyPlan:
    """Return the plan with its noise (searched for unless given or known) and its limit."""
    if given is None and known is None:
        sigma = _search(_key(plan.event), *_budget(plan), fixed=False)
        plan = replace(plan, event=replace(plan.event, noise_multiplier=sigma))
    if given is None:
        return replace(plan, limit_steps=plan.planned_steps)
    most = int(_search(_key(plan.event), *_budget(plan), fixed=True))
    if most < plan.round_steps:
        raise ConfigError(
            f"Expected a budget that holds at least one round of {plan.party!r} "
            f"({plan.round_steps} steps), got epsilon = {plan.epsilon:g}, which with "
            f"noise_multiplier = {given:g} holds {most}. Raise one of them."
        )
    return replace(plan, limit_steps=most)


def _key(step: PrivacyEvent) -> str:
    return json.dumps(step.to_json(), sort_keys=True)


def _budget(plan: PrivacyPlan) -> tuple[int, float, float, str, tuple[str, ...]]:
    spent = tuple(_key(event) for event in plan.spent)
    return plan.planned_steps, plan.epsilon, plan.delta, plan.accountant, spent


@lru_cache(maxsize=4096)  # parties with equally many records share a search of a second or two
def _search(
    step: str,
    steps: int,
    epsilon: float,
    delta: float,
    accountant: str,
    before: tuple[str, ...],
    fixed: bool,
) -> float:
    event, *spent = (PrivacyEvent.from_json(json.loads(text)) for text in (step, *before))
    if fixed:
        return most_steps(event, epsilon, delta, accountant=accountant, at_most=steps, spent=spent)
    return calibrate_noise(
        epsilon,
        delta,
        event.sampling_rate,
        steps,
        event.counts,
        accountant=accountant,
        spent=spent,
        noise_coordinates=event.noise_coordinates,
        neighbouring=event.neighbouring,
        group_size=event.group_size,
    ).sigma
