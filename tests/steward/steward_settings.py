"""Settings of a training that takes little time."""

from equigrad.steward.config import parse_settings

QUICK = {
    "data.name": "breast_cancer",
    "model.factory": "logistic",
    "privacy.epsilon": 5.0,
    "privacy.delta": 1e-4,
    "privacy.noise_multiplier": 1.2,
    "privacy.accountant": "rdp",
    "privacy.expected_batch": 60,
    "privacy.noise": "seeded",
    "privacy.rule": "global-adapt",
    "privacy.options": {"threshold": 5.0},
    "training.steps": 5,
    "fairness.sensitive": "label",
    "fairness.paired": True,
    "fairness.diagnostics": 2,
}


def quick(**changes):
    """Return the settings of the small training, with changes by dotted key."""
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    return parse_settings(options={**QUICK, **changed})
