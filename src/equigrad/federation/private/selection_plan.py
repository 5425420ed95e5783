"""What choosing its own records costs one party, worked out before the first round.

Like the plan of the rounds it follows from public numbers alone, so that ``equigrad verify`` works
it out again. Neighbours: :mod:`.plan` adds the rounds, :mod:`equigrad.federation.party.selecting`
does what was planned.
"""

import inspect
import json
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from equigrad._validate import known_options
from equigrad.errors import ConfigError, EquigradError
from equigrad.federation.config.schema import RunConfig
from equigrad.federation.config.selection import SelectionConfig
from equigrad.privacy.accounting import PrivacyEvent, calibrate_noise
from equigrad.privacy.clipping import Flat
from equigrad.privacy.noise import FAST_FORM, ROUNDED_FORM
from equigrad.valuation import PrivateSteps, Scorer, ScoreSet, make_scorer
from equigrad.valuation.release import Mean
from equigrad.valuation.release.aggregate import check_aggregate
from equigrad.valuation.select import SELECTORS, Selector, make_selector

__all__ = [
    "SelectionPlan",
    "check_mean",
    "check_together",
    "chosen_scorer",
    "chosen_selector",
    "plan_selection",
]


@dataclass(frozen=True)
class SelectionPlan:
    """What a party may release to choose its records. Constant, picklable, public.

    Attributes
    ----------
    settings
        The table of the run file.
    n_classes, n_records
        K (None for a regression) and the declared N; both public.
    scoring
        One step of the scorer's training.
    mean
        The noisy mean of the scores, None if none is told.
    neighbouring, group_size
        How far apart the selections of neighbouring record sets are: what a round's step is
        charged.
    """

    settings: SelectionConfig
    n_classes: int | None
    n_records: int
    scoring: PrivacyEvent
    mean: PrivacyEvent | None
    neighbouring: str
    group_size: int

    @property
    def events(self) -> tuple[PrivacyEvent, ...]:
        """All that is released before the rounds."""
        scoring = self.scoring.with_steps(self.settings.steps)
        return (scoring,) if self.mean is None else (scoring, self.mean)

    def scorer(self) -> Scorer:
        """Return the scorer."""
        return chosen_scorer(self.settings)

    def selector(self) -> Selector:
        """Return the selector."""
        return chosen_selector(self.settings, self.n_classes, self.n_records)

    def statistic(self) -> Mean | None:
        """Return the mean that is told, None if none is."""
        return _mean(self.settings, self.n_records, secure=self.secure)

    @property
    def secure(self) -> bool:
        """Whether noise is rounded on a public grid."""
        return self.scoring.noise_form == ROUNDED_FORM

    @property
    def expected_batch(self) -> float:
        """L, the public expected number of records in a step of the scorer's training."""
        return float(self.scoring.public_batch_size or 1.0)

    def rule(self) -> Flat:
        """Return the clipping rule of the scorer's training, bound."""
        rule = Flat(self.settings.clip)
        rule.bind(self.expected_batch, None)
        return rule

    def private_steps(self, delta: float) -> PrivateSteps:
        """Return the constants of the scorer's training."""
        return PrivateSteps(
            clip=self.settings.clip,
            noise_multiplier=self.scoring.noise_multiplier,
            steps=self.settings.steps,
            delta=delta,
            sampling_rate=self.scoring.sampling_rate,
        )

    def facts(self) -> dict[str, Any]:
        """Return the plan as the record's first line holds it."""
        return {
            "scorer": self.scorer().describe(),
            "selector": self.selector().describe(),
            "events": [event.to_json() for event in self.events],
            "neighbouring": self.neighbouring,
            "group_size": self.group_size,
        }


def plan_selection(
    config: RunConfig,
    records: int,
    n_params: int,
    epsilon: float,
    *,
    n_classes: int | None,
    noise_multiplier: float | None = None,
) -> SelectionPlan | None:
    """Return what choosing its records costs a party; None where parties do not choose.

    Parameters
    ----------
    config
        A checked run file.
    records
        N, the number of records that the party declares.
    n_params
        D, the number of noisy coordinates of a step.
    epsilon
        The party's whole budget; the scorer's training takes its share of it at most.
    n_classes
        K, None for a regression.
    noise_multiplier
        Noise of the scorer's training that was worked out before.

    Raises
    ------
    ConfigError
        If no noise keeps the scorer's training within its share, or scorer and selector do not go
        together.
    """
    chosen, privacy = config.selection, config.privacy
    if not chosen.on or privacy.delta is None:
        return None
    batch = min(chosen.expected_batch or math.ceil(records / 3), records)
    secure, seeded = privacy.noise_form == "rounded", privacy.noise == "seeded"
    step = PrivacyEvent(
        noise_multiplier=noise_multiplier or 1.0,
        sampling_rate=batch / records,
        noise_coordinates=n_params if secure else 0,
        rule="flat",
        public_batch_size=float(batch),
        noise_form=ROUNDED_FORM if secure else FAST_FORM,
        settings=Flat(chosen.clip).describe(),
        label="step of the scorer's training",
        seeded=seeded,
    )
    if noise_multiplier is None:
        share = chosen.share * epsilon
        key = json.dumps(step.to_json(), sort_keys=True)
        sigma = _noise(key, chosen.steps, share, privacy.delta, privacy.accountant)
        step = replace(step, noise_multiplier=sigma)
    statistic = _mean(chosen, records, secure=secure)
    selector = chosen_selector(chosen, n_classes, records)
    label = chosen_scorer(chosen).label
    return SelectionPlan(
        settings=chosen,
        n_classes=n_classes,
        n_records=records,
        scoring=step,
        mean=None if statistic is None else statistic.event(label, seeded=seeded),
        neighbouring=selector.neighbouring,
        group_size=selector.stability,
    )


def chosen_scorer(settings: SelectionConfig) -> Scorer:
    """Return the scorer of a run file, by its registered name."""
    return make_scorer(settings.scorer, **settings.scorer_options)


def chosen_selector(settings: SelectionConfig, n_classes: int | None, n_records: int) -> Selector:
    """Return the selector of a run file; classes and records are told where it asks for them.

    Raises
    ------
    ConfigError
        If there is none, an option is unknown, or it would release something of its own.
    """
    kind = SELECTORS[settings.selector]
    known_options(f"selector {settings.selector!r}", kind, settings.options)
    asked = inspect.signature(kind).parameters
    public = {"n_classes": n_classes, "n_public": n_records}
    given = {k: v for k, v in public.items() if k in asked and v is not None}
    try:
        selector = make_selector(settings.selector, **(given | settings.options))
    except TypeError as error:
        raise ConfigError(
            f"Expected the settings of the selector {settings.selector!r}, got "
            f"{sorted(settings.options)} ({error})."
        ) from error
    if type(selector).event is not Selector.event:
        raise ConfigError(
            f"Expected a selector that releases nothing itself, got {settings.selector!r}: in a "
            "round that is played again after a crash its choice would have to be paid twice. Fix "
            "the threshold beforehand (fixed-threshold), or take 'top-k' or 'declared'."
        )
    return selector


def check_together(settings: SelectionConfig, n_classes: int | None, n_records: int) -> None:
    """Refuse a selector that cannot choose by the scorer's scores, before anybody trains.

    Raises
    ------
    ConfigError
        With the selector's own words.
    """
    check_mean(settings)
    blank = _blank(chosen_scorer(settings))
    try:
        chosen_selector(settings, n_classes, n_records).check(blank)
    except EquigradError as error:
        raise ConfigError(str(error)) from error


def check_mean(settings: SelectionConfig) -> None:
    """Refuse to tell a mean of scores that one record moves further than the mean is charged for.

    Raises
    ------
    ConfigError
        If a mean is told of scores that depend on other records than their own, or are estimates.
    """
    if settings.mean_mu is None:
        return
    scorer = chosen_scorer(settings)
    try:
        check_aggregate(_blank(scorer))
    except EquigradError as error:
        raise ConfigError(
            f"Expected a scorer whose mean can be told, got {scorer.label!r} with mean_mu: one "
            "record would move the mean further than it is charged for, or its scores bound "
            "nothing. Leave mean_mu and mean_range out, or take loss-mean or aum."
        ) from error


def _blank(scorer: Scorer) -> ScoreSet:
    """Return one made-up score, with all that is known of the scorer's beforehand."""
    return ScoreSet(
        values=np.zeros(1),
        scorer=scorer.label,
        orientation=scorer.orientation,
        locality=scorer.locality,
        origin="private",
        estimate=scorer.estimate,
    )


def _mean(settings: SelectionConfig, records: int, *, secure: bool) -> Mean | None:
    if settings.mean_mu is None or settings.mean_range is None:
        return None
    low, high = settings.mean_range
    return Mean((low, high), settings.mean_mu, records, secure=secure)


@lru_cache(maxsize=4096)  # parties with equally many records share a search of a second or two
def _noise(step: str, steps: int, epsilon: float, delta: float, accountant: str) -> float:
    event = PrivacyEvent.from_json(json.loads(step))
    return calibrate_noise(
        epsilon,
        delta,
        event.sampling_rate,
        steps,
        accountant=accountant,
        noise_coordinates=event.noise_coordinates,
    ).sigma
