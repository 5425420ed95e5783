"""CFFL: credibility by validation, removal, downloads."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from simulated import D, line, random_update, terms
from small_runs import lines_of, small_config

from equigrad.errors import ConfigError
from equigrad.federation.methods.base import Intake, Settlement
from equigrad.federation.methods.cffl import Cffl
from equigrad.federation.setup import prepare

PARTIES = ("p0", "p1", "p2")


def scored_by_first_entry(weights: torch.Tensor) -> float:
    """The model's first entry is its validation score; a score below -5 is undefined."""
    score = float(weights[0])
    return score if score > -5 else float("nan")


def cffl() -> Cffl:
    initial = torch.zeros(D)
    return Cffl(terms(PARTIES, initial=initial, validate=scored_by_first_entry))


def played(method: Cffl, t: int, scores: list[float]) -> Settlement:
    uploads = []
    for party, score in zip(PARTIES, scores, strict=True):
        upload = 0.1 * random_update(party, t)
        upload[0] = score
        uploads.append(upload)
    return method.settle(Intake(t, PARTIES, PARTIES, tuple(uploads), (10, 20, 30), None, ({},) * 3))


def test_credibility_of_the_first_round() -> None:
    settlement = played(cffl(), 0, [0.6, 0.8, 0.7])
    found = line(settlement, "appraise")
    raw = np.sinh(5 * np.array([0.6, 0.8, 0.7]) / 2.1)
    credibility = 0.5 / 3 + 0.5 * raw / raw.sum()
    assert found["values"] == pytest.approx([0.6, 0.8, 0.7])
    assert found["r"] == pytest.approx(credibility)
    q = line(settlement, "reward")["q"]
    assert q == pytest.approx(credibility / credibility.max())
    kept = [row[0] for row in line(settlement, "reward")["kept"]]
    assert kept == [int(np.floor(D * share + 1e-12)) for share in q]
    assert found["aggregation_weights"] == pytest.approx([1 / 6, 2 / 6, 3 / 6])


def test_who_is_of_no_use_is_removed_for_good() -> None:
    method = cffl()
    for t in range(3):
        found = line(played(method, t, [0.9, 0.9, 0.0] if t < 2 else [0.1, 0.9, 9.0]), "appraise")
        assert found["removed"] == ["p2"]
        assert found["r"][2] == 0
        assert found["aggregation_weights"] == pytest.approx([1 / 3, 2 / 3, 0])
    assert found["values"][2] == 0  # not even validated any more


def test_nobody_of_any_use_leaves_all_equal() -> None:
    found = line(played(cffl(), 0, [-9.0, -1.0, 0.0]), "appraise")
    assert found["removed"] == []
    assert found["r"] == pytest.approx([1 / 3] * 3)


def test_absence_changes_no_proportion() -> None:
    method = cffl()
    first = line(played(method, 0, [0.6, 0.8, 0.7]), "appraise")["r"]
    uploads = tuple(0.1 * random_update(party, 1) for party in PARTIES[:2])
    two = Intake(1, PARTIES, PARTIES[:2], uploads, (10, 20), None, ({},) * 2)
    found = line(method.settle(two), "appraise")
    assert found["removed"] == []
    assert found["r"][2] == pytest.approx(first[2])


def test_validation_records_are_needed() -> None:
    with pytest.raises(ConfigError, match="validation"):
        Cffl(terms(PARTIES, validate=None))


def test_a_run_validates_on_a_seeded_part_of_the_test_records(play: Callable[..., Path]) -> None:
    folder = play(method="cffl", rounds=2)
    values = lines_of(folder, "appraise")[0]["values"]
    setup = prepare(small_config(method="cffl", rounds=2))
    count = -(-len(setup.specs[0].test) // 5)
    assert all((value * count) == pytest.approx(round(value * count)) for value in values)
    validate = setup.terms.validate
    assert validate is not None
    assert validate(setup.terms.initial) == validate(setup.terms.initial)
