"""Golden cases of fair private training: excessive risk by cause, and the cost of privacy."""

import numpy as np
import pytest
import torch
from golden_cases import load
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from equigrad.fairness import (
    curvature,
    group_cost,
    noise_deviation,
    risk_terms,
    split_by_group,
    terms_of,
)
from equigrad.fairness.risk import StepProducts, inner

CONTENT = load("fair_private_training.json")
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def cases(kind):
    return [pytest.param(case, id=case["name"]) for case in CONTENT.get(kind, [])]


WEIGHTS = {
    "dpsgd_flat": lambda n, case: np.minimum(1, case["C"] / np.maximum(n, 1e-300)),
    "global": lambda n, case: np.where(n <= case["Z"], case["C"] / case["Z"], 0.0),
    "global_adapt": lambda n, case: case["C"] / np.maximum(n, case["Z"]),
}


def logistic_loss(outputs, targets):
    return binary_cross_entropy_with_logits(outputs[:, 0], targets, reduction="none")


def logistic(case):
    X = torch.tensor(case["X"], dtype=torch.float64)
    model = nn.Linear(X.shape[1], 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight[0] = torch.tensor(case["theta"], dtype=torch.float64)
    return model, X, torch.tensor(case["y"], dtype=torch.float64)


def batch_gradients(case):
    X, y, theta = (np.asarray(case[key], dtype=float) for key in ("X", "y", "theta"))
    at = case["batch_index"]
    return (1 / (1 + np.exp(-X[at] @ theta)) - y[at])[:, None] * X[at]


def named(vector):
    return {"weight": torch.from_numpy(vector)[None]}


def close(got, want):
    np.testing.assert_allclose(got, want, **CLOSE)


@pytest.mark.parametrize("case", cases("excess_risk"))
def test_excessive_risk_by_cause(case):
    model, X, y = logistic(case)
    rows = split_by_group(X, y, torch.tensor(case["group"]), max(case["group"]) + 1)
    gradients = batch_gradients(case)
    g = gradients.mean(0)
    close(g, case["g_batch"])
    norms = np.linalg.norm(gradients, axis=1)
    L, eta = len(case["batch_index"]), case["eta"]
    checked = 0
    for method, want in case["methods"].items():
        if method not in WEIGHTS:
            continue
        gb = (WEIGHTS[method](norms, case)[:, None] * gradients).mean(0)
        close(gb, want["gbar"])
        close(np.linalg.norm(gb) / np.linalg.norm(g), want["rho"])
        if gb.any() and want.get("cos_g_gbar") is not None:
            close(g @ gb / np.linalg.norm(g) / np.linalg.norm(gb), want["cos_g_gbar"])
        found = {}
        for key, values in want["groups"].items():
            terms = _check_group(case, model, rows[int(key)], (g, gb), values, eta, L)
            found[key] = terms
            checked += 1
        _check_gaps(found, want.get("gaps", {}))
    assert checked


def _check_group(case, model, rows, directions, want, eta, L):
    g, gb = (named(v) for v in directions)
    bend = curvature(model, logistic_loss, rows, (g, gb), generator=torch.Generator())
    deviation = noise_deviation(case["sigma"], case["C"], L)
    terms = terms_of(bend, g, gb, learning_rate=eta, deviation=deviation)
    close(bend.loss, want["loss"])
    close(bend.trace, want["trace_H"])
    close(bend.quadratic, [want["gHg"], want["gbarHgbar"]])
    close(terms.step, want["R_non_private_step"])
    close(terms.clip, want["R_clip"])
    close(terms.magnitude, want["R_mag"])
    close(terms.direction, want["R_dir"])
    close(terms.noise, want["R_noise_mean_update"])
    close(terms.predicted, want["predicted_next_loss"])
    close(terms.magnitude + terms.direction, terms.clip)
    if "R_noise_reference_no_B2" in want:
        on_sum = noise_deviation(case["sigma"], case["C"], L, on_sum=True)
        parity = terms_of(bend, g, gb, learning_rate=eta, deviation=on_sum)
        close(parity.noise, want["R_noise_reference_no_B2"])
    own = np.sqrt(inner(bend.gradient, bend.gradient))
    for key, vector, direction in (("cos_gD_g", g, 0), ("cos_gD_gbar", gb, 1)):
        length = own * np.linalg.norm(directions[direction])
        if length > 0 and want.get(key) is not None:
            close(inner(bend.gradient, vector) / length, want[key])
    if "true_next_loss_no_noise" in want:
        true = _loss_after(case, rows, directions[1], eta)
        close(true, want["true_next_loss_no_noise"])
        # the prediction without its noise term misses only terms of third order
        assert abs(terms.predicted - terms.noise - true) <= _third_order(rows, directions[1], eta)
    return terms


def _loss_after(case, rows, gb, eta):
    theta = np.asarray(case["theta"]) - eta * gb
    m = rows.inputs.numpy() @ theta
    return float((np.logaddexp(0, m) - rows.targets.numpy() * m).mean())


def _third_order(rows, gb, eta):
    """The remainder's bound: the third derivative of log(1 + e^m) is at most 1/(6 sqrt 3)."""
    push = np.abs(rows.inputs.numpy() @ (eta * gb))
    return float((push**3).mean()) / 6 / (6 * np.sqrt(3)) + 1e-12


def _check_gaps(found, gaps):
    names = {"R_clip": "clip", "R_mag": "magnitude", "R_dir": "direction"}
    names["R_noise_mean_update"] = "noise"
    for key, value in gaps.items():
        if key in names:
            terms = [getattr(t, names[key]) for t in found.values()]
            close(max(terms) - min(terms), value)


@pytest.mark.parametrize("case", cases("metrics"))
def test_cost_of_privacy(case):
    K = len(case["acc_private"])
    cost = group_cost(
        case["acc_nonprivate"],
        case["acc_private"],
        case["loss_nonprivate"],
        case["loss_private"],
        names=[f"group {k}" for k in range(K)],
    )
    close(cost.privacy_cost, case["privacy_cost"])
    close(cost.excessive_risk, case["excessive_risk"])
    for got, key in (
        (cost.cost_gap, "privacy_cost_gap"),
        (cost.accuracy_gap, "accuracy_parity_gap_private"),
        (cost.loss_gap, "loss_gap_private"),
        (cost.risk_gap, "excessive_risk_gap"),
    ):
        close(got.spread, case[key])
        assert K != 2 or got.pair == got.spread


def test_a_zero_batch_gradient_has_rho_zero_and_no_step():
    products = StepProducts(1.0, 0.0, 0.0, 0.0, 0.0, rho=0.0, trace=2.0)
    terms = risk_terms(products, learning_rate=0.1, deviation=0.5)
    assert (terms.step, terms.clip, terms.noise) == (0, 0, pytest.approx(0.005 * 0.25 * 2))
