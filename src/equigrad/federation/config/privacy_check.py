"""Whether the table [privacy] of a run file can work with the rest of it.

Used by :mod:`equigrad.federation.config.check` alone; the form of the table is checked in
:mod:`equigrad.federation.config.privacy`.
"""

import difflib
from collections.abc import Iterator

from equigrad.errors import ConfigError
from equigrad.federation.config.problems import Problem
from equigrad.federation.config.schema import RunConfig

__all__ = ["privacy_problems"]


def privacy_problems(config: RunConfig) -> Iterator[Problem]:
    """Yield everything that is wrong with private training in a run file of sound form."""
    if not config.privacy.private:
        yield from _without_unit(config)
        return
    yield from _rule(config)
    yield from _conflicts(config)


def _without_unit(config: RunConfig) -> Iterator[Problem]:
    for i, party in enumerate(config.party):
        if party.epsilon is not None:
            text = (
                'Expected privacy.unit = "record" beside a party\'s epsilon, got "none". '
                "Set the unit, or remove epsilon."
            )
            yield Problem(("party", i, "epsilon"), text)


def _rule(config: RunConfig) -> Iterator[Problem]:
    from equigrad.federation.private.rules import make_rule
    from equigrad.privacy.clipping import CLIPPING_RULES

    privacy = config.privacy
    names = list(CLIPPING_RULES)
    if privacy.rule not in names:
        near = difflib.get_close_matches(privacy.rule.lower(), names, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        text = (
            f"Expected privacy.rule to be a clipping rule ({', '.join(names)}), got "
            f"{privacy.rule!r}.{hint}"
        )
        yield Problem(("privacy", "rule"), text)
        return
    try:
        make_rule(privacy.rule, privacy.options)
    except ConfigError as error:
        path = ("privacy", "options") if privacy.options else ("privacy", "rule")
        yield Problem(path, str(error))
    needs = CLIPPING_RULES[privacy.rule].needs_groups
    if needs and privacy.groups is None:
        text = (
            f"Expected privacy.groups with the clipping rule {privacy.rule!r}, got none. "
            'Set it to "label" or to a sensitive attribute.'
        )
        yield Problem(("privacy", "rule"), text)
    if privacy.groups is not None and not needs:
        text = (
            f"Expected no privacy.groups with the clipping rule {privacy.rule!r}, which knows no "
            f'groups, got "{privacy.groups}". Remove it, or change the rule.'
        )
        yield Problem(("privacy", "groups"), text)


def _conflicts(config: RunConfig) -> Iterator[Problem]:
    if config.training.optimizer == "LBFGS":
        text = (
            'Expected an optimiser that asks for one gradient a step, got "LBFGS", which asks for '
            'many; each would be a release to be paid for. Use "SGD" or "Adam".'
        )
        yield Problem(("training", "optimizer"), text)
    if config.privacy.noise_multiplier is not None and config.evaluation.standalone:
        text = (
            "Expected evaluation.standalone = false beside privacy.noise_multiplier, got true: "
            "training alone is a second release of the same records, and with the noise given it "
            "would eat the budget before round 0. Set it to false, or leave the noise out."
        )
        yield Problem(("privacy", "noise_multiplier"), text)
    for i, party in enumerate(config.party):
        if party.upload_noise:
            text = (
                "Expected no upload_noise with private training, whose uploads carry noise "
                f"already, got {party.upload_noise}. Remove it, or set epsilon for this party."
            )
            yield Problem(("party", i, "upload_noise"), text)
