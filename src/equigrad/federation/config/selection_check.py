"""Whether the table [selection] of a run file can work with the rest of it.

Used by :mod:`equigrad.federation.config.check` alone; the form of the table is checked in
:mod:`equigrad.federation.config.selection`.
"""

from collections.abc import Iterator

from equigrad.errors import ConfigError
from equigrad.federation.config.problems import Problem
from equigrad.federation.config.schema import RunConfig

__all__ = ["selection_problems"]

_CLASSES = 2  # stands for their number, which the data will say


def selection_problems(config: RunConfig) -> Iterator[Problem]:
    """Yield everything that is wrong with a choice of records in a run file of sound form."""
    chosen = config.selection
    if not chosen.on:
        return
    if not config.privacy.private:
        text = (
            'Expected privacy.unit = "record" beside a selector, got "none": records that are '
            "chosen by all others' scores show in the model. Set the unit, or remove the selector."
        )
        yield Problem(("selection", "selector"), text)
        return
    from equigrad.federation.private.selection_plan import (
        check_mean,
        chosen_scorer,
        chosen_selector,
    )

    try:
        scorer = chosen_scorer(chosen)
    except ConfigError as error:
        key = "scorer_options" if chosen.scorer_options else "scorer"
        yield Problem(("selection", key), f"selection.{key}: {error}")
        return
    try:
        check_mean(chosen)
    except ConfigError as error:
        yield Problem(("selection", "mean_mu"), f"selection.mean_mu: {error}")
    missing = sorted(scorer.needs - {"labels", "private_steps", "learning_rates"})
    if missing:
        text = (
            f"Expected a scorer that needs no {missing[0]}, which parties of a federation do not "
            f"share, got {chosen.scorer!r}. Use loss-mean or aum."
        )
        yield Problem(("selection", "scorer"), text)
    if chosen.checkpoints < scorer.least_checkpoints or chosen.steps < scorer.least_checkpoints:
        text = (
            f"Expected at least {scorer.least_checkpoints} checkpoints (and steps) for the scorer "
            f"{chosen.scorer!r}, got {min(chosen.checkpoints, chosen.steps)}. Keep more."
        )
        yield Problem(("selection", "checkpoints"), text)
    try:
        chosen_selector(chosen, _CLASSES, 1)
    except ConfigError as error:
        key = "options" if chosen.options else "selector"
        yield Problem(("selection", key), f"selection.{key}: {error}")
