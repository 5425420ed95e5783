"""What was released: the privacy event, apart from what it costs.

An event holds everything that an accountant needs and everything that a reader of the record
wants to know, all of it public. What it costs is the business of ``epsilon``; whether it may happen
is the business of the privacy account (``equigrad.privacy.account``). Neighbours: ``event_checks``
refuses what is impossible, ``releases`` makes the events of statistics and selections.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Self

import dp_accounting as dpa

from equigrad.errors import PrivacyError
from equigrad.privacy.accounting.event_checks import MECHANISMS, check_event
from equigrad.privacy.accounting.joint import Counts, checked_counts, joint_noise_multiplier
from equigrad.privacy.accounting.relations import ADD_OR_REMOVE_ONE

__all__ = ["ADD_OR_REMOVE_ONE", "MECHANISMS", "SEEDED_MARK", "PrivacyEvent"]

SEEDED_MARK: Final = "not private: seeded noise"

# Written only where they say something: the text of older events, and so its hash, stays as it was.
_LATER: Final = ("epsilon", "bounded_range", "group_size", "sensitivity", "released")


@dataclass(frozen=True, kw_only=True)
class PrivacyEvent:
    """A release, or ``steps`` equal releases, of noisy values computed from records.

    Two data sets of one owner are neighbours if one holds one record more than the other (see
    ``relations`` for what holds beyond). The rows that the release reads may be chosen from the
    data set: ``neighbouring`` and ``group_size`` say how far apart they are then.

    Parameters
    ----------
    noise_multiplier
        Noise over sensitivity, > 0: for ``"gaussian"`` standard deviation over L2 sensitivity
        (sigma, with which the noise is generated), for ``"laplace"`` scale over L1 sensitivity.
        Left out for ``"pure"``, where it becomes ``1 / epsilon``.
    mechanism
        ``"gaussian"``, ``"laplace"``, or ``"pure"``: any mechanism that is ``epsilon``-DP by
        itself, such as the exponential mechanism or permute-and-flip.
    sampling_rate
        q in (0, 1]: probability with which each record, independently, is in the batch of a step.
        1 for ``"pure"``.
    steps
        Number of releases, >= 0; the rounds of a selection.
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
        How the rows read differ between the two data sets. ``"add-or-remove-one"``: by one row
        more or less. ``"replace-one"`` (not for Laplace): by one row replaced at most, where an
        absent row counts as one that adds nothing; so do the best k of all records.
        ``noise_multiplier`` is over the bound of one row in either case; ``epsilon`` of a pure
        mechanism is for a row replaced or absent.
    epsilon
        Of one release of a pure mechanism, > 0, in nats; no other mechanism has it.
    bounded_range
        True if the log-probability ratios of a pure mechanism lie in an interval of length
        ``epsilon``, as those of the exponential mechanism and of its top-k by Gumbel noise do; its
        zCDP is then epsilon^2 / 8 (Durfee and Rogers, NeurIPS 2019; Cesar and Rogers, ALT 2021).
        Permute-and-flip is pure, and not known to be of bounded range.
    group_size
        c >= 1: one record of the owner may change up to c of the rows, each by ``neighbouring``
        (the declared stability of a selection). Group privacy is charged, for all steps together.
    sensitivity
        Stated sensitivity of what was released, in its own units, > 0; None if unstated. Recorded,
        without influence on the cost: the noise is stated relative to it.
    released
        What was released, if not a model: ``"scores"``, ``"mean"``, ``"histogram"``, ``"count"``,
        ``"quantile"``, ``"index set"``, or other words. Recorded, without influence on the cost.
    rule, public_batch_size, noise_form, settings, label
        Clipping rule, public expected batch size L, form of the noise (``"rounded"``, ``"fast"``),
        public settings of the rule, words for the reader: recorded, without influence on the cost.
    seeded
        True if the noise came from a seed, so that nothing is private.

    Raises
    ------
    ConfigError
        If a value is impossible, or two of them contradict each other.
    """

    noise_multiplier: float = 0.0
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
    epsilon: float | None = None
    bounded_range: bool = False
    group_size: int = 1
    sensitivity: float | None = None
    released: str = ""

    def __post_init__(self) -> None:
        """Check every value."""
        object.__setattr__(self, "counts", checked_counts(self.counts))
        if self.mechanism == "pure" and self.epsilon and not self.noise_multiplier:
            object.__setattr__(self, "noise_multiplier", 1.0 / self.epsilon)
        check_event(self)

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
            self.neighbouring,
            self.group_size,
            self.epsilon,
            self.bounded_range,
        )

    @property
    def pure_epsilon(self) -> float:
        """Epsilon at delta 0 of all steps together; infinite for Gaussian noise."""
        if self.mechanism == "gaussian" and self.steps:
            return math.inf
        one = 1.0 / self.noise_multiplier if self.epsilon is None else self.epsilon
        return self.steps * self.group_size * one

    @property
    def zcdp_rho(self) -> float:
        """Rho of zero-concentrated DP of all steps of a pure mechanism, as one step's rho times T.

        epsilon^2 / 8 for bounded range, else epsilon^2 / 2 (Bun and Steinke, TCC 2016). Infinite
        for other mechanisms, of which the accountant knows more.
        """
        if self.epsilon is None:
            return math.inf
        return self.steps * self.epsilon**2 / (8.0 if self.bounded_range else 2.0)

    def with_steps(self, steps: int) -> Self:
        """Return the same event with another number of steps."""
        return replace(self, steps=steps)

    def dp_event(self) -> dpa.DpEvent:
        """Return the event in dp-accounting's terms, ``steps`` times composed with itself.

        Neighbouring relation and group are not in those terms: the accountant sees to them. A pure
        mechanism is told by its zCDP, which the accountant uses for Rényi divergences only.
        """
        if self.steps == 0:
            return dpa.NoOpDpEvent()
        return dpa.SelfComposedDpEvent(self._one_step(), self.steps)

    def _one_step(self) -> dpa.DpEvent:
        """Return one step in dp-accounting's terms."""
        if self.epsilon is not None:
            return dpa.ZCDpEvent(self.with_steps(1).zcdp_rho)
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
        content = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in _LATER or getattr(self, f.name) != f.default
        }
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
