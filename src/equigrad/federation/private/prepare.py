"""Private training, before the first round: every party's plan, and what is told of it.

Used by :mod:`equigrad.federation.setup`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from equigrad.errors import ConfigError, ModelError
from equigrad.federation.config.problems import Source
from equigrad.federation.config.schema import PartyConfig, RunConfig
from equigrad.federation.dealing import Dealt
from equigrad.federation.party.spec import PartySpec
from equigrad.federation.private.groups import declared_groups, group_numbers
from equigrad.federation.private.plan import PrivacyPlan, plan_party
from equigrad.federation.private.selection_plan import check_together
from equigrad.federation.private.spending import NOT_PRIVATE
from equigrad.gradients import PerSamplePass
from equigrad.gradients.checks import check_per_sample
from equigrad.models import check_model, set_training_mode
from equigrad.models.modes import preserved
from equigrad.privacy.accounting.events import ADD_OR_REMOVE_ONE

_TRIED = 8

__all__ = ["check_private", "private_notes", "start_facts", "with_plans"]


def with_plans(
    config: RunConfig,
    specs: Sequence[PartySpec],
    dealt: Dealt,
    n_params: int,
    source: Source | None = None,
) -> tuple[PartySpec, ...]:
    """Return the parties with their plans; as they are where the run is not private.

    ``source`` is the run file, to name the line of a setting that does not suit a party.

    Raises
    ------
    ConfigError
        If a party's budget cannot be met, it has fewer records than are expected in a step, or the
        groups of the clipping rule do not exist.
    """
    privacy = config.privacy
    if not privacy.private:
        return tuple(specs)
    if config.selection.on and specs:
        check_together(config.selection, _classes(specs[0]), len(specs[0].train))
    _check_batch(privacy.expected_batch, specs, source or Source())
    groups = None
    if privacy.groups is not None:
        groups = declared_groups(privacy.groups, dealt.parties, dealt.test)
    particulars = {party.name: party for party in config.party}
    planned = []
    for spec in specs:
        party = particulars.get(spec.name, PartyConfig(name=spec.name))
        try:
            plan = plan_party(
                config,
                party,
                len(spec.train),
                n_params,
                groups=groups,
                n_classes=_classes(spec),
            )
        except ConfigError as error:
            raise ConfigError(f"privacy of {spec.name!r}: {error}") from error
        numbers = None if groups is None else group_numbers(groups, dealt.parties[spec.name])
        planned.append(replace(spec, plan=plan, groups=numbers))
    return tuple(planned)


def _classes(spec: PartySpec) -> int | None:
    known = spec.model_input
    return known.outputs if known.task == "classification" else None


def _check_batch(batch: int | None, specs: Sequence[PartySpec], source: Source) -> None:
    """Refuse an expected batch that a party cannot have: cut, it would be another setting."""
    if batch is None:
        return
    small = {spec.name: len(spec.train) for spec in specs if len(spec.train) < batch}
    if small:
        listed = [f"{name!r} ({count} records)" for name, count in small.items()]
        others = f" and {len(small) - 5} more" if len(small) > 5 else ""
        raise ConfigError(
            f"{source.where(('privacy', 'expected_batch'))}: Expected privacy.expected_batch to be "
            f"at most the records of every party, got {batch}, more than {', '.join(listed[:5])}"
            f"{others} can draw. Take {min(small.values())} or less."
        )


def check_private(model: nn.Module, spec: PartySpec) -> None:
    """Refuse a model whose gradients cannot be told apart by record, before anybody trains.

    It is tried on a few test records, which are public, in the modes it will be trained in; it is
    left as it was.

    Raises
    ------
    ModelError
        Naming the layers and what to do.
    """
    from equigrad.federation.party.private import record_loss

    loss = record_loss(spec.model_input.task)
    features, labels = spec.test.features[:_TRIED], spec.test.labels[:_TRIED]
    varied = len(features) > 1 and bool((features != features[0]).any())
    try:
        frozen = check_model(model, spec.model_input, buffers=spec.model.buffers)
        with preserved(model):
            set_training_mode(model, frozen)
            PerSamplePass(model, loss)
            check_per_sample(model, features if varied else None, loss, labels)
    except ModelError as error:
        raise ModelError(
            f'privacy.unit = "record" with model.factory = "{spec.model.factory}": {error}'
        ) from error


def start_facts(config: RunConfig, plans: dict[str, PrivacyPlan]) -> dict[str, Any]:
    """Return the entry ``privacy`` of the record's first line."""
    first = next(iter(plans.values()))
    return {
        "unit": config.privacy.unit,
        "neighbouring": ADD_OR_REMOVE_ONE,
        "delta": config.privacy.delta,
        "accountant": config.privacy.accountant,
        "mark": None if first.secret else NOT_PRIVATE,
        "groups": None if first.groups is None else list(first.groups.names),
        "parties": {party: plan.facts() for party, plan in plans.items()},
    }


def private_notes(config: RunConfig, plans: dict[str, PrivacyPlan]) -> Iterator[str]:
    """Yield what whoever watches a private run should know."""
    if not plans:
        return
    budgets = sorted({plan.epsilon for plan in plans.values()})
    span = f"{budgets[0]:g}" if len(budgets) == 1 else f"{budgets[0]:g} to {budgets[-1]:g}"
    noise = sorted(plan.event.noise_multiplier for plan in plans.values())
    yield (
        f"Every party trains privately: epsilon {span}, delta {config.privacy.delta:g}, rule "
        f"{config.privacy.rule}, noise multiplier {noise[0]:.3g} to {noise[-1]:.3g}; neighbours "
        "differ by one record, added or removed."
    )
    if config.selection.on:
        chosen = config.selection
        mean = "" if chosen.mean_mu is None else " It tells a noisy mean of its scores."
        yield (
            f"Every party chooses its records by {chosen.scorer} and {chosen.selector} before its "
            f"first round, for at most {chosen.share:.0%} of its epsilon and the mean's.{mean}"
        )
    if config.privacy.noise == "seeded":
        yield (
            f"A rehearsal, {NOT_PRIVATE}: whoever knows the seed can take the noise off. "
            'Set privacy.noise = "secret" to be protected.'
        )
    delta = config.privacy.delta or 0.0
    large = [n for n, p in plans.items() if delta * p.expected_batch / p.event.sampling_rate >= 1]
    if large:
        yield (
            f"delta {delta:g} is not below one over the records of {', '.join(large[:5])}: it "
            "would be met by publishing one of their records. Take a smaller one."
        )
