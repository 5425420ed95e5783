"""Golden cases of valuation: DataInf in one block, explicit influence, KNN-Shapley."""

import numpy as np
import pytest
import torch
from torch import nn
from valuation_cases import cases

from equigrad.valuation import ScoringContext, Trajectory, score
from equigrad.valuation.context import scored_rows
from equigrad.valuation.scorers import DataInf, Influence, KnnShapley


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def model_of(case):
    """Return the case's model, with anything in it."""
    meta = case["meta"]
    d, n_classes, hidden = meta["d"], meta["n_classes"], meta["hidden"]
    if meta["kind"] == "linear":
        return nn.Linear(d, n_classes, dtype=torch.float64)
    return nn.Sequential(nn.Linear(d, hidden), nn.Tanh(), nn.Linear(hidden, n_classes)).double()


def state_of(checkpoint):
    """Return a checkpoint of the file as a state of the model."""
    if "W" in checkpoint:
        return {"weight": tensor(checkpoint["W"]), "bias": tensor(checkpoint["b"])}
    return {
        f"{place}.{kind}": tensor(checkpoint[key])
        for place, kind, key in (
            (0, "weight", "W1"),
            (0, "bias", "b1"),
            (2, "weight", "W2"),
            (2, "bias", "b2"),
        )
    }


def context_of(case, batch_size=512):
    """Return the case's records, validation set and checkpoints."""
    trajectory = Trajectory(
        model_of(case),
        [state_of(checkpoint) for checkpoint in case["checkpoints"]],
        nn.CrossEntropyLoss(),
        origin="public",
        learning_rates=tuple(case["lr"]),
    )
    return ScoringContext(
        trajectory,
        scored_rows((tensor(case["X"]), torch.tensor(case["y"]))),
        validation=scored_rows((tensor(case["X_val"]), torch.tensor(case["y_val"]))),
        batch_size=batch_size,
    )


@pytest.mark.parametrize("batch_size", [512, 3])
@pytest.mark.parametrize("case", cases("datainf_single_block"))
def test_datainf_of_a_single_block(case, batch_size):
    scorer, context = DataInf("single", damping=case["damping"]), context_of(case, batch_size)
    case.check(scorer.matrix(context), "datainf_single_block")
    want = case.want("datainf_single_block").mean(1)
    np.testing.assert_allclose(scorer.score(context), want, rtol=case.rel, atol=case.abs)


@pytest.mark.parametrize("batch_size", [512, 3])
@pytest.mark.parametrize("solver", ["explicit", "conjugate-gradients"])
@pytest.mark.parametrize("case", cases("influence_explicit_damped"))
def test_influence(case, solver, batch_size):
    scorer = Influence(case["damping"], solver, tolerance=1e-13)
    context = context_of(case, batch_size)
    case.check(scorer.matrix(context), "influence_explicit_damped")
    want = case.want("influence_explicit_damped").mean(1)
    np.testing.assert_allclose(scorer.score(context), want, rtol=case.rel, atol=case.abs)


@pytest.mark.parametrize("case", cases("knn_shapley"))
def test_knn_shapley(case):
    context = context_of(case)
    scorer = KnnShapley(case["knn_k"])
    found = score(
        context.trajectory,
        (tensor(case["X"]), case["y"]),
        [scorer],
        view="local",
        validation=(tensor(case["X_val"]), case["y_val"]),
    )
    case.check(found[scorer.label].values, "knn_shapley")
