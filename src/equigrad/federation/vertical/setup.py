"""From a vertical run file to all that a run needs: rows, labels, parties, settings, first line.

Everything that can be refused is refused here, before a folder is made. Neighbour: ``run`` plays.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equigrad
from equigrad.assistance import Learner, Settings, make_loss
from equigrad.data.alignment import require_psi
from equigrad.errors import ConfigError
from equigrad.federation.record.canonical import sha256_json
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.vertical.config.schema import VerticalConfig, VerticalPartyConfig
from equigrad.federation.vertical.keys import read_key
from equigrad.federation.vertical.labels import NOT_PRIVATE, label_privacy
from equigrad.federation.vertical.learning import build_learner
from equigrad.federation.vertical.party import refuse_missing
from equigrad.federation.vertical.rows import PartyRows, read_rows
from equigrad.federation.vertical.shelf import PartyShelf
from equigrad.federation.vertical.source import RowSource
from equigrad.federation.vertical.spec import VerticalSpec
from equigrad.federation.vertical.target import Target, read_sponsor
from equigrad.federation.vertical.traffic import SPLIT_ASSUMPTIONS
from equigrad.privacy.accounting import PrivacyEvent

__all__ = [
    "VerticalSetup",
    "make_settings",
    "party_specs",
    "prepare",
    "read_run_key",
    "row_source",
    "start_body",
    "task_of",
]


@dataclass(frozen=True, eq=False)
class VerticalSetup:
    """A vertical run, ready to be played.

    Attributes
    ----------
    config
        The run file.
    task
        Identifies the run in messages.
    key
        The alignment key.
    rows, target
        The sponsor's rows and labels in digest order.
    linear, restating
        What the parties' learners are.
    start
        The body of the record's first line.
    notes
        Sentences for whoever watches.
    """

    config: VerticalConfig
    task: str
    key: bytes
    rows: PartyRows
    target: Target
    linear: bool
    restating: bool
    start: dict[str, Any]
    notes: tuple[str, ...]


def prepare(config: VerticalConfig, place: RunFolder | None = None) -> VerticalSetup:
    """Read keys, rows and labels, and make every learner once, to refuse what cannot work.

    Parameters
    ----------
    config
        A checked configuration.
    place
        The folder of a run that goes on; its parties' data must be those it began with.

    Raises
    ------
    ConfigError, DataError, AlignmentError, ModelError
        If something that the run file asks for cannot be had.
    RecordError
        If a party's data have changed since the run began.
    """
    key = read_run_key(config)
    assisted = config.vertical
    if assisted.alignment.method == "psi":
        require_psi()
    classes = None if assisted.classes is None else [str(name) for name in assisted.classes]
    rows, target = read_sponsor(
        row_source(config, config.sponsor), key, assisted.task, classes=classes
    )
    if assisted.task == "classification" and target.n_outputs < 2:
        raise ConfigError(
            "Expected at least two classes, got one. There is nothing to learn; declare the other "
            "in vertical.classes if it exists."
        )
    make_settings(config)
    learners = [_checked_learner(config, party, key, rows) for party in config.parties]
    if place is not None:
        _refuse_other_data(config, place, key, rows)
    notes = []
    if config.private and assisted.privacy.noise == "seeded":
        notes.append(
            "Labels are NOT protected: the noise comes from the run's seed. Set "
            'vertical.privacy.noise = "secret" to be protected.'
        )
    elif not config.private:
        notes.append(
            "The residual is the label: every assistor can read the labels of the common rows. Set "
            "vertical.privacy to protect them."
        )
    return VerticalSetup(
        config,
        task_of(config),
        key,
        rows,
        target,
        all(learner.linear for learner in learners),
        any(learner.restates for learner in learners),
        start_body(config, target.n_outputs, len(target.classes)),
        tuple(notes),
    )


def task_of(config: VerticalConfig) -> str:
    """Return what identifies a run in its messages."""
    return sha256_json({"task": config.model_dump()})


def row_source(config: VerticalConfig, party: VerticalPartyConfig) -> RowSource:
    """Return where a party's rows lie."""
    forbidden = () if party.role == "sponsor" else config.sponsor.labels
    return RowSource(
        party=party.name,
        path=Path(party.data),
        identifier=party.id,
        label=party.labels,
        columns=None if party.columns is None else tuple(party.columns),
        categorical=tuple(party.categorical),
        standardise=party.standardise,
        fold=tuple(config.vertical.alignment.id_fold),
        forbidden=forbidden,
    )


def party_specs(
    config: VerticalConfig, key: bytes, place: RunFolder, queries: Mapping[str, Path] | None = None
) -> tuple[VerticalSpec, ...]:
    """Return the parties with their folders, the sponsor first.

    Parameters
    ----------
    config, key, place
        The run file, the alignment key and the run folder.
    queries
        Files in which parties look rows to predict up, by name; others use their own data.
    """
    return tuple(
        VerticalSpec(
            name=party.name,
            seed=config.seed,
            task=task_of(config),
            source=row_source(config, party),
            key=key,
            learner=party.learning,
            folder=place.party(party.name).absolute(),
            wire_dtype=config.vertical.wire_dtype,
            queries=(queries or {}).get(party.name),
        )
        for party in config.parties
    )


def read_run_key(config: VerticalConfig) -> bytes:
    """Return the alignment key that the run file names; errors as for ``read_key``."""
    return read_key(_key_file(config))


def make_settings(
    config: VerticalConfig, charge: Callable[[PrivacyEvent], object] | None = None
) -> Settings:
    """Return the resolved settings of the training."""
    given = config.vertical
    classification = given.task == "classification"
    loss = given.loss or ("ce" if classification else "mse")
    return Settings(
        loss=loss,
        init=given.init,
        n_rounds=given.n_rounds,
        weights=given.weights,
        weigh_on=given.weigh_on,
        rate=given.rate,
        eta_max=given.eta_max,
        shrinkage=given.shrinkage,
        stopping=given.stopping,
        validation_fraction=given.validation_fraction,
        refit=given.refit,
        min_parties=given.min_parties,
        privacy=label_privacy(given.privacy, charge),
        preset=given.preset,
    ).resolved(classification=classification)


def _key_file(config: VerticalConfig) -> Path:
    name = config.vertical.alignment.key_file
    if name is None:
        raise ConfigError(
            "Expected vertical.alignment.key_file, got nothing. Make one: equigrad key FILE"
        )
    return Path(name)


def _checked_learner(
    config: VerticalConfig, party: VerticalPartyConfig, key: bytes, rows: PartyRows
) -> Learner:
    """Return a party's learner, after a look whether it can take the party's rows."""
    learner = build_learner(party.learning)
    own = rows
    if party.role != "sponsor":
        own = read_rows(row_source(config, party), key)
    refuse_missing(own, own.lookup(rows.digests)[1], learner.takes_missing)
    return learner


def _refuse_other_data(
    config: VerticalConfig, place: RunFolder, key: bytes, rows: PartyRows
) -> None:
    """Raise ``RecordError`` if a party's rows are not those that it began with."""
    for party in config.parties:
        shelf = PartyShelf(place.party(party.name))
        offer = shelf.offer()
        if offer is None:
            continue
        own = rows if party.role == "sponsor" else read_rows(row_source(config, party), key)
        shelf.refuse_other(offer, own.fingerprint(offer[0]), party.name)


def start_body(config: VerticalConfig, n_outputs: int, n_classes: int) -> dict[str, Any]:
    """Return the body of the record's first line: nothing in it names a class."""
    settings = make_settings(config)
    given = config.vertical
    loss = make_loss(settings.loss)
    privacy: dict[str, Any] = {"mechanism": given.privacy.mechanism}
    if config.private:
        told = given.privacy.model_dump()
        privacy = {**told, "mark": NOT_PRIVATE if told["noise"] == "seeded" else None}
    return {
        "schema": "equigrad-record-1",
        "kind": config.kind,
        "name": config.name,
        "config_sha256": sha256_json(config.model_dump()),
        "seed": config.seed,
        "versions": _versions(),
        "parties": [party.name for party in config.parties],
        "roles": [party.role for party in config.parties],
        "learners": [party.learning.name for party in config.parties],
        "task": given.task,
        "loss": loss.name,
        "n_outputs": n_outputs,
        "classes": n_classes,
        "settings": {
            "init": settings.init,
            "n_rounds": settings.n_rounds,
            "weights": given.weights if given.preset is None else given.preset,
            "weigh_on": settings.weigh_on,
            "rate": settings.rate,
            "eta_max": settings.eta_max,
            "shrinkage": settings.shrinkage,
            "stopping": settings.stopping,
            "validation_fraction": settings.validation_fraction,
            "refit": settings.refit,
            "absent": given.absent,
            "compact": given.compact,
            "min_parties": given.min_parties,
            "deadline_s": given.deadline_s,
            "wire_dtype": given.wire_dtype,
            "preset": given.preset,
        },
        "privacy": privacy,
        "split_learning": dict(SPLIT_ASSUMPTIONS),
    }


def _versions() -> dict[str, str]:
    import numpy as np
    import scipy
    import sklearn
    import torch

    return {
        "equigrad": equigrad.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "sklearn": sklearn.__version__,
        "torch": str(torch.__version__),
    }
