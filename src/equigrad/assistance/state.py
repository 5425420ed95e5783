"""A training's state between two rounds: arrays and JSON, for whoever stores them.

Learners are not in it: their models come again from the messages, by the same fits with the same
seeds, bit for bit. Neighbours: ``sponsor`` is saved and loaded, ``training`` goes on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from equigrad.assistance.arrays import Float64
from equigrad.assistance.parties import Parties
from equigrad.assistance.sponsor import Sponsor
from equigrad.assistance.track import Round
from equigrad.errors import ConfigError, DataError
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["TrainingState", "load_sponsor", "round_from_json", "round_to_json", "save_sponsor"]


@dataclass(frozen=True)
class TrainingState:
    """What a training needs to go on.

    It holds residuals and the sponsor's scores, so it is the sponsor's alone.

    Attributes
    ----------
    arrays
        float64 arrays by name.
    meta
        Numbers, rounds and events, ready for JSON.
    """

    arrays: Mapping[str, Float64]
    meta: Mapping[str, Any]


def round_to_json(made: Round) -> dict[str, Any]:
    """Return a round as JSON can hold it, to the bit."""
    content: dict[str, Any] = {}
    for field in fields(made):
        value = getattr(made, field.name)
        content[field.name] = value.tolist() if isinstance(value, np.ndarray) else value
    content["reasons"] = {str(m): reason for m, reason in made.reasons.items()}
    return content


def round_from_json(content: Mapping[str, Any]) -> Round:
    """Return the round that :func:`round_to_json` wrote."""
    values = dict(content)
    for name in ("weights", "H", "c"):
        values[name] = np.asarray(values[name], dtype=np.float64)
    values["answered"] = np.asarray(values["answered"], dtype=np.bool_)
    values["reasons"] = {int(m): reason for m, reason in values["reasons"].items()}
    return Round(**values)


def save_sponsor(sponsor: Sponsor, meta: Mapping[str, Any]) -> TrainingState:
    """Return the state after the last settled round; its arrays are copies.

    Raises
    ------
    ConfigError
        If the sponsor does not keep its messages.
    """
    if not sponsor.keep_messages:
        raise ConfigError(
            "Expected a sponsor that keeps its messages, got keep_messages=False. Messages are "
            "what learners come again from."
        )
    n_rows, n_outputs = sponsor.track.F.shape
    sent = (len(sponsor.rows.fit), n_outputs)
    arrays = {
        "F": sponsor.track.F.copy(),
        "messages": _stacked(sponsor.messages[: sponsor.t], sent),
        "stop_losses": _stacked(sponsor.stop_losses, (len(sponsor.rows.stop),)),
        "train_losses": np.array(sponsor.train_losses),
    }
    content = {
        **meta,
        "t": sponsor.t,
        "n_rows": n_rows,
        "memorising": sorted(sponsor.memorising),
        "rounds": [round_to_json(r) for r in sponsor.track.rounds],
        "histories": [[round_to_json(r) for r in rounds] for rounds in sponsor.histories],
        "all_reasons": [{str(m): w for m, w in r.items()} for r in sponsor._all_reasons],
        "events": [event.to_json() for event in sponsor.events],
    }
    if sponsor.public is not None:
        track = sponsor.public.track
        arrays["public_F"] = track.F.copy()
        arrays["public_target"] = track.target.copy()
        arrays["public_start"] = track.start.copy()
        content["n_estimates"] = sponsor.public.n_estimates
        content["public_rounds"] = [round_to_json(r) for r in track.rounds]
    json.dumps(content)  # what cannot be written is found here, not when it is needed
    return TrainingState(arrays, content)


def load_sponsor(sponsor: Sponsor, state: TrainingState, parties: Parties) -> None:
    """Put a new sponsor, and parties that began its pass, where the state says.

    Raises
    ------
    DataError
        If the state is of other rows.
    """
    arrays, meta = state.arrays, state.meta
    if np.shape(arrays["F"]) != sponsor.track.F.shape:
        raise DataError(
            f"Expected the state of a training on {sponsor.track.F.shape} scores, got one of "
            f"{np.shape(arrays['F'])}. Resume with the data it was made with."
        )
    sponsor.track.F = np.array(arrays["F"], dtype=np.float64)
    sponsor.track.rounds = [round_from_json(r) for r in meta["rounds"]]
    sponsor.histories = [[round_from_json(r) for r in rounds] for rounds in meta["histories"]]
    sponsor._all_reasons = [{int(m): w for m, w in r.items()} for r in meta["all_reasons"]]
    sponsor.memorising = set(meta["memorising"])
    sponsor.messages = [np.array(message) for message in arrays["messages"]]
    sponsor.train_losses = [float(value) for value in arrays["train_losses"]]
    if len(sponsor.rows.stop):
        sponsor.stop_losses = [np.array(row) for row in arrays["stop_losses"]]
    if sponsor.public is not None:
        track = sponsor.public.track
        track.target = np.array(arrays["public_target"])
        track.start = np.array(arrays["public_start"])
        track.F = np.array(arrays["public_F"])
        track.rounds = [round_from_json(r) for r in meta["public_rounds"]]
        sponsor.public.n_estimates = meta["n_estimates"]
        sponsor.public.events = [PrivacyEvent.from_json(event) for event in meta["events"]]
    for t, message in enumerate(sponsor.messages, start=1):
        parties.answer(t, message)
    if sponsor.restating:
        for t, made in enumerate(sponsor.track.rounds, start=1):
            told = parties.stated(t)
            fits = [fit if made.answered[m] else None for m, fit in enumerate(told)]
            sponsor._all_fits.append(fits)


def _stacked(arrays: Sequence[Float64], shape: tuple[int, ...]) -> Float64:
    """Return arrays of one shape as one, also where there is none."""
    return np.array(arrays, dtype=np.float64).reshape(len(arrays), *shape)
