"""Whether what a run file asks for exists and goes together: names of strategies, combinations.

The form of the file (keys, types, ranges) is checked before, in
:mod:`equigrad.federation.config.loader`. Every list of allowed names comes from the family's
registry; the families are imported here when they are asked, so that reading a file with a typing
mistake does not wait for PyTorch.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from equigrad.errors import ConfigError, ModelError
from equigrad.federation.config.locate import Path
from equigrad.federation.config.parties import (
    FILES,
    Pooled,
    listed_names,
    partition_rule,
    party_problems,
)
from equigrad.federation.config.presets import PRESETS, resolve
from equigrad.federation.config.privacy_check import privacy_problems
from equigrad.federation.config.problems import Problem, Source, key_path, refuse
from equigrad.federation.config.schema import RunConfig
from equigrad.federation.config.selection_check import selection_problems

__all__ = ["check_config", "pool_problems", "unknown_name"]


def check_config(config: RunConfig, source: Source | None = None) -> None:
    """Raise one ``ConfigError`` that lists everything that cannot work; return if all is well.

    Parameters
    ----------
    config
        A configuration of sound form.
    source
        The text it came from, for line numbers.

    Raises
    ------
    ConfigError
        If a strategy's name is unknown (the nearest known one is named), an option of one is
        wrong, parties do not match the partition, or settings contradict each other.
    """
    source = Source(data=config.model_dump()) if source is None else source
    refuse((p for check in _CHECKS for p in check(config)), source)


def unknown_name(
    config: Pooled, path: Path, family: str, name: str, known: Iterable[str]
) -> Iterator[Problem]:
    """Yield a problem that lists the known names, and the nearest, if ``name`` is none of them."""
    names = {word.lower(): word for word in known}
    if name in names.values():
        return
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    hint = f" Did you mean {names[near[0]]!r}?" if near else ""
    key = key_path(path, config.model_dump())
    listed = ", ".join(names.values()) or "none"
    yield Problem(path, f"Expected {key} to be {family} ({listed}), got {name!r}.{hint}")


def _method(config: RunConfig) -> Iterator[Problem]:
    from equigrad.federation.methods import METHODS

    yield from unknown_name(config, ("method",), "a method", config.method, METHODS)


def _data(config: Pooled) -> Iterator[Problem]:
    from equigrad.data import SETS

    name = config.data.name
    if name is None:
        for option in config.data.options:
            known = ("categorical", "sensitive_features", "standardise", "test")
            yield from unknown_name(
                config, ("data", "options", option), "an option of own files", option, known
            )
        if config.data.party_column and config.partition.rule not in ("column", FILES):
            text = (
                'Expected partition.rule = "column" beside data.party_column, got '
                f'"{config.partition.rule}". Change the rule, or remove party_column.'
            )
            yield Problem(("partition", "rule"), text)
        return
    yield from unknown_name(config, ("data", "name"), "a data set", name, SETS)
    if name in SETS:
        for option in config.data.options:
            path: Path = ("data", "options", option)
            yield from unknown_name(
                config, path, f"an option of {name}", option, SETS[name].options
            )
    for key in ("label", "sensitive", "identifier", "party_column", "drop", "task"):
        if getattr(config.data, key):
            text = (
                f"Expected data.{key} only with your own files (data.path), got it with {name!r}."
            )
            yield Problem(("data", key), f"{text} Remove it.")


def _partition(config: Pooled) -> Iterator[Problem]:
    from equigrad.data import PARTITIONS

    rule = config.partition.rule
    if rule != FILES and rule not in PARTITIONS:
        known = [*PARTITIONS, FILES]
        yield from unknown_name(config, ("partition", "rule"), "a partition rule", rule, known)
        return
    problems = party_problems(config)
    yield from problems
    if rule != FILES and not problems:
        yield from _refused(("partition", "options"), lambda: partition_rule(config))


def _refused(path: Path, build: Callable[[], object]) -> Iterator[Problem]:
    """Yield the ``ConfigError`` that ``build`` raises, as a problem."""
    try:
        build()
    except (ConfigError, ModelError) as error:
        yield Problem(path, str(error))


def _model(config: Pooled) -> Iterator[Problem]:
    from equigrad.models import MODELS, resolve_factory

    factory = config.model.factory
    if ":" in factory or factory in MODELS:
        problems = list(_refused(("model", "factory"), lambda: resolve_factory(factory)))
        if not problems:
            problems = list(_refused(("model", "options"), lambda: _known_model_options(config)))
        yield from problems
        if not problems and ":" not in factory and config.model.options:
            yield from _model_options(factory, config.model.options)
    else:
        family = "package.module:callable or a built-in model"
        yield from unknown_name(config, ("model", "factory"), family, factory, MODELS)


def _known_model_options(config: Pooled) -> None:
    from equigrad._validate import known_options
    from equigrad.models import resolve_factory

    factory = config.model.factory
    known_options(f"model {factory!r}", resolve_factory(factory), config.model.options)


_STAND_INS: tuple[tuple[tuple[int, ...], int], ...] = (
    ((16,), 0),
    ((1, 28, 28), 0),
    ((3, 32, 32), 0),
    ((100_000,), 100),
)
"""Record shapes and vocabularies of a table, two kinds of images and a long text."""


def _model_options(factory: str, options: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the option whose value a built-in factory refuses, whatever the data are.

    Without the data it is built for stand-ins, without memory; one that takes it is enough.
    """
    import torch

    from equigrad.models import ModelInput, build_model

    refusals = []
    for shape, vocabulary in _STAND_INS:
        try:
            with torch.device("meta"):
                build_model(factory, ModelInput(shape, 2, vocabulary), options, seed=0)
        except (ConfigError, ModelError) as error:
            refusals.append(str(error))
        else:
            return
    named = ((o, r) for r in refusals for o in options if r.startswith(f"Expected {o} "))
    for option, text in named:
        said = text.replace("Expected ", "Expected model.options.", 1)
        yield Problem(("model", "options", option), said)
        return


def _training(config: RunConfig) -> Iterator[Problem]:
    from equigrad.federation.party.optimizer import make_optimizer, optimizer_names

    training = config.training
    if training.optimizer not in optimizer_names():
        path: Path = ("training", "optimizer")
        family = "a torch.optim optimiser"
        yield from unknown_name(config, path, family, training.optimizer, optimizer_names())
        return
    import torch

    parameters = [torch.nn.Parameter(torch.zeros(1, 1))]  # a matrix, for Muon

    def build() -> object:
        return make_optimizer(training.optimizer, parameters, training.lr, training.options)

    yield from _refused(("training", "options"), build)


def _rewards(config: RunConfig) -> Iterator[Problem]:
    from equigrad.contribution import MAX_PARTIES, RULES
    from equigrad.reward import REWARD_RULES

    rewards = config.rewards
    if rewards.contribution is not None:
        known = ["auto", *(name for name in RULES if RULES[name].needs == "gram")]
        path: Path = ("rewards", "contribution")
        yield from unknown_name(config, path, "a contribution rule", rewards.contribution, known)
        parties = len(listed_names(config) or ())
        if rewards.contribution == "cgsv-exact" and parties > MAX_PARTIES:
            text = (
                f'Expected at most {MAX_PARTIES} parties with "cgsv-exact" (its work doubles with '
                f'each), got {parties}. Use "auto" or "cgsv-sampled".'
            )
            yield Problem(path, text)
    if rewards.mask is not None:
        yield from unknown_name(
            config, ("rewards", "mask"), "a reward rule", rewards.mask, REWARD_RULES
        )
    yield from _refused(("rewards",), lambda: resolve(rewards, config.audit, config.data.name))
    yield from _noise(config)


def _noise(config: RunConfig) -> Iterator[Problem]:
    gamma = config.rewards.gamma or PRESETS[config.rewards.preset].gamma
    if gamma != "auto" or config.rewards.bounding == "none":
        return
    for i, party in enumerate(config.party):
        if party.upload_noise:
            text = (
                'Expected rewards.gamma to be a number where uploads are noised, got "auto": the '
                "bound must be fixed before any number that depends on data is sent. Set it."
            )
            yield Problem(("party", i, "upload_noise"), text)


def _parties(config: RunConfig) -> Iterator[Problem]:
    from equigrad.federation.party.behaviours import BEHAVIOURS, make_behaviour

    for i, party in enumerate(config.party):
        path: Path = ("party", i)
        if party.name == "coordinator":
            text = (
                'Expected another name than "coordinator", which is the coordinator\'s. Rename it.'
            )
            yield Problem((*path, "name"), text)
        if party.behaviour not in BEHAVIOURS:
            yield from unknown_name(
                config, (*path, "behaviour"), "a behaviour", party.behaviour, BEHAVIOURS
            )
        else:
            build = partial(make_behaviour, party.behaviour, party.options)
            yield from _refused((*path, "options"), build)
        if party.join >= config.rounds:
            text = (
                f"Expected join below rounds = {config.rounds} (rounds count from 0), got "
                f"{party.join}. Lower it, or remove the party."
            )
            yield Problem((*path, "join"), text)


def _engine(config: Pooled) -> Iterator[Problem]:
    import torch

    name = config.engine.device
    path: Path = ("engine", "device")
    try:
        device = torch.device(name)
    except RuntimeError:
        yield Problem(path, f'Expected a device such as "cpu" or "cuda:0", got {name!r}.')
        return
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        text = f'Expected a CUDA device that is here ({found} found), got {name!r}. Use "cpu".'
        yield Problem(path, text)


def pool_problems(config: Pooled) -> Iterator[Problem]:
    """Yield what is wrong with data, partition, parties' names, model and engine."""
    for check in (_data, _partition, _model, _engine):
        yield from check(config)


_CHECKS = (
    _method,
    _data,
    _partition,
    _model,
    _training,
    _rewards,
    privacy_problems,
    selection_problems,
    _parties,
    _engine,
)
