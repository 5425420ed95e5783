"""One small rehearsed training for all tests here, and settings that take little time."""

import logging

import pytest

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


@pytest.fixture(autouse=True)
def _quiet_accountants():
    """dp-accounting tells of every Rényi order that it skips."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a small finished training; tests must not change it."""
    from equigrad.steward.run import start

    return start(quick(), tmp_path_factory.mktemp("trained") / "run")
