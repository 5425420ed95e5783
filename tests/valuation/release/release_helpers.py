"""Scores to release, and accounts to charge."""

from dataclasses import replace

from equigrad.privacy.account import PrivacyAccount
from equigrad.valuation import ScoreSet


def scored(values, **changes):
    made = ScoreSet(
        values=values,
        scorer="el2n",
        orientation="harder",
        locality="record",
        origin="private",
        bounds=(0.0, 2.0),
        checkpoints=("a", "b", "c", "d"),
        warnings=("computed from the records",),
    )
    return replace(made, **changes)


def account(path, epsilon=1e3, delta=1e-5):
    return PrivacyAccount.open(path, owner="hospital", epsilon=epsilon, delta=delta)


BAD_SCORES = [
    ({"origin": "unprotected"}, "TaintedScoresError"),
    ({"estimate": True}, "PrivacyError"),
    ({"locality": "pooled"}, "StabilityError"),
    ({"locality": "validation"}, "StabilityError"),
    ({"view": "release_scores"}, "ConfigError"),
]
"""What is never released, and the error it gets."""
