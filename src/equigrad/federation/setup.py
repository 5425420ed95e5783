"""From a run file to everything a run needs: the parties' specs, the terms, the first line.

The neighbours: :mod:`equigrad.federation.dealing` (who holds which records) and
:mod:`equigrad.federation.runner` (which plays the run).
"""

import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

import equigrad
from equigrad.contribution import MAX_PARTIES
from equigrad.data import describe
from equigrad.errors import ConfigError, ModelError
from equigrad.federation.config.presets import resolve
from equigrad.federation.config.problems import Source
from equigrad.federation.config.schema import PartyConfig, RunConfig
from equigrad.federation.dealing import Dealt, deal
from equigrad.federation.methods.base import Terms
from equigrad.federation.party import PartySpec, check_training
from equigrad.federation.party.evaluate import evaluate
from equigrad.federation.party.spec import Records, model_input
from equigrad.federation.private.plan import PrivacyPlan
from equigrad.federation.private.prepare import (
    check_private,
    private_notes,
    start_facts,
    with_plans,
)
from equigrad.federation.record.canonical import sha256_json
from equigrad.federation.streams import stream_seed, torch_stream
from equigrad.models import (
    ModelInput,
    build_model,
    check_model,
    flatten,
    layer_sizes,
    load_flat,
    named_state,
    parameter_names,
    vector_sha256,
)

__all__ = ["COORDINATOR", "Setup", "prepare"]

COORDINATOR = "coordinator"
"""The name under which the coordinator's own model is kept beside the parties'."""

_VALIDATION_SHARE, _VALIDATION_MOST = 0.2, 1000


@dataclass(frozen=True, eq=False)
class Setup:
    """A run, ready to be played.

    Attributes
    ----------
    terms
        What is agreed before the first round.
    specs
        The parties.
    plans
        What each party may release, where the parties train privately; else empty.
    start
        The body of the record's first line.
    notes
        Sentences about the data for whoever watches.
    """

    terms: Terms
    specs: tuple[PartySpec, ...]
    plans: dict[str, PrivacyPlan]
    start: dict[str, Any]
    notes: tuple[str, ...]
    _model: nn.Module
    _test: Records

    def measure(self, weights: torch.Tensor) -> dict[str, float]:
        """Return score and loss of a flat model on the test records."""
        load_flat(self._model, weights)
        return evaluate(self._model, self._test, self.specs[0].model_input.task)

    def named(self, weights: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return a flat model by parameter names, as ``load_state_dict`` takes it."""
        return named_state(self._model, weights)


def prepare(config: RunConfig, source: str = "") -> Setup:
    """Load and deal the data, build and check the model, resolve the settings.

    Parameters
    ----------
    config
        A checked configuration.
    source
        The run file's text, to name the line of a model that cannot be built; empty if there is
        none.

    Raises
    ------
    ConfigError, DataError, ModelError
        If something that the run file asks for cannot be had.
    """
    dealt = deal(config)
    if COORDINATOR in dealt.parties:
        raise ConfigError(
            f"Expected another name for the party {COORDINATOR!r}, which is the coordinator's."
        )
    inputs = model_input(dealt.test)
    model = _model(config, inputs, source)
    check_training(model, config.training)
    test = Records.of(dealt.test)
    particulars = {party.name: party for party in config.party}
    specs = tuple(
        _spec(config, name, Records.of(data), test, dealt, particulars.get(name))
        for name, data in dealt.parties.items()
    )
    named = dict(model.named_parameters())
    names = parameter_names(model)
    terms = Terms(
        seed=config.seed,
        rounds=config.rounds,
        parties=tuple(dealt.parties),
        layer_sizes=layer_sizes(model),
        names=names,
        shapes=tuple(tuple(named[name].shape) for name in names),
        initial=flatten(model),
        settings=resolve(config.rewards, config.audit, config.data.name),
        validate=_validator(model, test, inputs.task, config.seed),
    )
    exact = terms.settings.contribution == "cgsv-exact"
    if config.method == "cgsv" and exact and len(specs) > MAX_PARTIES:
        raise ConfigError(
            f"Expected at most {MAX_PARTIES} parties with rewards.contribution = 'cgsv-exact' "
            f"(its work doubles with each), got {len(specs)}. Use 'auto' or 'cgsv-sampled'."
        )
    for spec in specs:
        spec.check(terms.settings)
    specs = with_plans(config, specs, dealt, terms.size, Source("run file", _toml(source)))
    plans = {spec.name: spec.plan for spec in specs if spec.plan is not None}
    if plans:
        check_private(model, specs[0])
    start = _start_body(config, dealt, terms, plans)
    notes = (*dealt.notes, *private_notes(config, plans))
    return Setup(terms, specs, plans, start, notes, model, test)


def _model(config: RunConfig, inputs: ModelInput, source: str) -> nn.Module:
    """Return the initial model, built and checked; an error names the place in the run file."""
    seed = stream_seed(config.seed, "initial model")
    try:
        model = build_model(config.model.factory, inputs, config.model.options, seed)
        check_model(model, inputs, buffers=config.model.buffers)
    except (ConfigError, ModelError) as error:
        kind = ModelError if isinstance(error, ModelError) else ConfigError
        where = Source("run file", _toml(source)).where(("model", "factory"))
        raise kind(f"{where}: model.factory: {error}") from error
    return model


def _toml(text: str) -> str:
    """Return ``text``, or nothing if it is no TOML and has no lines to point at."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return ""
    return text


def _validator(
    model: nn.Module, test: Records, task: Literal["classification", "regression"], seed: int
) -> Callable[[torch.Tensor], float]:
    """Return what scores a flat model on the coordinator's validation records.

    They are a fifth of the test records, at most 1000, drawn by the run's seed: baselines that
    value parties by validation see part of what everybody is measured on, to their advantage.
    """
    count = min(_VALIDATION_MOST, math.ceil(_VALIDATION_SHARE * len(test)))
    order = torch.randperm(len(test), generator=torch_stream(seed, "validation records"))
    chosen = order[:count].sort().values
    records = Records(test.features[chosen], test.labels[chosen])

    def validate(weights: torch.Tensor) -> float:
        load_flat(model, weights)
        return evaluate(model, records, task)["score"]

    return validate


def _spec(
    config: RunConfig,
    name: str,
    train: Records,
    test: Records,
    dealt: Dealt,
    party: PartyConfig | None,
) -> PartySpec:
    party = party or PartyConfig(name=name)
    return PartySpec(
        name=name,
        seed=config.seed,
        train=train,
        test=test,
        model_input=model_input(dealt.test),
        model=config.model,
        training=config.training,
        behaviour=party.behaviour,
        options=party.options,
        device=config.engine.device,
        upload_noise=party.upload_noise,
        noise_kind=party.noise_kind,
    )


def _start_body(
    config: RunConfig, dealt: Dealt, terms: Terms, plans: dict[str, PrivacyPlan]
) -> dict[str, Any]:
    rows = describe(dealt.parties)
    behaviours = {party.name: party.behaviour for party in config.party}
    regression = dealt.test.task == "regression"
    untold = regression or bool(plans)  # what a private party's labels are is not told
    body: dict[str, Any] = {
        "schema": "equigrad-record-1",
        "equigrad": equigrad.__version__,
        "config_sha256": sha256_json(config.model_dump()),
        "method": config.method,
        "seed": config.seed,
        "rounds": config.rounds,
        "parties": [row.party for row in rows],
        "records": [row.records for row in rows],
        "classes": None if untold else [row.classes_present for row in rows],
        "label_entropy": None if untold else [row.label_entropy for row in rows],
        "behaviours": [behaviours.get(row.party, "honest") for row in rows],
        "data": {
            "name": dealt.test.name,
            "task": dealt.test.task,
            "train": sum(row.records for row in rows),
            "test": len(dealt.test),
            "classes": list(dealt.test.classes),
            "notes": list(dealt.notes),
        },
        "model": {
            "factory": config.model.factory,
            "parameters": terms.size,
            "layer_sizes": list(terms.layer_sizes),
            "names": list(terms.names),
            "initial_sha256": vector_sha256(terms.initial),
        },
        "settings": terms.settings.facts(),
    }
    if plans:
        body["privacy"] = start_facts(config, plans)
    return body
