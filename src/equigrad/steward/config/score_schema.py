"""What one scoring is told: every key, its type, its range and its default.

Tables that mean the same as in a private training are that training's
(:mod:`equigrad.steward.config.schema`). Whether names exist and fit the data is asked in
:mod:`equigrad.steward.scoring`.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from equigrad.federation.config.kinds import Name, Options, PositiveFloat, Section
from equigrad.steward.config.schema import (
    DataSettings,
    ModelSettings,
    NoiseSettings,
    TrainingSettings,
)

__all__ = [
    "GroupSettings",
    "ScorePrivacySettings",
    "ScoreSettings",
    "ScoringSettings",
    "SelectionSettings",
    "TruthSettings",
]

OpenFraction = Annotated[float, Field(gt=0, lt=1)]
Release = Literal["selected", "baseline", "best"]


def _plain(name: str) -> str:
    return name.replace("_", "-")


class ScorePrivacySettings(NoiseSettings):
    """One budget for scoring, selecting and training together, and how it is kept to."""

    epsilon: PositiveFloat | None = Field(
        None,
        description="Budget of all that leaves the owner, together; needed wherever a model is "
        "trained privately.",
    )
    delta: OpenFraction | None = Field(
        None,
        description="Chance with which the bound may fail; below one over the training records. "
        "Needed with epsilon.",
    )
    expected_batch: int | None = Field(
        None,
        ge=1,
        description="Expected records in one step, a public number; default: 30 % of the records.",
    )
    public_records: int | None = Field(
        None,
        ge=1,
        description="Declared number of training records, public; default: their number, which is "
        "then taken for public.",
    )


class ScoringSettings(Section):
    """Which scores, and of which model's checkpoints."""

    scorers: list[str] = Field(
        [], description="Scorers by name (`equigrad strategies scorer`); default: loss-mean, aum."
    )
    options: Options = Field(
        {}, description="Options by scorer, e.g. { vog = { stage = 'late' } }."
    )
    checkpoints: int = Field(20, ge=1, description="Checkpoints of the scorer's model to keep.")
    origin: Literal["private", "public"] = Field(
        "private",
        description="private: the scorer's model is trained on the records with noise; public: on "
        "public_data, or given as checkpoint_folder.",
    )
    public_data: str | None = Field(
        None, description="Public records by name or file, with the columns of the data."
    )
    checkpoint_folder: str | None = Field(
        None,
        description="Folder of .safetensors files, one for each checkpoint, in the order of their "
        "names.",
    )
    research: bool = Field(
        False,
        description="Train the scorer's model on the records without privacy. Its scores are "
        "tainted: they choose nothing and are never released.",
    )
    steps: int | None = Field(
        None, ge=1, description="Steps of the scorer's model; default: the training's."
    )
    lr: PositiveFloat | None = Field(
        None, description="Learning rate of the scorer's model; default: the training's."
    )
    validation: str | None = Field(
        None,
        description="Records that some scorers compare with: `test` for the test records, or a "
        "name or file.",
    )
    public_validation: bool = Field(False, description="Whether the validation records are public.")
    batch: int = Field(512, ge=1, description="Records scored in one pass.")

    @property
    def model_origin(self) -> Literal["private", "public", "unprotected"]:
        """What the scorer's model is trained on."""
        return "unprotected" if self.research else self.origin

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.research and self.origin == "public":
            raise ValueError('expected `research` without origin = "public", got both')
        given = [k for k in ("public_data", "checkpoint_folder") if getattr(self, k) is not None]
        if len(given) == 2:
            raise ValueError("expected either `public_data` or `checkpoint_folder`, got both")
        if self.origin == "public" and not given:
            raise ValueError(
                'expected `public_data` or `checkpoint_folder` beside origin = "public", got '
                "neither"
            )
        if given and self.origin != "public" and not (self.research and given[0][0] == "c"):
            raise ValueError(
                f'expected `{given[0]}` with origin = "public" only, got it with '
                f'"{self.model_origin}"; say that it is public, if it is'
            )
        if self.public_validation and self.validation is None:
            raise ValueError("expected `validation` beside `public_validation`, got none")
        unknown = sorted(set(map(_plain, self.options)) - set(map(_plain, self.names)))
        if unknown:
            raise ValueError(
                f"expected `options` of scorers among {', '.join(self.names)}, got {unknown[0]!r}"
            )
        odd = [name for name, options in self.options.items() if not isinstance(options, dict)]
        if odd:
            raise ValueError(f"expected a table of options of {odd[0]}, got a plain value")
        return self

    @property
    def names(self) -> list[str]:
        """The scorers asked for."""
        return list(self.scorers) or ["loss-mean", "aum"]

    def options_of(self, name: str) -> dict[str, Any]:
        """Return the options of one scorer; ``-`` and ``_`` are alike."""
        found = (v for key, v in self.options.items() if _plain(key) == _plain(name))
        return dict(next(found, {}))


class SelectionSettings(Section):
    """Which records are kept, and whether a model is trained on them."""

    rule: str | None = Field(
        None, description="A selector by name (`equigrad strategies selector`); none: only score."
    )
    options: Options = Field({}, description="The selector's own settings.")
    scorer: str | None = Field(
        None, description="The scorer whose scores choose; default: the first."
    )
    train: bool = Field(False, description="Train on the selection, and the baseline beside it.")
    split: OpenFraction = Field(
        0.5, description="Share of epsilon that the scorer's model may cost; nothing if public."
    )
    release: Release = Field(
        "selected",
        description="Which model leaves the owner, fixed before anything is trained: selected, "
        "baseline (no selection, whole budget), or best (of both, which are then paid for both).",
    )
    repeats: int = Field(
        1,
        ge=1,
        description="Trainings of each arm with weights and noise of their own; the first is the "
        "one that is released, the others are for the comparison and stay with the owner.",
    )

    @model_validator(mode="after")
    def _needs_rule(self) -> Self:
        if self.rule is None:
            for key in ("train", "scorer", "options"):
                if getattr(self, key):
                    raise ValueError(f"expected `rule` (--select) beside `{key}`, got none")
        if not self.train:
            for key in ("release", "repeats", "split"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f"expected `train` beside `{key}`, got none")
        return self


class TruthSettings(Section):
    """What is known of wrong labels, to see how well scores find them."""

    column: str | None = Field(
        None,
        description="Column with true labels, or with true/false for a wrong label (own files).",
    )
    file: str | None = Field(
        None,
        description="CSV, Parquet or npy file with one true label, or truth value, for each "
        "training record in its order.",
    )
    flip_labels: OpenFraction | None = Field(
        None, description="Spoil this share of the training labels on purpose, by the seed."
    )
    removal: bool = Field(
        True,
        description="Where wrong labels are known: train without protection with records removed "
        "by score, to see what the order is worth; stays with the owner.",
    )

    @model_validator(mode="after")
    def _one_truth(self) -> Self:
        given = [k for k in ("column", "file", "flip_labels") if getattr(self, k) is not None]
        if len(given) > 1:
            raise ValueError(f"expected one of {' and '.join(f'`{k}`' for k in given)}, got both")
        return self

    @property
    def known(self) -> bool:
        """Whether there is any."""
        return any(v is not None for v in (self.column, self.file, self.flip_labels))


class GroupSettings(Section):
    """Whose records are counted apart."""

    sensitive: str | None = Field(
        None, description="Sensitive column, or `label`: the classes are the groups."
    )
    groups: list[str] = Field([], description="The declared groups; default: those in the data.")
    pair: list[str] = Field([], description="Two groups whose gap is named.")

    @model_validator(mode="after")
    def _needs_groups(self) -> Self:
        if self.sensitive is None and (self.groups or self.pair):
            raise ValueError("expected `sensitive` beside `groups` and `pair`, got none")
        return self


class ScoreSettings(Section):
    """One scoring, with a selection and a training if wanted."""

    kind: Literal["score"] = Field("score", description="Tells this folder from others.")
    name: Name = Field("score", description="What the report calls it.")
    seed: int = Field(
        0, ge=0, lt=2**63, description="Draws initial weights, split and flips; public, no noise."
    )
    data: DataSettings
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    scoring: ScoringSettings = ScoringSettings()
    selection: SelectionSettings = SelectionSettings()
    privacy: ScorePrivacySettings = ScorePrivacySettings()
    fairness: GroupSettings = GroupSettings()
    truth: TruthSettings = TruthSettings()

    @property
    def trains_privately(self) -> bool:
        """Whether some model is trained on the records with noise."""
        return self.selection.train or self.scoring.model_origin == "private"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        privacy = self.privacy
        for key in ("epsilon", "delta"):
            if self.trains_privately and getattr(privacy, key) is None:
                raise ValueError(f"expected privacy.{key} (--{key}), got nothing")
        if privacy.account is not None and not self.trains_privately:
            raise ValueError(
                "expected a private training beside privacy.account, got none; nothing would be "
                "charged to it"
            )
        if self.truth.column is not None and self.data.path is None:
            raise ValueError("expected truth.column with an own file only, got it with `name`")
        return self
