"""The run file as typed data. Every key, its type, its range and its default stand here.

Unknown keys are refused. Reading a TOML file with good error messages is the work of
:mod:`equigrad.federation.config.loader`; the presets of the fair rewards are in
:mod:`equigrad.federation.config.presets`, the tables [privacy]
and [selection] in :mod:`equigrad.federation.config.privacy` and ``.selection``.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from equigrad.federation.config.kinds import (
    Fraction,
    Name,
    Options,
    PositiveFloat,
    PositiveOrInf,
    Section,
)
from equigrad.federation.config.privacy import PrivacyConfig
from equigrad.federation.config.selection import SelectionConfig

__all__ = [
    "AuditConfig",
    "DataConfig",
    "EngineConfig",
    "EvaluationConfig",
    "ModelConfig",
    "PartitionConfig",
    "PartyConfig",
    "PrivacyConfig",
    "RewardsConfig",
    "RoundConfig",
    "RunConfig",
    "SelectionConfig",
    "TrainingConfig",
]


class DataConfig(Section):
    """Where records come from: a set by name, or the consortium's own files."""

    name: str | None = Field(None, description="A data set by name (`equigrad data list`).")
    path: str | None = Field(
        None,
        description="A CSV, Parquet or npz file, or a folder with one file for each party; "
        "relative to the run file.",
    )
    label: str | None = Field(None, description="Column with the label (own files).")
    sensitive: list[str] = Field([], description="Sensitive attributes (own files).")
    identifier: str | None = Field(None, description="Column that identifies a record.")
    party_column: str | None = Field(None, description="Column that says whose record it is.")
    drop: list[str] = Field([], description="Columns to leave out.")
    task: Literal["classification", "regression"] | None = Field(
        None, description="Inferred from the label when absent."
    )
    records: int | None = Field(
        None, ge=1, description="Use only this many training records, drawn at random."
    )
    test_records: int | None = Field(None, ge=1, description="Use only this many test records.")
    test_fraction: float | None = Field(
        None, gt=0, lt=1, description="Share of records held out where the set has no own split."
    )
    options: Options = Field({}, description="Further options of the set's loader.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.name is None) == (self.path is None):
            got = "neither" if self.name is None else "both"
            raise ValueError(f"expected either `name` or `path`, got {got}")
        if self.path is not None and self.label is None:
            raise ValueError("expected `label` (the label's column) beside `path`, got none")
        return self


class PartitionConfig(Section):
    """How one pool of records is dealt to the parties."""

    rule: str = Field("uniform", description="A registered partition rule, or `files`.")
    parties: int | None = Field(None, ge=1, le=100_000, description="Number of parties.")
    options: Options = Field({}, description="The rule's own settings, e.g. alpha = 0.5.")


class ModelConfig(Section):
    """What is trained."""

    factory: str = Field("mlp", description="A built-in name, or `package.module:callable`.")
    options: Options = Field({}, description="Keyword arguments of the factory.")
    buffers: Literal["refuse", "freeze"] = Field(
        "refuse", description="What to do with running statistics (BatchNorm)."
    )


class TrainingConfig(Section):
    """How a party trains on its own records, each round."""

    optimizer: str = Field("SGD", description="Any optimiser of torch.optim, by name.")
    lr: PositiveFloat = Field(0.1, description="Learning rate in round 0.")
    lr_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="Factor on the learning rate after each round."
    )
    options: Options = Field({}, description="Further arguments of the optimiser.")
    batch_size: int = Field(32, ge=1, description="Records in one step.")
    epochs: int | None = Field(None, ge=1, description="Local epochs in a round (default 1).")
    steps: int | None = Field(None, ge=1, description="Local steps in a round, instead of epochs.")
    optimizer_state: Literal["reset", "keep"] = Field(
        "reset", description="Whether momentum and the like survive the roll-back of a round."
    )

    @model_validator(mode="after")
    def _epochs_or_steps(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("expected either `epochs` or `steps`, got both")
        return self


class RewardsConfig(Section):
    """Contribution and reward. A key that is absent takes the preset's value."""

    preset: Literal["robust", "paper", "reference"] = Field(
        "robust", description="Where values come from that are not set below."
    )
    contribution: str | None = Field(None, description="Contribution rule, or `auto`.")
    tolerance: PositiveFloat = Field(
        0.05, description="Sampled values: 95 % half-width, as a share of the mean value."
    )
    max_permutations: int = Field(
        20_000, ge=128, description="Sampled values: permutations after which to stop trying."
    )
    value_weights: Literal["uniform", "aggregation"] | None = Field(
        None, description="Weights of the uploads when they are valued."
    )
    aggregation: Literal["uniform-then-reputation", "records-then-reputation"] | None = Field(
        None, description="Weights of the uploads in the aggregate."
    )
    bounding: Literal["none", "clip", "rescale", "rescale-eps"] | None = Field(
        None, description="What bounds an upload."
    )
    gamma: PositiveFloat | Literal["auto"] | None = Field(None, description="Upload norm.")
    gamma_end: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="Upload norm of the last round, as a share of the first's."
    )
    norm_cap: PositiveOrInf | None = Field(
        None, description="Cap in medians of upload norms; inf caps nothing."
    )
    mixing: Literal["paper", "robust"] | None = Field(
        None, description="How values enter the reputation."
    )
    alpha: Annotated[float, Field(ge=0, lt=1)] | None = Field(None, description="Memory.")
    floor: Fraction | None = Field(None, description="Least reputation (paper, reference).")
    beta: PositiveOrInf | None = Field(None, description="Altruism; may be inf.")
    beta_times_members: bool | None = Field(
        None, description="Whether beta is multiplied by the number of members."
    )
    sharpness: PositiveFloat | None = Field(None, description="Exponent on reputations.")
    warmup: int | None = Field(None, ge=0, description="Rounds in which everybody gets all.")
    mask: str | None = Field(None, description="Reward rule.")
    pay_for: Literal["signal", "delivered"] = Field(
        "signal", description="Whether declared noise is taken out of a value, or lowers it."
    )
    join_from: Literal["initial", "lowest"] = Field(
        "initial", description="Model of a late joiner."
    )


class AuditConfig(Section):
    """Free-rider audits."""

    action: Literal["flag", "exclude"] | None = Field(None, description="Default: the preset's.")
    clones: Literal["flag", "merge"] = Field("flag", description="What clone groups are.")
    clear_after: int = Field(10, ge=1, description="Rounds without a new hit that clear a flag.")


class RoundConfig(Section):
    """Deadline, quorum and limits of a round."""

    deadline_s: PositiveFloat = Field(600.0, description="Seconds until a silent party is absent.")
    quorum: Fraction = Field(0.5, description="Share of members that must answer.")
    max_void_rounds: int = Field(3, ge=1, description="Rounds below quorum in a row before a stop.")
    max_upload_mb: PositiveFloat | None = Field(
        None, description="Largest upload in MB; default: what the model needs."
    )
    secure_aggregation: bool = Field(
        False, description="Refused if true: values by party cannot be had from sums alone."
    )

    @field_validator("secure_aggregation")
    @classmethod
    def _sums_have_no_values(cls, value: bool) -> bool:
        if value:
            raise ValueError(
                "expected false, got true: under secure aggregation the coordinator sees only the "
                "sum of the uploads, so no party's contribution can be told and no reward be fair"
            )
        return value


class EvaluationConfig(Section):
    """What is measured besides."""

    standalone: bool = Field(True, description="Also train every party alone, to know its gain.")
    every: int = Field(1, ge=1, description="Measure the parties' models every so many rounds.")


class EngineConfig(Section):
    """Where and how the parties run in process."""

    pool: Literal["thread", "process"] = Field("thread", description="What a worker is.")
    workers: int = Field(1, ge=1, le=256, description="Parties that are served at a time.")
    device: str = Field("cpu", description="Device of models and data, e.g. cpu or cuda:0.")
    checkpoint_every: int = Field(1, ge=1, description="Rounds between two checkpoints.")


class PartyConfig(Section):
    """One party's particulars; parties not listed are honest and present throughout."""

    name: Name = Field(description="Letters, digits, dot, dash, underscore; at most 64.")
    label_noise: Fraction = Field(0.0, description="Share of its labels that are wrong.")
    feature_noise: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Standard deviation added to features."
    )
    duplicates: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of its records that repeat others."
    )
    upload_noise: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Standard deviation of noise on its uploads."
    )
    noise_kind: Literal["gaussian", "laplace"] = Field(
        "gaussian", description="Distribution of that noise; it is declared with every upload."
    )
    behaviour: str = Field("honest", description="A registered behaviour (attacks, for studies).")
    options: Options = Field({}, description="The behaviour's own settings.")
    epsilon: PositiveFloat | None = Field(
        None, description="Its own privacy budget, in place of `privacy.epsilon`."
    )
    join: int = Field(0, ge=0, description="First round it takes part in.")
    leave: int | None = Field(None, ge=1, description="First round it no longer takes part in.")

    @property
    def declared_noise(self) -> dict[str, Any]:
        """What the party declares with every upload: kind and variance of its noise, or nothing."""
        if not self.upload_noise:
            return {}
        return {"kind": self.noise_kind, "variance": self.upload_noise**2}

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.leave is not None and self.leave <= self.join:
            raise ValueError(f"expected leave > join = {self.join}, got leave = {self.leave}")
        return self


class RunConfig(Section):
    """A whole run file."""

    kind: Literal["horizontal"] = Field("horizontal", description="Same columns, other records.")
    name: Name = Field("run", description="What the run is called in reports and tables.")
    seed: int = Field(0, ge=0, lt=2**63, description="Decides every random draw of the run.")
    method: str = Field("cgsv", description="cgsv, or a baseline (fedavg, shapfed, cffl, rffl).")
    rounds: int = Field(30, ge=1, description="Number of rounds.")
    data: DataConfig
    partition: PartitionConfig = PartitionConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    rewards: RewardsConfig = RewardsConfig()
    audit: AuditConfig = AuditConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    selection: SelectionConfig = SelectionConfig()
    round: RoundConfig = RoundConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    engine: EngineConfig = EngineConfig()
    party: list[PartyConfig] = Field([])

    @model_validator(mode="after")
    def _unique_parties(self) -> Self:
        names = [p.name for p in self.party]
        for i, name in enumerate(names):
            if name in names[:i]:
                text = "Expected every party once, got {name} twice. Rename or remove one."
                raise PydanticCustomError("party_twice", text, {"name": repr(name), "index": i})
        return self
