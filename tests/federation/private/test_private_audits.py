"""Audits of private runs: noise makes nobody a copy, and copies are found in spite of it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import lines_of

from equigrad.contribution import Noise, correct_gram
from equigrad.federation.record.canonical import decode_matrix
from equigrad.federation.record.verify import verify

Play = Callable[..., Path]

ALIKE: dict[str, Any] = {
    "data": {"name": "breast_cancer"},
    "partition": {"rule": "uniform", "parties": 3},
    "model": {"factory": "logistic"},
    "training": {"lr": 0.5, "batch_size": 32, "steps": 4},
}
"""Three parties of one mind: their clean updates are so alike that noise decides what is left."""


def highest_estimate(body: Mapping[str, Any], size: int) -> float:
    """Return the largest cosine of two uploads as estimated for the clean ones."""
    variance = np.array([facts["variance"] for facts in body["noise"]])
    C = correct_gram(decode_matrix(body["C"]), Noise(variance, size))
    norms = np.sqrt(np.maximum(np.diagonal(C), 0.0))
    cosines = np.divide(C, np.outer(norms, norms), where=np.outer(norms, norms) > 0, out=0 * C)
    return float((cosines - 2 * np.eye(len(C))).max())


def test_honest_private_parties_are_never_flagged(play_private: Play) -> None:
    highest = []
    for seed in range(6):
        folder = play_private({"noise_multiplier": 1.0}, seed=seed, rounds=3, **ALIKE)
        size = lines_of(folder, "start")[0]["model"]["parameters"]
        for body in lines_of(folder, "appraise"):
            audit = body["audit"]
            assert audit["flags"] == []
            assert audit["groups"] == []
            assert body["excluded"] == []
            assert max(map(abs, audit["echo"] + audit["clone"])) < 1 - 1e-6
            assert audit["not_testable"]["clones"] == body["parties"]
            highest.append(highest_estimate(body, size))
        assert verify(folder).checks["audits"] > 0
    assert max(highest) > 1  # an estimate is no cosine, and no ground for a flag


@pytest.mark.parametrize("behaviour", ["clones", "echo"])
def test_copies_in_a_private_run_are_flagged(play_private: Play, behaviour: str) -> None:
    options = {"options": {"group": "g"}} if behaviour == "clones" else {}
    names = ("party-1", "party-2")
    party = [{"name": name, "behaviour": behaviour, **options} for name in names]
    folder = play_private(party=party)
    flags = lines_of(folder, "appraise")[-1]["audit"]["flags"]
    assert {(flag["party"], flag["kind"]) for flag in flags} >= {(p, behaviour) for p in names}
    assert {flag["party"] for flag in flags} == set(names)
    assert verify(folder).finished
