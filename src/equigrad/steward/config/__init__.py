"""Settings of a private training: typed, validated, kept in the folder as they were resolved."""

from equigrad.steward.config.loader import dump_toml, parse_settings, restore_settings
from equigrad.steward.config.schema import (
    DataSettings,
    FairnessSettings,
    ModelSettings,
    PrivacySettings,
    TrainingSettings,
    TrainSettings,
)

__all__ = [
    "DataSettings",
    "FairnessSettings",
    "ModelSettings",
    "PrivacySettings",
    "TrainSettings",
    "TrainingSettings",
    "dump_toml",
    "parse_settings",
    "restore_settings",
]
