"""The end of a vertical run: the sponsor's model, contributions, traffic, privacy, the last line.

Under a label mechanism the last line has the public track; the sponsor's own model, weights and
contributions are written into its folder. Neighbour: ``run`` calls here.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np

from equigrad.assistance import (
    AssistedModel,
    Contributions,
    Training,
    label_epsilon,
    make_loss,
    pure_label_epsilon,
    shapley_of,
    value_coalitions,
    value_parties,
)
from equigrad.errors import RecordError
from equigrad.federation.record.canonical import sha256_file
from equigrad.federation.record.chain import iter_record
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.vertical.remote import RemoteParties
from equigrad.federation.vertical.setup import VerticalSetup, make_settings
from equigrad.federation.vertical.shelf import read_arrays, write_arrays
from equigrad.federation.vertical.sponsor_folder import SponsorFolder
from equigrad.federation.vertical.traffic import traffic_of

__all__ = ["MODEL", "finish_body", "read_model"]

MODEL: Final = "assistance.safetensors"
"""Start, weights and steps: what a training leaves with the sponsor."""
_MOST_COALITIONS: Final = 12


def finish_body(
    setup: VerticalSetup, place: RunFolder, parties: RemoteParties, training: Training
) -> dict[str, Any]:
    """Write the model, and return the body of the record's last line."""
    private = setup.config.private
    told = _contributions(setup, parties, training)
    path = model_path(place, private=private)
    model = training.model
    write_arrays(path, {"start": model.start, "weights": model.weights, "steps": model.steps})
    own = {
        "rounds": model.n_rounds,
        "start": model.start.tolist(),
        "weights": model.weights.tolist(),
        "steps": model.steps.tolist(),
        "losses": list(training.losses),
        "validation_losses": list(training.validation_losses),
        "contributions": told,
    }
    if private:
        SponsorFolder(place.sponsor).keep("private.json", own)
        shown = training.public_rounds
        own = {
            "rounds": len(shown),
            "start": None,
            "weights": [r.weights.tolist() for r in shown],
            "steps": [r.eta for r in shown],
            "losses": [],
            "validation_losses": [],
            "contributions": None,
        }
    lines = [(line.stage, line.body) for line in iter_record(place.record)]
    return {
        "pass": parties.where.pass_,
        "reason": training.reason,
        "refitted": training.refitted,
        **own,
        "participants": _participants(training, private=private),
        "kept": parties.kept,
        "models": {} if private else {path.name: sha256_file(path)},
        "traffic": traffic_of(lines, setup.config.sponsor.name),
        "privacy": _privacy(setup, training),
    }


def model_path(place: RunFolder, *, private: bool) -> Path:
    """Return where the sponsor's model lies: in its own folder where it tells of labels."""
    return (place.sponsor if private else place.models) / MODEL


def read_model(place: RunFolder, names: tuple[str, ...]) -> AssistedModel:
    """Return the model of a finished run.

    Raises
    ------
    RecordError
        If there is none.
    """
    for private in (False, True):
        path = model_path(place, private=private)
        if path.is_file():
            found = read_arrays(path)
            return AssistedModel(names, found["start"], found["weights"], found["steps"])
    raise RecordError(
        f"Expected the model of a finished run in {place.path}, got none. Resume the run."
    )


def _contributions(
    setup: VerticalSetup, parties: RemoteParties, training: Training
) -> dict[str, Any]:
    loss = make_loss(make_settings(setup.config).loss)
    target = setup.target.values
    found: Contributions = value_parties(training, parties, target, loss)
    coalitions = None
    shapley = found.shapley
    if len(parties.names) <= _MOST_COALITIONS:
        coalitions = value_coalitions(training, parties, target, loss)
        if shapley is None:
            shapley = shapley_of(coalitions)
    return {
        "assistance": found.assistance.tolist(),
        "loss_share": found.loss_share.tolist(),
        "cosine": found.cosines.tolist(),
        "shapley": None if shapley is None else shapley.tolist(),
        "coalitions": None if coalitions is None else coalitions.tolist(),
        "rows": "validation" if len(training.rows.stop) else "training",
    }


def _participants(training: Training, *, private: bool) -> list[str]:
    rounds = training.public_rounds if private else training.rounds
    answered = np.array([r.answered for r in rounds]).reshape(-1, len(training.model.names))
    return [name for m, name in enumerate(training.model.names) if answered[:, m].any()]


def _privacy(setup: VerticalSetup, training: Training) -> dict[str, Any] | None:
    if not setup.config.private:
        return None
    given = setup.config.vertical.privacy
    events = list(training.events)
    return {
        "events": [event.to_json() for event in events],
        "pure_epsilon": pure_label_epsilon(events) if events else None,
        "epsilon": label_epsilon(events, given.delta) if events else None,
        "delta": given.delta,
        "mark": setup.start["privacy"]["mark"],
    }
