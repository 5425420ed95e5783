"""The vertical run file as typed data. Every key, its type, its range and its default stand here.

Unknown keys are refused. Read by :mod:`equigrad.federation.config.loader`; whether names exist and
go together is asked in :mod:`equigrad.federation.vertical.config.check`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from equigrad.federation.config.kinds import Name, Options, PositiveFloat, Section

__all__ = [
    "AlignmentConfig",
    "AssistanceConfig",
    "LabelPrivacyConfig",
    "LearnerConfig",
    "VerticalConfig",
    "VerticalEngineConfig",
    "VerticalPartyConfig",
]

Bounds = Annotated[list[float], Field(min_length=2, max_length=2)]


class LabelPrivacyConfig(Section):
    """What the messages may tell of a label. Bounds are public numbers, never read from data."""

    mechanism: Literal["none", "auto", "laplace", "randomised_response", "interval"] = Field(
        "none", description="What is done to the labels, or to every residual, before it is sent."
    )
    epsilon: PositiveFloat | None = Field(
        None, description="Budget of the whole run for one row's label; required but for interval."
    )
    delta: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-5, description="Chance at which the tighter figure of the account is given."
    )
    release: Literal["once", "per_round"] | None = Field(
        None, description="Labels made private once, or each residual; default once."
    )
    bounds: Bounds | None = Field(
        None, description="Public [low, high] of the labels; required in regression."
    )
    residual_bounds: Bounds | None = Field(
        None, description="Public [low, high] of residuals (per_round); mse: from `bounds`."
    )
    n_thresholds: int = Field(1, ge=1, description="Thresholds of the interval mechanism.")
    noise: Literal["seeded", "secret"] = Field(
        "seeded",
        description="Where noise comes from: the run's seed (a rehearsal: reproducible, NOT "
        "private), or a key from the operating system that the sponsor keeps.",
    )


class AlignmentConfig(Section):
    """How the parties find their common rows."""

    method: Literal["hmac", "psi"] = Field(
        "hmac", description="Keyed digests of identifiers, or private set intersection."
    )
    key_file: str | None = Field(
        None,
        description="File with at least 32 secret bytes that all parties share; relative to the "
        "run file.",
    )
    id_fold: list[str] = Field(
        [],
        description="Foldings of identifiers after NFC and strip, in any order: nfkc, casefold, "
        "collapse_spaces, alphanumeric, digits.",
    )


class AssistanceConfig(Section):
    """How the training goes."""

    task: Literal["classification", "regression"] = Field(description="What the label is.")
    loss: str | None = Field(
        None, description="Overall loss; default ce for classes, mse for values."
    )
    classes: list[str | int] | None = Field(
        None, description="All classes, where some may be missing from the rows."
    )
    preset: Literal["reference"] | None = Field(
        None, description="The authors' recipe of loss, start, weights, step and rounds."
    )
    init: Literal["best", "mean"] = Field("best", description="The constant start.")
    n_rounds: int = Field(50, ge=1, description="Most rounds.")
    weights: str = Field(
        "l2",
        description="How parties are weighed: by a local loss (l2, l1, l1.5, l4, huber), cone "
        "(together with the step), or equal.",
    )
    weigh_on: Literal["holdout", "train"] = Field(
        "holdout",
        description="Weights and steps from rows that nobody is sent, or from those sent.",
    )
    rate: Literal["search"] | PositiveFloat = Field(
        "search", description="The exact step, or a fixed one."
    )
    eta_max: PositiveFloat = Field(300.0, description="Largest step.")
    shrinkage: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="Factor on the step.")
    stopping: Literal["validation", "training", "none"] = Field(
        "validation", description="What ends the training before `n_rounds`."
    )
    validation_fraction: Annotated[float, Field(gt=0, le=0.3)] = Field(
        0.2, description="Share of rows held out for each purpose."
    )
    refit: Literal["auto", "never"] = Field(
        "auto", description="Train again on all rows (weigh_on = train, few rows)."
    )
    absent: Literal["renormalise", "zero", "refuse"] = Field(
        "renormalise", description="What a prediction does without a party."
    )
    compact: bool = Field(
        False, description="Predict by one sum of each party, which then learns its weights."
    )
    min_parties: int = Field(0, ge=0, description="Fewest assistors that must answer a round.")
    deadline_s: PositiveFloat = Field(600.0, description="Seconds until a silent party is absent.")
    wire_dtype: Literal["float64", "float32"] = Field(
        "float64", description="Numbers on the wire; float32 halves them."
    )
    privacy: LabelPrivacyConfig = LabelPrivacyConfig()
    alignment: AlignmentConfig = AlignmentConfig()


class VerticalEngineConfig(Section):
    """Where and how the parties run in process."""

    pool: Literal["thread", "process"] = Field("thread", description="What a worker is.")
    workers: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None, description="Parties that are served at a time; default: all of them."
    )
    checkpoint_every: int = Field(1, ge=1, description="Rounds between two checkpoints.")


class LearnerConfig(Section):
    """A learner with settings."""

    name: str = Field(
        "ridge", description="A built-in learner, or `package.module:factory` of one."
    )
    options: Options = Field({}, description="Arguments of the learner or factory.")


class VerticalPartyConfig(Section):
    """One party: who it is, where its rows lie, what it fits with."""

    name: Name = Field(description="Letters, digits, dot, dash, underscore; at most 64.")
    role: Literal["sponsor", "assistor"] = Field(
        "assistor", description="The sponsor has the label; there is one."
    )
    data: str = Field(description="CSV, Parquet or npz file, relative to the run file.")
    id: str = Field(description="Column with the identifiers.")
    label: str | list[str] | None = Field(
        None, description="Column with the label, or several numbers (the sponsor alone)."
    )
    columns: list[str] | None = Field(
        None, description="Columns to learn from; default: all but identifier and label."
    )
    categorical: list[str] = Field([], description="Columns of categories, encoded one-hot.")
    standardise: bool = Field(True, description="Numbers to mean 0 and deviation 1.")
    learner: str | LearnerConfig = Field("ridge", description="A name, or a table.")
    join: int = Field(0, ge=0, description="First round it takes part in.")
    leave: int | None = Field(None, ge=1, description="First round it no longer takes part in.")

    @property
    def learning(self) -> LearnerConfig:
        """The learner as a table."""
        return (
            self.learner
            if isinstance(self.learner, LearnerConfig)
            else LearnerConfig(name=self.learner)
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The label columns."""
        if self.label is None:
            return ()
        return (self.label,) if isinstance(self.label, str) else tuple(self.label)

    def present(self, round_: int) -> bool:
        """Return whether it takes part in a round, counted from 0 over both passes."""
        return self.join <= round_ and (self.leave is None or round_ < self.leave)

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.leave is not None and self.leave <= self.join:
            raise ValueError(f"expected leave > join = {self.join}, got leave = {self.leave}")
        return self


class VerticalConfig(Section):
    """A whole run file of a vertical run."""

    kind: Literal["vertical"] = Field("vertical", description="Same records, other columns.")
    name: Name = Field("run", description="What the run is called in reports and tables.")
    seed: int = Field(0, ge=0, lt=2**63, description="Decides every random draw of the run.")
    vertical: AssistanceConfig
    engine: VerticalEngineConfig = VerticalEngineConfig()
    party: list[VerticalPartyConfig] = Field([])

    @property
    def parties(self) -> list[VerticalPartyConfig]:
        """The parties, the sponsor first, the others as declared: the order of all arrays."""
        return sorted(self.party, key=lambda p: p.role != "sponsor")

    @property
    def sponsor(self) -> VerticalPartyConfig:
        """The sponsor."""
        return self.parties[0]

    @property
    def private(self) -> bool:
        """Whether a mechanism protects the labels."""
        return self.vertical.privacy.mechanism != "none"

    @model_validator(mode="after")
    def _unique_parties(self) -> Self:
        names = [p.name for p in self.party]
        for i, name in enumerate(names):
            if name in names[:i]:
                text = "Expected every party once, got {name} twice. Rename or remove one."
                raise PydanticCustomError("party_twice", text, {"name": repr(name), "index": i})
        return self
