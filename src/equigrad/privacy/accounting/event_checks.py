"""What a privacy event may say: every value by itself, and together with the others.

Neighbours: ``events`` asks here when an event is made.
"""

import json
import math
from typing import TYPE_CHECKING, Final

from equigrad._validate import choice, in_range, positive, positive_int
from equigrad.errors import ConfigError
from equigrad.privacy.accounting.relations import RELATIONS, REPLACE_ONE

if TYPE_CHECKING:
    from equigrad.privacy.accounting.events import PrivacyEvent

__all__ = ["MECHANISMS", "check_event"]

MECHANISMS: Final = ("gaussian", "laplace", "pure")


def check_event(event: "PrivacyEvent") -> None:
    """Raise ``ConfigError`` unless the event is possible."""
    choice("mechanism", event.mechanism, MECHANISMS)
    choice("neighbouring", event.neighbouring, RELATIONS)
    if event.mechanism == "pure" or event.epsilon is not None or event.bounded_range:
        _check_pure(event)
    positive("noise_multiplier", event.noise_multiplier)
    in_range("sampling_rate", event.sampling_rate, 0.0, 1.0, left_open=True)
    positive_int("steps", event.steps, least=0)
    positive_int("group_size", event.group_size)
    positive_int("noise_coordinates", event.noise_coordinates, least=0)
    if event.counts and event.mechanism != "gaussian":
        raise ConfigError(
            f"Expected no counts with mechanism={event.mechanism!r}, got {event.counts!r}. "
            "Charge the counts as an event of their own."
        )
    if event.neighbouring == REPLACE_ONE and event.mechanism == "laplace":
        raise ConfigError(
            "Expected neighbouring='replace-one' with Gaussian noise or a pure mechanism, got "
            "Laplace noise. State it as mechanism='pure' with the epsilon of one row replaced."
        )
    for name in ("public_batch_size", "sensitivity"):
        if getattr(event, name) is not None:
            positive(name, getattr(event, name))
    if not isinstance(event.released, str):
        raise ConfigError(
            f"Expected released to be words for what was released, got {event.released!r}."
        )
    _check_truncation(event)
    _check_settings(event)


def _check_pure(event: "PrivacyEvent") -> None:
    """Raise unless a pure mechanism, and only such a one, states its epsilon."""
    if event.mechanism != "pure" or event.epsilon is None:
        raise ConfigError(
            "Expected epsilon with mechanism='pure', and bounded_range with nothing else, got "
            f"mechanism={event.mechanism!r}, epsilon={event.epsilon!r}, "
            f"bounded_range={event.bounded_range!r}. Noise has a noise_multiplier instead."
        )
    positive("epsilon", event.epsilon)
    if not math.isclose(event.noise_multiplier * event.epsilon, 1.0, rel_tol=1e-12):
        raise ConfigError(
            f"Expected noise_multiplier of 1/epsilon={1.0 / event.epsilon!r} with mechanism='pure',"
            f" got {event.noise_multiplier!r}. Leave it out."
        )
    if event.sampling_rate != 1.0:
        raise ConfigError(
            "Expected sampling_rate=1 with mechanism='pure', got "
            f"sampling_rate={event.sampling_rate!r}. State the epsilon of the sampled mechanism."
        )


def _check_truncation(event: "PrivacyEvent") -> None:
    """Raise unless the two numbers of a cut batch are given together and make sense."""
    if (event.max_logical_batch is None) != (event.dataset_size is None):
        raise ConfigError(
            "Expected max_logical_batch and dataset_size together, got "
            f"max_logical_batch={event.max_logical_batch!r}, dataset_size={event.dataset_size!r}."
        )
    if event.max_logical_batch is None or event.dataset_size is None:
        return
    positive_int("max_logical_batch", event.max_logical_batch)
    positive_int("dataset_size", event.dataset_size)
    if event.mechanism != "gaussian":
        raise ConfigError(
            f"Expected mechanism='gaussian' with max_logical_batch, got {event.mechanism!r}. "
            "Cut batches are accounted for Gaussian noise only."
        )


def _check_settings(event: "PrivacyEvent") -> None:
    """Raise unless the settings can be written to a record and read back."""
    try:
        json.dumps(dict(event.settings), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"Expected settings that JSON can hold, got {event.settings!r} ({error})."
        ) from error
