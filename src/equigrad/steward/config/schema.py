"""What one private training is told: every key, its type, its range and its default.

Words are those of a run file's tables where both mean the same. Reading them is the work of
:mod:`equigrad.steward.config.loader`; whether names exist and fit the data is asked in
:mod:`equigrad.steward.plan`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from equigrad.federation.config.kinds import Name, Options, PositiveFloat, Section

__all__ = [
    "DataSettings",
    "FairnessSettings",
    "ModelSettings",
    "NoiseSettings",
    "PrivacySettings",
    "TrainSettings",
    "TrainingSettings",
]

OpenFraction = Annotated[float, Field(gt=0, lt=1)]


class DataSettings(Section):
    """Where records come from: a set by name, or an own file."""

    name: str | None = Field(None, description="A data set by name (`equigrad data list`).")
    path: str | None = Field(None, description="A CSV, Parquet or npz file.")
    label: str | None = Field(None, description="Column with the label (own files).")
    identifier: str | None = Field(None, description="Column that identifies a record.")
    drop: list[str] = Field([], description="Columns to leave out.")
    categorical: list[str] = Field([], description="Columns of numbers that are categories.")
    test: str | None = Field(None, description="Own file with the test records.")
    test_fraction: OpenFraction | None = Field(
        None, description="Share of records held out where there is no test part (default 0.2)."
    )
    records: int | None = Field(
        None, ge=1, description="Use only this many training records, drawn by the seed."
    )
    test_records: int | None = Field(None, ge=1, description="Use only this many test records.")
    options: Options = Field({}, description="Further options of a named set's loader.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.name is None) == (self.path is None):
            got = "neither" if self.name is None else "both"
            raise ValueError(f"expected either `name` or `path`, got {got}")
        if self.path is not None and self.label is None:
            raise ValueError("expected `label` (the label's column) beside `path`, got none")
        if self.name is not None:
            for key in ("label", "identifier", "categorical", "test"):
                if getattr(self, key):
                    raise ValueError(f"expected `{key}` with an own file only, got it with `name`")
        if self.test is not None and self.test_fraction is not None:
            raise ValueError("expected either `test` or `test_fraction`, got both")
        return self


class ModelSettings(Section):
    """What is trained."""

    factory: str = Field("mlp", description="A built-in name, or `package.module:callable`.")
    options: Options = Field({}, description="Keyword arguments of the factory.")


class TrainingSettings(Section):
    """How it is trained."""

    optimizer: str = Field("SGD", description="Any optimiser of torch.optim, by name.")
    lr: PositiveFloat = Field(0.5, description="Learning rate.")
    options: Options = Field({}, description="Further arguments of the optimiser.")
    epochs: PositiveFloat | None = Field(
        None, description="Expected passes over the training records (default 20)."
    )
    steps: int | None = Field(None, ge=1, description="Steps, instead of epochs.")

    @model_validator(mode="after")
    def _epochs_or_steps(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("expected either `epochs` or `steps`, got both")
        return self


class NoiseSettings(Section):
    """How gradients are bounded and drowned in noise, and who is charged for it."""

    rule: str = Field("flat", description="A clipping rule (`equigrad strategies`).")
    options: Options = Field({}, description="The rule's own settings, e.g. clip = 1.0.")
    accountant: Literal["pld", "rdp"] = Field(
        "pld", description="How the cost of all steps is added up; rdp is looser."
    )
    noise: Literal["secret", "seeded"] = Field(
        "secret",
        description="secret: keys from the operating system; seeded: from the seed, reproducible "
        "and NOT private.",
    )
    noise_form: Literal["rounded", "fast"] = Field(
        "rounded",
        description="rounded: on a public grid, safe from attacks on floating-point addition; "
        "fast: plain float32.",
    )
    max_physical: int | None = Field(None, ge=1, description="Records in memory at a time.")
    account: str | None = Field(
        None,
        description="File of a privacy account that outlives this training; made if missing.",
    )
    account_epsilon: PositiveFloat | None = Field(
        None, description="Limit of an account that is made; default: this training's epsilon."
    )
    account_owner: str | None = Field(
        None, description="Whose records the account speaks of; default: the data's name."
    )

    @model_validator(mode="after")
    def _account(self) -> Self:
        if self.account is not None and self.noise == "seeded":
            raise ValueError(
                'expected noise = "secret" beside `account`, got "seeded"; a rehearsal protects '
                "nobody and is charged to nobody"
            )
        for key in ("account_epsilon", "account_owner"):
            if getattr(self, key) is not None and self.account is None:
                raise ValueError(f"expected `account` beside `{key}`, got none")
        return self


class PrivacySettings(NoiseSettings):
    """What one training record may show in the model, and how that is ensured."""

    epsilon: PositiveFloat = Field(description="Budget of the training.")
    delta: OpenFraction = Field(
        description="Chance with which the bound may fail; below one over the training records."
    )
    expected_batch: int = Field(
        256, ge=1, description="Expected records in one step, a public number."
    )
    noise_multiplier: PositiveFloat | None = Field(
        None,
        description="Noise in units of the rule's bound; default: the least that keeps all steps "
        "within epsilon.",
    )


class FairnessSettings(Section):
    """Whose accuracy is told apart, and what is measured beside."""

    sensitive: str | None = Field(
        None, description="Sensitive column, or `label`: the classes are the groups."
    )
    groups: list[str] = Field([], description="The declared groups; default: those in the data.")
    pair: list[str] = Field([], description="Two groups whose gap is named.")
    paired: bool = Field(False, description="Train the non-private twin too. NOT private.")
    paired_lr: PositiveFloat | None = Field(
        None, description="The twin's learning rate; default: the private one's."
    )
    diagnostics: int | None = Field(
        None,
        ge=1,
        description="Every so many steps, gradient misalignment and excessive-risk terms. NOT "
        "private.",
    )

    @model_validator(mode="after")
    def _needs_groups(self) -> Self:
        if self.sensitive is None:
            for key in ("groups", "pair", "diagnostics"):
                if getattr(self, key):
                    raise ValueError(f"expected `sensitive` beside `{key}`, got none")
        if self.pair and len(set(self.pair)) != 2:
            raise ValueError(f"expected two different groups in `pair`, got {len(self.pair)}")
        if self.paired_lr is not None and not self.paired:
            raise ValueError("expected `paired` beside `paired_lr`, got none")
        return self


class TrainSettings(Section):
    """One private training."""

    kind: Literal["train"] = Field("train", description="Tells this folder from a federation's.")
    name: Name = Field("train", description="What the report calls it.")
    seed: int = Field(
        0, ge=0, lt=2**63, description="Draws initial weights and the split; public, no noise."
    )
    data: DataSettings
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    privacy: PrivacySettings
    fairness: FairnessSettings = FairnessSettings()
