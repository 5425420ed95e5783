"""Golden cases of the scorers: losses, errors, norms, products, margins, forgetting."""

import numpy as np
import pytest
import torch
from torch import nn
from valuation_cases import cases

from equigrad.valuation import ScoringContext, Trajectory, make_scorer, score, validation_matrix
from equigrad.valuation.context import scored_rows

ALL = pytest.mark.parametrize("case", cases())


def model_of(case):
    """Return the case's model, in float64."""
    meta = case["meta"]
    d, classes = meta["d"], meta["n_classes"]
    if meta["kind"] == "linear":
        return nn.Sequential(nn.Linear(d, classes)).double()
    hidden = nn.Linear(d, meta["hidden"])
    return nn.Sequential(hidden, nn.Tanh(), nn.Linear(meta["hidden"], classes)).double()


def state_of(weights):
    """Return a ``state_dict`` of one checkpoint of the file."""
    names = {"W": "0.weight", "b": "0.bias"}
    if "W1" in weights:
        names = {"W1": "0.weight", "b1": "0.bias", "W2": "2.weight", "b2": "2.bias"}
    return {own: torch.tensor(weights[key], dtype=torch.float64) for key, own in names.items()}


def trajectory_of(case, key="checkpoints"):
    """Return the checkpoints, or the ensemble's models, as a trajectory."""
    return Trajectory(
        model_of(case),
        [state_of(one) for one in case[key]],
        nn.CrossEntropyLoss(),
        origin="public",
        learning_rates=tuple(case["lr"]) if key == "checkpoints" else None,
    )


def records_of(case, suffix=""):
    return torch.from_numpy(case.array(f"X{suffix}")), torch.tensor(case[f"y{suffix}"])


def scores_of(case, name, trajectory=None, **options):
    scorer = make_scorer(name, **options)
    found = score(
        trajectory or trajectory_of(case),
        records_of(case),
        [scorer],
        view="local",
        validation=records_of(case, "_val"),
        ensemble=trajectory_of(case, "ensemble"),
        batch_size=4,
        assess=False,
    )
    return found[scorer.label].values


def by_checkpoint(case, name, **options):
    """Return ``(T, n)``: the scorer of one checkpoint at each of them."""
    whole = trajectory_of(case)
    return np.stack(
        [scores_of(case, name, whole.subset([t]), **options) for t in range(len(whole))]
    )


@ALL
def test_logits_and_correct(case):
    trajectory = trajectory_of(case)
    context = ScoringContext(trajectory, scored_rows(records_of(case)), batch_size=4)
    logits, right = [], []
    for t in range(len(trajectory)):
        with context.opened() as model_pass:
            trajectory.load(t)
            visits = list(context.visits(model_pass, t, gradients=False))
            logits.append(torch.cat([visit.logits for visit in visits]).numpy())
            winners = [visit.logits.argmax(1) == visit.labels for visit in visits]
            right.append(torch.cat(winners).numpy())
    case.check(np.stack(logits), "logits")
    case.check(np.stack(right).astype(float), "correct")


@pytest.mark.parametrize(
    ("name", "key"),
    [("loss", "loss"), ("grad-norm", "grad_norm"), ("el2n", "el2n"), ("el1", "el1_error")],
)
@ALL
def test_scores_of_each_checkpoint(case, name, key):
    case.check(by_checkpoint(case, name), key)


@pytest.mark.parametrize(
    ("name", "key"), [("loss-mean", "loss"), ("grad-norm-mean", "grad_norm"), ("el2n-mean", "el2n")]
)
@ALL
def test_means_over_the_checkpoints(case, name, key):
    want = case.want(key).mean(0)
    np.testing.assert_allclose(scores_of(case, name), want, rtol=case.rel, atol=case.abs)


@pytest.mark.parametrize("name", ["grad-norm", "grad-norm-mean", "tracin-self"])
@ALL
def test_clipped_norms(case, name):
    clip = case["dp"]["clip"]
    norms = np.minimum(case.want("grad_norm"), clip)
    rates = case.array("lr")
    want = {
        "grad-norm": norms[-1],
        "grad-norm-mean": norms.mean(0),
        "tracin-self": rates @ norms**2,
    }[name]
    got = scores_of(case, name, clip=clip)
    np.testing.assert_allclose(got, want, rtol=case.rel, atol=case.abs)


@ALL
def test_ensembles(case):
    case.check(scores_of(case, "grand"), "grand_ensemble")
    case.check(scores_of(case, "el2n-mean", over="ensemble"), "el2n_ensemble")


@ALL
def test_tracin_and_margins(case):
    case.check(scores_of(case, "tracin-self"), "tracin_self")
    case.check(scores_of(case, "tracin"), "tracin_mean_val")
    clipped = scores_of(case, "tracin", clipped=True, clip=case["dp"]["clip"])
    case.check(clipped, "tracin_clipped_mean_val")
    case.check(scores_of(case, "aum"), "aum")


@pytest.mark.parametrize(
    ("name", "key"),
    [("tracin", "tracin"), ("grad-dot", "grad_dot_last"), ("grad-cos", "grad_cos_last")],
)
@ALL
def test_products_with_each_validation_record(case, name, key):
    matrix = validation_matrix(
        trajectory_of(case),
        records_of(case),
        records_of(case, "_val"),
        name,
        view="local",
        batch_size=3,
    )
    case.check(matrix, key)
    got = scores_of(case, name)
    np.testing.assert_allclose(got, case.want(key).mean(1), rtol=case.rel, atol=case.abs)


@ALL
def test_forgetting(case):
    got = scores_of(case, "forgetting")
    case.check(np.where(np.isinf(got), np.nan, got), "forget")
