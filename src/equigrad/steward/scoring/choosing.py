"""From settings to scorers and a selector, before anything is trained."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from equigrad.errors import ConfigError
from equigrad.steward.config import ScoreSettings
from equigrad.steward.scoring.plan import Schedule
from equigrad.valuation import Scorer, ScoreSet, ScoringContext, make_scorer
from equigrad.valuation.select import SELECTORS, Selector, make_selector, public_k

__all__ = ["blank_scores", "choosing_label", "chosen_scorers", "chosen_selector"]


def chosen_scorers(settings: ScoreSettings) -> list[Scorer]:
    """Return the scorers that settings name, in their order.

    Raises
    ------
    RegistryError, ConfigError
        If a name or option is unknown, or two are the same.
    """
    scoring = settings.scoring
    made = [make_scorer(name, **scoring.options_of(name)) for name in scoring.names]
    labels = [one.label for one in made]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ConfigError(f"Expected every scorer once, got {twice[0]!r} twice. Leave one out.")
    return made


def choosing_label(settings: ScoreSettings, scorers: Sequence[Scorer]) -> str:
    """Return the label of the scorer whose scores choose.

    Raises
    ------
    ConfigError
        If the one that was named is not among the scorers.
    """
    wanted = settings.selection.scorer
    if wanted is None:
        return scorers[0].label
    named = wanted.replace("_", "-")
    for scorer in scorers:
        if named in (scorer.name, scorer.label):
            return scorer.label
    raise ConfigError(
        f"Expected selection.scorer among {', '.join(s.name for s in scorers)}, got {wanted!r}. "
        "Name it with --scorer too."
    )


def chosen_selector(settings: ScoreSettings, numbers: Schedule, classes: int) -> Selector | None:
    """Return the selector that settings name, None if they name none.

    Public numbers that it asks for and was not given are filled in: the number of classes, the
    declared number of records, and k from a ``share``.

    Raises
    ------
    RegistryError, ConfigError
        If it is unknown, or an option is unknown, missing or impossible.
    """
    choice = settings.selection
    if choice.rule is None:
        return None
    options: dict[str, Any] = dict(choice.options)
    takes = inspect.signature(SELECTORS[choice.rule.replace("_", "-")]).parameters
    for name, value in (("n_classes", classes), ("n_public", numbers.records)):
        if name in takes:
            options.setdefault(name, value)
    if "k" in takes and "k" not in options and "share" in options:
        options["k"] = public_k(float(options.pop("share")), numbers.records)
    return make_selector(choice.rule, **options)


def blank_scores(scorer: Scorer, context: ScoringContext) -> ScoreSet:
    """Return scores of which everything is known but the values, which are 0."""
    source = scorer.source(context)
    return ScoreSet(
        values=np.zeros(len(context)),
        scorer=scorer.label,
        orientation=scorer.orientation,
        locality=scorer.locality,
        origin=source.origin,
        bounds=scorer.bounds(source),
        settings=scorer.settings(),
        seeded=source.seeded,
        estimate=scorer.estimate,
        public_validation=context.public_validation,
    )
