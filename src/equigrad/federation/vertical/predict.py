"""Predicting with a finished vertical run: the parties are asked over the run's own transport.

Nobody's rows move: the sponsor sends keyed digests, each party looks its own rows up and answers
with what its models make of them. Labels are never read. Neighbours: ``queries`` reads what is
asked, ``predicting`` asks, ``answer`` is what comes of it.
"""

import json
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from equigrad._validate import choice
from equigrad.assistance import AssistanceWarning
from equigrad.assistance.arrays import Int64
from equigrad.assistance.model import ABSENT
from equigrad.data.alignment import order_by_digest
from equigrad.errors import AlignmentError, ConfigError, RecordError
from equigrad.federation.config.loader import restore_config
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.vertical.answer import Answer, make_answer
from equigrad.federation.vertical.config.schema import VerticalConfig
from equigrad.federation.vertical.ending import read_model
from equigrad.federation.vertical.predicting import Asking, Prediction, ask_parties
from equigrad.federation.vertical.queries import read_queries
from equigrad.federation.vertical.setup import (
    party_specs,
    read_run_key,
    row_source,
    task_of,
)
from equigrad.federation.vertical.shelf import PartyShelf
from equigrad.federation.vertical.work import make_transport

__all__ = ["predict"]


def predict(
    folder: RunFolder | Path | str,
    rows: Path | str,
    *,
    absent: Collection[str] = (),
    party_rows: Mapping[str, Path] | None = None,
    mode: str | None = None,
) -> Answer:
    """Return the predictions for the rows of a file, in its order.

    Guarantee: for training rows, with all parties there, the scores are those that the training
    ended with.

    Parameters
    ----------
    folder
        The run folder.
    rows
        CSV, Parquet or npz file with the sponsor's identifier column, and the sponsor's feature
        columns for rows that are not in its own data. A label column is not looked at.
    absent
        Parties that are not asked.
    party_rows
        Files in which assistors look the rows up, by name; others use their own data.
    mode
        What a missing party means (``"renormalise"``, ``"zero"``, ``"refuse"``); None for the run
        file's choice.

    Raises
    ------
    ConfigError
        If the folder holds no vertical run, or a party or mode is unknown.
    RecordError
        If the run has not finished.
    DataError, AlignmentError
        If the file cannot be used, nobody holds any of its rows, the sponsor cannot answer, or
        another party does not and must.

    Warns
    -----
    AssistanceWarning
        If parties did not answer, all assistors are missing, or nobody holds some row.
    """
    place = folder if isinstance(folder, RunFolder) else RunFolder.open(folder)
    config = restore_config(place.read_config())
    if not isinstance(config, VerticalConfig):
        raise ConfigError(
            f'Expected a run of kind "vertical" in {place.path}, got {config.kind!r}: a horizontal '
            "run leaves every party a whole model. Load models/ instead."
        )
    own = {name: Path(path) for name, path in (party_rows or {}).items()}
    _check_parties(config, own)
    names = tuple(party.name for party in config.parties)
    model = read_model(place, names)
    key = read_run_key(config)
    encoder = PartyShelf(place.party(names[0])).encoder()
    asked = read_queries(Path(rows), row_source(config, config.sponsor), key, encoder)
    if asked.X is not None:
        own[names[0]] = Path(rows)
    asking = Asking(
        task=task_of(config),
        deadline_s=config.vertical.deadline_s,
        mode=choice("absent", mode or config.vertical.absent, ABSENT),
        absent=tuple(dict.fromkeys(absent)),
        compact=config.vertical.compact and not config.private,
    )
    specs = party_specs(config, key, place, {n: path.absolute() for n, path in own.items()})
    order = order_by_digest(asked.digests)  # the file's own order may tell something
    with make_transport(config, specs) as transport:
        found = ask_parties(transport, model, asked.digests[order], asking)
    answer = make_answer(
        asked.ids,
        _in_order(found, np.argsort(order)),
        names,
        config.sponsor.labels,
        _classes(place, config),
    )
    _tell(answer, Path(rows))
    return answer


def _check_parties(config: VerticalConfig, own: Mapping[str, Path]) -> None:
    sponsor, *assistors = (party.name for party in config.parties)
    for name, path in own.items():
        if name == sponsor:
            raise ConfigError(
                f"Expected --party-rows of an assistor, got the sponsor {name!r}. Its rows are "
                "those of --rows."
            )
        choice("--party-rows", name, assistors)
        if not path.is_file():
            raise ConfigError(f"Expected the rows of party {name!r} in {path}, got no file.")


def _in_order(found: Prediction, places: Int64) -> Prediction:
    return Prediction(
        found.scores[places],
        found.held[places],
        found.used[places],
        found.absent,
        found.sent,
        found.received,
    )


def _classes(place: RunFolder, config: VerticalConfig) -> tuple[str, ...]:
    if config.vertical.task != "classification":
        return ()
    path = place.sponsor / "classes.json"
    try:
        return tuple(json.loads(path.read_bytes())["classes"])
    except (OSError, ValueError, KeyError) as error:
        raise RecordError(
            f"Expected the names of the classes in {path}, got: {error}. Restore the folder from "
            "a copy."
        ) from error


def _tell(answer: Answer, path: Path) -> None:
    """Warn of what an answer lacks; raise if it has nothing."""
    if answer.unknown == len(answer):
        raise AlignmentError(
            f"Expected rows of {path} that some party holds, got {len(answer)} that nobody does. "
            "Check the identifiers; or give the sponsor's columns in the file."
        )
    told = {name: why for name, why in answer.absent.items() if why != "said to be absent"}
    for name, why in told.items():
        warnings.warn(
            f"Expected an answer of party {name!r}, got none ({why}). The others answered for it.",
            AssistanceWarning,
            stacklevel=3,
        )
    sponsor, *assistors = answer.parties
    if answer.absent and not set(assistors) & set(answer.participants):
        warnings.warn(
            f"Expected answers of other parties, got those of the sponsor {sponsor!r} alone.",
            AssistanceWarning,
            stacklevel=3,
        )
    if answer.unknown:
        warnings.warn(
            f"Expected each row of {path} with some party, got {answer.unknown} of {len(answer)} "
            "that nobody holds. They have no prediction.",
            AssistanceWarning,
            stacklevel=3,
        )
