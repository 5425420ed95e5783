"""Settings of scorings that take little time."""

import json

from equigrad.federation.record.chain import read_record
from equigrad.steward.config import parse_score_settings
from equigrad.steward.scoring.progress import SilentScoring

QUICK = {
    "data.name": "breast_cancer",
    "data.records": 120,
    "data.test_records": 60,
    "model.factory": "logistic",
    "privacy.epsilon": 5.0,
    "privacy.delta": 1e-4,
    "privacy.accountant": "rdp",
    "privacy.expected_batch": 120,  # all of them in every step: Gaussian noise, priced at once
    "privacy.noise": "seeded",
    "training.steps": 6,
    "scoring.checkpoints": 4,
}

WHOLE = {
    "selection.rule": "fixed-threshold",
    "selection.train": True,
    "fairness.sensitive": "label",
    "truth.flip_labels": 0.1,
    "truth.removal": False,
}


def quick(**changes):
    """Return the settings of a small scoring, with changes by dotted key."""
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    return parse_score_settings(options={**QUICK, **changed})


def whole(**changes):
    """Return the settings of a small scoring with selection and both arms."""
    return quick(**{**WHOLE, **changes})


def secret(path, **changes):
    """Return settings with true noise, charged to the account in ``path``."""
    return whole(**{"privacy.noise": "secret", "privacy.account": str(path), **changes})


def everything(folder, *, report=True):
    """Return every file of a folder by name, with or without what follows from the others."""
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    made = ("local/report.html", "local/summary.json", "local/plots")
    return files if report else {k: v for k, v in files.items() if not k.startswith(made)}


def bodies(path):
    """Return the lines of a record as (stage, body)."""
    return [(line.stage, json.loads(json.dumps(line.body))) for line in read_record(path)]


class Stop(BaseException):
    """What kills a scoring here."""


class Stopper(SilentScoring):
    """Stops a scoring in the stage of a number, once it has moved so far."""

    def __init__(self, stage, at):
        self.wanted, self.at, self.now = stage, at, -1

    def stage(self, name, words, unit):
        self.now += 1

    def moved(self, done, total):
        if self.now == self.wanted and done >= self.at:
            raise Stop
