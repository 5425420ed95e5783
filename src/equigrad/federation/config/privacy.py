"""The table [privacy] of a run file: what of a party's records may show in what it sends.

Whether the rule exists and goes with the rest is asked in
:mod:`equigrad.federation.config.privacy_check`; what follows from it for each party is worked out
in :mod:`equigrad.federation.private`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from equigrad.federation.config.kinds import Options, PositiveFloat, Section

__all__ = ["PrivacyConfig"]

OpenFraction = Annotated[float, Field(gt=0, lt=1)]


class PrivacyConfig(Section):
    """Private training: every party bounds and noises its own records' gradients.

    With `unit = "record"` each party's whole part in the run is (epsilon, delta)-differentially
    private for its own records (neighbours: one record added or removed), by an account of its own.
    """

    unit: Literal["none", "record"] = Field(
        "none", description='What is protected: nothing, or each single record ("record").'
    )
    epsilon: PositiveFloat | None = Field(
        None, description="Budget of every party for the whole run; required with a unit."
    )
    delta: OpenFraction | None = Field(
        None,
        description="Chance with which the bound may fail; below one over a party's records; "
        "required with a unit.",
    )
    rule: str = Field("flat", description="A clipping rule (`equigrad strategies`).")
    options: Options = Field(
        {}, description="The rule's own settings, e.g. clip = 1.0, the bound on one record's push."
    )
    expected_batch: int | None = Field(
        None,
        ge=1,
        description="Expected records in one local step, a public number, at most the records of "
        "every party; default: `training.batch_size`, or all records of a smaller party.",
    )
    accountant: Literal["pld", "rdp"] = Field(
        "pld", description="How the cost of all steps is added up; rdp is looser and faster."
    )
    noise_multiplier: PositiveFloat | None = Field(
        None,
        description="Noise in units of the rule's bound; default: the least with which all rounds "
        "fit the budget. If it is set, a party stops where its budget ends.",
    )
    noise: Literal["seeded", "secret"] = Field(
        "seeded",
        description="Where noise comes from: the run's seed (a rehearsal: reproducible, NOT "
        "private), or keys from the operating system that each party keeps and destroys.",
    )
    noise_form: Literal["rounded", "fast"] = Field(
        "rounded",
        description="rounded: on a public grid, safe from attacks on floating-point addition; "
        "fast: plain float32.",
    )
    groups: str | None = Field(
        None,
        description='What group-adaptive clipping goes by: "label" or a sensitive attribute.',
    )
    max_physical: int | None = Field(
        None, ge=1, description="Records in memory at a time, where a step has more."
    )

    @property
    def private(self) -> bool:
        """Whether parties train privately."""
        return self.unit != "none"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        missing = [key for key in ("epsilon", "delta") if getattr(self, key) is None]
        if self.private and missing:
            raise ValueError(f'expected {" and ".join(missing)} with unit = "record", got none')
        if not self.private and (given := sorted(self.model_fields_set - {"unit"})):
            inert = type(self)().model_dump()
            if any(getattr(self, key) != inert[key] for key in given):
                raise ValueError(
                    f'expected unit = "record" beside {", ".join(given)}, got unit = "none"; '
                    "without a unit nothing of this happens"
                )
        return self
