"""Prediction errors, ensembles, forgetting: which models they look at, and what they count."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from valuation_helpers import small_records, small_trajectory, values_of

from equigrad.errors import CheckpointError, ConfigError
from equigrad.valuation import make_scorer, score


def mlp():
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def test_el2n_looks_at_the_checkpoint_it_is_told():
    trajectory, records = small_trajectory(3), small_records(6)
    for at in (0, 1, 2, -1, -3):
        got = values_of(trajectory, records, make_scorer("el2n", at=at))
        want = values_of(trajectory.subset([at % 3]), records, "el2n")
        np.testing.assert_array_equal(got, want)
    for at in (3, -4):
        with pytest.raises(CheckpointError, match=rf"at={at}.*got 3 checkpoints"):
            values_of(trajectory, records, make_scorer("el2n", at=at))
    with pytest.raises(ConfigError, match="at"):
        make_scorer("el2n", at=0.5)


@pytest.mark.parametrize(
    ("name", "options", "where"),
    [
        ("grand", {}, "ensemble"),
        ("el2n-mean", {"over": "ensemble"}, "ensemble"),
        ("el2n", {"at": 0}, "trajectory"),
    ],
)
def test_initial_models_are_refused_unless_allowed(name, options, where):
    records = small_records(6)
    steps = {"trajectory": (5, 6), "ensemble": (4, 4), where: (0, 0)}
    trajectory = small_trajectory(2, steps=steps["trajectory"])
    ensemble = small_trajectory(2, steps=steps["ensemble"], seed=3)
    with pytest.raises(CheckpointError, match=r"step 0 in checkpoint 0.*allow_initialisation"):
        values_of(trajectory, records, make_scorer(name, **options), ensemble=ensemble)
    allowed = make_scorer(name, **options, allow_initialisation=True)
    found = score(trajectory, records, [allowed], view="local", ensemble=ensemble, assess=False)
    assert any("2303.14753" in text for text in found[allowed.label].warnings)


def test_trained_models_are_not_warned_of():
    records = small_records(6)
    trajectory = small_trajectory(2, steps=(0, 6))
    ensemble = small_trajectory(10, seed=3, steps=(4,) * 10)
    few = small_trajectory(9, seed=3, steps=(4,) * 9)
    options = {"view": "local", "assess": False}
    for name in ("grand", "el2n"):
        assert not score(trajectory, records, [name], ensemble=ensemble, **options)[name].warnings
    (text,) = score(trajectory, records, ["grand"], ensemble=few, **options)["grand"].warnings
    assert "9 models" in text
    (text,) = score(trajectory, records, ["el2n-mean"], **options)["el2n-mean"].warnings
    assert "2303.14753" in text


def test_an_ensemble_is_averaged_model_by_model():
    records, ensemble = small_records(6), small_trajectory(3, model=mlp(), seed=5)
    options = {"ensemble": ensemble}
    for name, single in (
        ("grand", "grad-norm"),
        (make_scorer("el2n-mean", over="ensemble"), "el2n"),
    ):
        each = [values_of(ensemble.subset([r]), records, single) for r in range(3)]
        got = values_of(small_trajectory(2), records, name, **options)
        np.testing.assert_allclose(got, np.mean(each, axis=0), rtol=1e-12)


def scripted(winners, n_classes=4):
    """Return a trajectory whose t-th checkpoint predicts ``winners[t][i]`` for record i."""
    model = nn.Sequential(nn.Linear(len(winners[0]), n_classes)).double()
    trajectory = small_trajectory(len(winners), model=model)
    for state, row in zip(trajectory.states, winners, strict=True):
        state["0.bias"].zero_()
        state["0.weight"].copy_(nn.functional.one_hot(torch.tensor(row), n_classes).T)
    return trajectory, torch.eye(len(winners[0])).double()


def test_forgetting_counts_moves_from_right_to_wrong():
    # right:  always, 1 0 1 0 (two moves), 0 1 1 1, 0 1 0 0, never, 1 0 0 0
    winners = [[1, 1, 2, 2, 0, 1], [1, 2, 1, 1, 2, 3], [1, 1, 1, 0, 2, 0], [1, 3, 1, 0, 0, 0]]
    trajectory, inputs = scripted(winners)
    labels = torch.ones(6).long()
    got = values_of(trajectory, (inputs, labels), "forgetting", batch_size=4)
    assert got.tolist() == [0, 2, 0, 1, math.inf, 1]


def test_ties_go_to_the_lowest_class():
    trajectory, inputs = scripted([[1, 1, 1]] * 2, n_classes=40)
    for state in trajectory.states:
        state["0.weight"].zero_()
        state["0.weight"][7:] = 1.0
    got = values_of(trajectory, (inputs, torch.tensor([7, 8, 39])), "forgetting")
    assert got.tolist() == [0, math.inf, math.inf]
