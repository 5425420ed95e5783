"""The end of a vertical run: the sponsor's model, contributions, traffic, privacy, the last line.

Under a label mechanism the last line has the public track; the sponsor's own model, weights and
contributions are written into its folder. Neighbour: ``run`` calls here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import save

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
from equigrad.federation.record.disk import write_atomic
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.vertical.remote import RemoteParties
from equigrad.federation.vertical.setup import VerticalSetup, make_settings
from equigrad.federation.vertical.shelf import read_arrays
from equigrad.federation.vertical.sponsor_folder import SponsorFolder
from equigrad.federation.vertical.traffic import traffic_of

__all__ = ["MODEL", "Ending", "ending_of", "model_path", "read_model"]

MODEL: Final = "assistance.safetensors"
"""Start, weights and steps: what a training leaves with the sponsor."""
_MOST_COALITIONS: Final = 12


@dataclass(frozen=True)
class Ending:
    """What a training leaves.

    Attributes
    ----------
    body
        Of the record's last line.
    model
        The bytes of the sponsor's model.
    private
        What stays with the sponsor under a mechanism; None without.
    """

    body: dict[str, Any]
    model: bytes
    private: dict[str, Any] | None

    def write(self, place: RunFolder) -> None:
        """Write the model, and what stays with the sponsor."""
        private = self.private is not None
        write_atomic(
            model_path(place, private=private), self.model, mode=0o600 if private else 0o666
        )
        if self.private is not None:
            SponsorFolder(place.sponsor).keep("private.json", self.private)


def ending_of(
    setup: VerticalSetup,
    parties: RemoteParties,
    training: Training,
    lines: Iterable[tuple[str, Mapping[str, Any]]],
) -> Ending:
    """Return what a training leaves.

    Parameters
    ----------
    setup, parties, training
        The run.
    lines
        Stage and body of all lines of the record so far.
    """
    private = setup.config.private
    model = training.model
    content = save(
        {
            "start": torch.from_numpy(model.start.copy()),
            "steps": torch.from_numpy(model.steps.copy()),
            "weights": torch.from_numpy(model.weights.copy()),
        }
    )
    own = {
        "rounds": model.n_rounds,
        "start": model.start.tolist(),
        "weights": model.weights.tolist(),
        "steps": model.steps.tolist(),
        "losses": list(training.losses),
        "validation_losses": list(training.validation_losses),
        "contributions": _contributions(setup, parties, training),
    }
    body = {
        "pass": parties.where.pass_,
        "reason": training.reason,
        "refitted": training.refitted,
        **(_public(training) if private else own),
        "participants": _participants(training, private=private),
        "kept": parties.kept,
        "models": {} if private else {MODEL: sha256(content).hexdigest()},
        "traffic": traffic_of(lines, setup.config.sponsor.name),
        "privacy": _privacy(setup, training),
    }
    return Ending(body, content, own if private else None)


def _public(training: Training) -> dict[str, Any]:
    """Return what follows from releases alone, in place of the sponsor's own."""
    shown = training.public_rounds
    return {
        "rounds": len(shown),
        "start": None,
        "weights": [r.weights.tolist() for r in shown],
        "steps": [r.eta for r in shown],
        "losses": [],
        "validation_losses": [],
        "contributions": None,
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
