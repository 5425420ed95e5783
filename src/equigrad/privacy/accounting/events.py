"""What was released: the privacy event, apart from what it costs.

An event holds everything that an accountant needs and everything that a reader of the record
wants to know, all of it public. What it costs is the business of ``epsilon``; whether it may happen
is the business of the privacy account (``equigrad.privacy.account``).
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Self

import dp_accounting as dpa

from equigrad._validate import choice, in_range, positive, positive_int
from equigrad.errors import ConfigError, PrivacyError
from equigrad.privacy.accounting.joint import Counts, checked_counts, joint_noise_multiplier

__all__ = ["ADD_OR_REMOVE_ONE", "MECHANISMS", "SEEDED_MARK", "PrivacyEvent"]

ADD_OR_REMOVE_ONE: Final = "add-or-remove-one"
MECHANISMS: Final = ("gaussian", "laplace")
SEEDED_MARK: Final = "not private: seeded noise"


@dataclass(frozen=True, kw_only=True)
class PrivacyEvent:
    """A release, or ``steps`` equal releases, of noisy values computed from records.

    Two data sets are neighbours if one holds one record more than the other.

    Parameters
    ----------
    noise_multiplier
        Noise over sensitivity, > 0: for ``"gaussian"`` standard deviation over L2 sensitivity
        (sigma, with which the noise is generated), for ``"laplace"`` scale over L1 sensitivity.
    mechanism
        ``"gaussian"`` or ``"laplace"``.
    sampling_rate
        q in (0, 1]: probability with which each record, independently, is in the batch of a step.
    steps
        Number of releases, >= 0.
    counts
        Pairs (L2 sensitivity, noise standard deviation) of the counts released in the same step on
        the same batch; Gaussian only.
    max_logical_batch, dataset_size
        Given together if a sampled batch above ``max_logical_batch`` is cut to a random part of it.
        ``dataset_size`` is the declared number of records.
    noise_coordinates
        Gaussian numbers drawn in a step whose sampler cannot leave 9.42 standard deviations (64-bit
        Box-Muller); each adds 2^-64 of total variation to a step. 0 leaves the cut out of account.
    neighbouring
        ``"add-or-remove-one"``; no other relation is accounted.
    rule, public_batch_size, noise_form, settings, label
        Clipping rule, public expected batch size L, form of the noise (``"rounded"``, ``"fast"``),
        public settings of the rule, words for the reader: recorded, without influence on the cost.
    seeded
        True if the noise came from a seed, so that nothing is private.

    Raises
    ------
    ConfigError
        If a value is impossible.
    """

    noise_multiplier: float
    mechanism: str = "gaussian"
    sampling_rate: float = 1.0
    steps: int = 1
    counts: Counts = ()
    max_logical_batch: int | None = None
    dataset_size: int | None = None
    noise_coordinates: int = 0
    neighbouring: str = ADD_OR_REMOVE_ONE
    rule: str | None = None
    public_batch_size: float | None = None
    noise_form: str = "unstated"
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    label: str = ""
    seeded: bool = False

    def __post_init__(self) -> None:
        """Check every value."""
        choice("mechanism", self.mechanism, MECHANISMS)
        choice("neighbouring", self.neighbouring, (ADD_OR_REMOVE_ONE,))
        positive("noise_multiplier", self.noise_multiplier)
        in_range("sampling_rate", self.sampling_rate, 0.0, 1.0, left_open=True)
        positive_int("steps", self.steps, least=0)
        positive_int("noise_coordinates", self.noise_coordinates, least=0)
        object.__setattr__(self, "counts", checked_counts(self.counts))
        if self.counts and self.mechanism != "gaussian":
            raise ConfigError(
                f"Expected no counts with mechanism={self.mechanism!r}, got {self.counts!r}. "
                "Charge the counts as an event of their own."
            )
        if self.public_batch_size is not None:
            positive("public_batch_size", self.public_batch_size)
        self._check_truncation()
        self._check_settings()

    def _check_truncation(self) -> None:
        """Raise unless the two numbers of a cut batch are given together and make sense."""
        if (self.max_logical_batch is None) != (self.dataset_size is None):
            raise ConfigError(
                "Expected max_logical_batch and dataset_size together, got "
                f"max_logical_batch={self.max_logical_batch!r}, dataset_size={self.dataset_size!r}."
            )
        if self.max_logical_batch is None or self.dataset_size is None:
            return
        positive_int("max_logical_batch", self.max_logical_batch)
        positive_int("dataset_size", self.dataset_size)
        if self.mechanism != "gaussian":
            raise ConfigError(
                f"Expected mechanism='gaussian' with max_logical_batch, got {self.mechanism!r}. "
                "Cut batches are accounted for Gaussian noise only."
            )

    def _check_settings(self) -> None:
        """Raise unless the settings can be written to a record and read back."""
        try:
            json.dumps(dict(self.settings), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"Expected settings that JSON can hold, got {self.settings!r} ({error})."
            ) from error

    @property
    def effective_noise_multiplier(self) -> float:
        """``sigma_eff``, the multiplier that is charged (see ``joint``)."""
        return joint_noise_multiplier(self.noise_multiplier, self.counts)

    @property
    def tail_mass(self) -> float:
        """Total variation between the noise as drawn and true Gaussian noise, over all steps."""
        return math.ldexp(float(self.noise_coordinates) * self.steps, -64)

    @property
    def kind(self) -> tuple[Any, ...]:
        """What the cost of one step depends on; events of equal kind compose by adding steps."""
        cut = () if self.max_logical_batch is None else (self.max_logical_batch, self.dataset_size)
        return (
            self.mechanism,
            self.sampling_rate,
            self.effective_noise_multiplier,
            self.noise_coordinates,
            *cut,
        )

    def with_steps(self, steps: int) -> Self:
        """Return the same event with another number of steps."""
        return replace(self, steps=steps)

    def dp_event(self) -> dpa.DpEvent:
        """Return the event in dp-accounting's terms, ``steps`` times composed with itself."""
        if self.steps == 0:
            return dpa.NoOpDpEvent()
        return dpa.SelfComposedDpEvent(self._one_step(), self.steps)

    def _one_step(self) -> dpa.DpEvent:
        """Return one step in dp-accounting's terms."""
        if self.max_logical_batch is not None and self.dataset_size is not None:
            return dpa.TruncatedSubsampledGaussianDpEvent(
                dataset_size=self.dataset_size,
                sampling_probability=float(self.sampling_rate),
                truncated_batch_size=self.max_logical_batch,
                noise_multiplier=self.effective_noise_multiplier,
            )
        noise: dpa.DpEvent
        if self.mechanism == "laplace":
            noise = dpa.LaplaceDpEvent(float(self.noise_multiplier))
        else:
            noise = dpa.GaussianDpEvent(self.effective_noise_multiplier)
        if self.sampling_rate == 1.0:
            return noise
        return dpa.PoissonSampledDpEvent(float(self.sampling_rate), noise)

    def to_json(self) -> dict[str, Any]:
        """Return the event as JSON can hold it; sigma_eff is added for the reader."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        content["counts"] = [list(pair) for pair in self.counts]
        content["settings"] = dict(self.settings)
        content["effective_noise_multiplier"] = self.effective_noise_multiplier
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the event that ``to_json`` wrote.

        Raises
        ------
        PrivacyError
            If a field is missing, unknown or impossible, or contradicts the others.
        """
        try:
            values = dict(content)
            effective = values.pop("effective_noise_multiplier", None)
            values["counts"] = tuple(tuple(pair) for pair in values.get("counts", ()))
            event = cls(**values)
        except (TypeError, ValueError) as error:
            raise PrivacyError(
                f"Expected the fields of a privacy event, got {content!r} ({error})."
            ) from error
        if effective is not None and not math.isclose(
            effective, event.effective_noise_multiplier, rel_tol=1e-12
        ):
            raise PrivacyError(
                f"Expected effective_noise_multiplier={event.effective_noise_multiplier!r} by the "
                f"event's own noise, got {effective!r}. The event was changed after it was written."
            )
        return event
