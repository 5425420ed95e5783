"""Settings of a private training or scoring: typed, validated, kept as they were resolved."""

from equigrad.steward.config.loader import (
    dump_toml,
    is_path,
    parse_score_settings,
    parse_settings,
    restore_score_settings,
    restore_settings,
)
from equigrad.steward.config.schema import (
    DataSettings,
    FairnessSettings,
    ModelSettings,
    PrivacySettings,
    TrainingSettings,
    TrainSettings,
)
from equigrad.steward.config.score_schema import (
    GroupSettings,
    ScorePrivacySettings,
    ScoreSettings,
    ScoringSettings,
    SelectionSettings,
    TruthSettings,
)

__all__ = [
    "DataSettings",
    "FairnessSettings",
    "GroupSettings",
    "ModelSettings",
    "PrivacySettings",
    "ScorePrivacySettings",
    "ScoreSettings",
    "ScoringSettings",
    "SelectionSettings",
    "TrainSettings",
    "TrainingSettings",
    "TruthSettings",
    "dump_toml",
    "is_path",
    "parse_score_settings",
    "parse_settings",
    "restore_score_settings",
    "restore_settings",
]
