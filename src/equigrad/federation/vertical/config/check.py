"""Whether what a vertical run file asks for exists and goes together.

Form (keys, types, ranges) was checked before; here are roles, names of strategies, combinations.
Whether files, columns and rows are there is asked when the run is prepared.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path as FilePath

from equigrad.errors import ConfigError, ModelError
from equigrad.federation.config.locate import Path
from equigrad.federation.config.problems import Problem, Source, key_path, refuse
from equigrad.federation.vertical.config.schema import VerticalConfig

__all__ = ["absolute", "check_vertical"]


def check_vertical(config: VerticalConfig, source: Source | None = None) -> None:
    """Raise one ``ConfigError`` that lists everything that cannot work; return if all is well.

    Parameters
    ----------
    config
        A configuration of sound form.
    source
        The text it came from, for line numbers.
    """
    source = Source(data=config.model_dump()) if source is None else source
    refuse((p for check in _CHECKS for p in check(config)), source)


def absolute(config: VerticalConfig, folder: FilePath) -> VerticalConfig:
    """Return the configuration with its files' paths taken from ``folder``."""
    parties = [
        party.model_copy(update={"data": str((folder / party.data).resolve())})
        for party in config.party
    ]
    alignment = config.vertical.alignment
    if alignment.key_file is not None:
        key = str((folder / alignment.key_file).resolve())
        alignment = alignment.model_copy(update={"key_file": key})
    vertical = config.vertical.model_copy(update={"alignment": alignment})
    return config.model_copy(update={"party": parties, "vertical": vertical})


def _unknown(
    config: VerticalConfig, path: Path, family: str, name: str, known: Iterable[str]
) -> Iterator[Problem]:
    names = list(known)
    if name not in names:
        near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        key = key_path(path, config.model_dump())
        text = f"Expected {key} to be {family} ({', '.join(names)}), got {name!r}.{hint}"
        yield Problem(path, text)


def _roles(config: VerticalConfig) -> Iterator[Problem]:
    sponsors = [i for i, p in enumerate(config.party) if p.role == "sponsor"]
    if not sponsors:
        text = 'Expected one [[party]] with role = "sponsor" (it has the label), got none. Add it.'
        yield Problem(("party",), text)
    for i in sponsors[1:]:
        first = config.party[sponsors[0]].name
        text = (
            f"Expected one sponsor, got {first!r} and {config.party[i].name!r}. Make one of them "
            "an assistor."
        )
        yield Problem(("party", i, "role"), text)
    if sponsors and len(config.party) == len(sponsors):
        text = "Expected at least one assistor beside the sponsor, got none. Add a [[party]]."
        yield Problem(("party",), text)
    assistors = len(config.party) - len(sponsors)
    if config.vertical.min_parties > assistors:
        text = (
            f"Expected vertical.min_parties <= {assistors}, the number of assistors, got "
            f"{config.vertical.min_parties}."
        )
        yield Problem(("vertical", "min_parties"), text)


def _labels(config: VerticalConfig) -> Iterator[Problem]:
    for i, party in enumerate(config.party):
        name = party.name
        if party.role == "assistor" and party.label is not None:
            text = (
                f"Expected no label at the assistor {name!r}, got {', '.join(party.labels)!r}. "
                "Labels stay with the sponsor: remove the key, and the column from its file."
            )
            yield Problem(("party", i, "label"), text)
        if party.role == "sponsor":
            if not party.labels:
                text = f"Expected party.{name}.label (the sponsor's column), got nothing. Add it."
                yield Problem(("party", i), text)
            if len(party.labels) > 1 and config.vertical.task == "classification":
                text = f"Expected one label column for classes, got {len(party.labels)}."
                yield Problem(("party", i, "label"), text)
            if party.join > 0 or party.leave is not None:
                key = "join" if party.join > 0 else "leave"
                text = f"Expected the sponsor {name!r} in every round, got {key}. Remove it."
                yield Problem(("party", i, key), text)
        for column in party.columns or ():
            if column == party.id or column in _sponsor_labels(config):
                text = (
                    f"Expected features only in party.{name}.columns, got {column!r}, an "
                    "identifier or label. Take it out."
                )
                yield Problem(("party", i, "columns"), text)


def _sponsor_labels(config: VerticalConfig) -> tuple[str, ...]:
    """Return the sponsor's label columns."""
    return next((p.labels for p in config.party if p.role == "sponsor"), ())


def _learners(config: VerticalConfig) -> Iterator[Problem]:
    from equigrad.assistance import LEARNERS
    from equigrad.federation.vertical.learning import build_learner

    for i, party in enumerate(config.party):
        path: Path = ("party", i, "learner")
        name = party.learning.name
        if ":" not in name:
            wrong = list(_unknown(config, path, "a learner", name, LEARNERS))
            yield from wrong
            if wrong:
                continue
        try:
            build_learner(party.learning)
        except (ConfigError, ModelError) as error:
            yield Problem(path, str(error))


def _loss(config: VerticalConfig) -> Iterator[Problem]:
    from equigrad.assistance import LOSSES, make_loss

    given = config.vertical
    classification = given.task == "classification"
    if given.loss is not None:
        wrong = list(_unknown(config, ("vertical", "loss"), "a loss", given.loss, LOSSES))
        yield from wrong
        if not wrong and make_loss(given.loss).classification != classification:
            text = (
                f'Expected a loss of {given.task}, got "{given.loss}". Classification takes "ce", '
                "regression the others."
            )
            yield Problem(("vertical", "loss"), text)
    if given.classes is not None:
        if not classification:
            text = "Expected vertical.classes with classification only, got a regression."
            yield Problem(("vertical", "classes"), text)
        elif len(set(map(str, given.classes))) < max(2, len(given.classes)):
            text = "Expected vertical.classes to list at least two different classes, each once."
            yield Problem(("vertical", "classes"), text)


def _weights(config: VerticalConfig) -> Iterator[Problem]:
    from equigrad.assistance import WEIGHERS

    path = ("vertical", "weights")
    yield from _unknown(config, path, "a way to weigh", config.vertical.weights, WEIGHERS)


def _alignment(config: VerticalConfig) -> Iterator[Problem]:
    from equigrad.data.alignment import FOLDS

    given = config.vertical.alignment
    if given.key_file is None:
        text = (
            "Expected vertical.alignment.key_file (the key that all parties share), got nothing. "
            "Make one: equigrad key FILE"
        )
        yield Problem(("vertical", "alignment"), text)
    for i, fold in enumerate(given.id_fold):
        path = ("vertical", "alignment", "id_fold", i)
        yield from _unknown(config, path, "a folding", fold, FOLDS)


def _privacy(config: VerticalConfig) -> Iterator[Problem]:
    from equigrad.assistance import make_loss
    from equigrad.federation.vertical.labels import label_privacy
    from equigrad.privacy.noise import NoiseKey

    given, path = config.vertical.privacy, ("vertical", "privacy")
    if not config.private:
        stray = [key for key in ("epsilon", "bounds", "release") if getattr(given, key) is not None]
        for key in stray:
            text = (
                f"Expected vertical.privacy.mechanism beside {key}, got none. Choose one, or "
                f"remove {key}."
            )
            yield Problem((*path, key), text)
        return
    if config.vertical.compact:
        text = (
            "Expected vertical.compact = false under a label mechanism, got true: a party would "
            "learn weights that were found from true labels."
        )
        yield Problem(("vertical", "compact"), text)
    if given.mechanism == "interval" and given.epsilon is not None:
        text = (
            "Expected no epsilon with the interval mechanism, which has none (it names the "
            f"interval that holds a residual), got {given.epsilon:g}. Choose laplace or auto."
        )
        yield Problem((*path, "epsilon"), text)
        return
    loss = config.vertical.loss or ("ce" if config.vertical.task == "classification" else "mse")
    try:
        plan = label_privacy(given)
        if plan is not None:
            plan.bind(make_loss(loss), 2, config.vertical.n_rounds, NoiseKey.test(0))
    except ConfigError as error:
        yield Problem(path, _in_keys(str(error)))
        return
    if config.vertical.task == "regression" and given.bounds is None:
        text = (
            "Expected vertical.privacy.bounds = [low, high] of the labels, got nothing. Add them."
        )
        yield Problem(path, text)


def _in_keys(text: str) -> str:
    """Say the library's argument names as the run file's keys."""
    return text.replace("label_bounds", "bounds").replace("(low, high)", "[low, high]")


_CHECKS: tuple[Callable[[VerticalConfig], Iterator[Problem]], ...] = (
    _roles,
    _labels,
    _learners,
    _loss,
    _weights,
    _alignment,
    _privacy,
)
