import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from equigrad.errors import ConfigError, DataError, ModelError
from equigrad.fairness import (
    Rows,
    StepProducts,
    curvature,
    group_gradient,
    noise_deviation,
    risk_terms,
    split_by_group,
    terms_of,
)

number = st.floats(-10, 10)


@settings(deadline=None, max_examples=60)
@given(number, number, number, number, st.floats(0, 5), st.floats(0, 3), number)
def test_length_and_direction_make_up_clipping(slope, clipped, bend, bent, rho, eta, trace):
    products = StepProducts(1.0, slope, clipped, bend, bent, rho, trace)
    terms = risk_terms(products, learning_rate=eta, deviation=0.1)
    assert terms.magnitude + terms.direction == pytest.approx(terms.clip, abs=1e-10, rel=1e-10)


def per_record(outputs, targets):
    return cross_entropy(outputs, targets, reduction="none")


def small_model(dtype=torch.float64):
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)
    torch.random.set_rng_state(torch_state)
    return model


def some_rows(n=30, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator, dtype=torch.float64).to(dtype)
    return Rows(x, torch.randint(0, 3, (n,), generator=generator))


def flat_hessian(model, rows):
    names = [name for name, _ in model.named_parameters()]
    shapes = [p.shape for p in model.parameters()]
    sizes = [p.numel() for p in model.parameters()]

    def value(flat):
        parts = torch.split(flat, sizes)
        named = {n: p.reshape(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        out = torch.func.functional_call(model, named, (rows.inputs,))
        return per_record(out, rows.targets).mean()

    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    return torch.autograd.functional.hessian(value, flat)


def direction(model, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(p.shape, generator=generator, dtype=torch.float64)
        for name, p in model.named_parameters()
    }


def test_curvature_equals_the_dense_hessian():
    model, rows = small_model(), some_rows()
    v = direction(model, 1)
    H = flat_hessian(model, rows)
    flat = torch.cat([p.flatten() for p in v.values()])
    got = curvature(model, per_record, rows, [v], generator=torch.Generator(), chunk=7)
    assert got.trace_method == "exact"
    assert got.trace_error == 0
    assert got.trace == pytest.approx(float(H.trace()), rel=1e-9)
    assert got.quadratic[0] == pytest.approx(float(flat @ H @ flat), rel=1e-9)
    loss, gradient = group_gradient(model, per_record, rows)
    assert got.loss == pytest.approx(loss)
    for name, value in gradient.items():
        torch.testing.assert_close(got.gradient[name], value)


def test_hutchinson_is_within_four_standard_errors_of_the_trace():
    model, rows = small_model(), some_rows()
    exact = curvature(model, per_record, rows, generator=torch.Generator()).trace
    for seed in range(8):
        got = curvature(
            model,
            per_record,
            rows,
            generator=torch.Generator().manual_seed(seed),
            exact_up_to=0,
            chunk=11,
        )
        assert got.trace_method == "hutchinson"
        assert 0 < got.trace_error < abs(exact)
        assert abs(got.trace - exact) <= 4 * got.trace_error


def test_hutchinson_does_not_depend_on_the_chunks():
    model, rows = small_model(), some_rows()
    traces = [
        curvature(
            model,
            per_record,
            rows,
            generator=torch.Generator().manual_seed(3),
            probes=5,
            exact_up_to=0,
            chunk=chunk,
        ).trace
        for chunk in (4, 100)
    ]
    assert traces[0] == pytest.approx(traces[1], rel=1e-9)


def logistic_loss(outputs, targets):
    return binary_cross_entropy_with_logits(outputs[:, 0], targets.double(), reduction="none")


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**16))
def test_prediction_errs_in_the_third_order_only(seed):
    rng = np.random.default_rng(seed)
    X = torch.from_numpy(rng.normal(size=(24, 3)))
    y = torch.from_numpy(rng.integers(0, 2, 24))
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(rng.normal(size=(1, 3))))
    g = group_gradient(model, logistic_loss, Rows(X, y))[1]
    gb = {"weight": g["weight"] * torch.from_numpy(rng.uniform(0.2, 1.5, (1, 3)))}
    group = split_by_group(X, y, torch.arange(24) % 2, 2)[0]
    bend = curvature(model, logistic_loss, group, (g, gb), generator=torch.Generator())
    errors = []
    for eta in (0.2, 0.1):
        terms = terms_of(bend, g, gb, learning_rate=eta, deviation=0.0)
        moved = copy.deepcopy(model)
        with torch.no_grad():
            moved.weight.sub_(eta * gb["weight"])
        push = (group.inputs @ (eta * gb["weight"][0])).abs()
        error = abs(terms.predicted - group_gradient(moved, logistic_loss, group)[0])
        # Taylor's remainder: the third derivative of log(1 + e^m) is at most 1/(6 sqrt 3)
        assert error <= float((push**3).mean()) / 6 / (6 * 3**0.5) + 1e-14
        errors.append(error)
    assert errors[1] <= errors[0] / 4 + 1e-12


def test_noise_is_the_mean_of_many_noisy_steps():
    X = torch.randn(40, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = (X[:, 0] > 0).double()
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)
    zero = {"weight": torch.zeros(1, 3, dtype=torch.float64)}
    bend = curvature(model, logistic_loss, Rows(X, y), (zero, zero), generator=torch.Generator())
    sigma, C, L, eta = 2.0, 0.5, 10, 1.0
    deviation = noise_deviation(sigma, C, L)
    terms = terms_of(bend, zero, zero, learning_rate=eta, deviation=deviation)
    noise = np.random.default_rng(0).normal(size=(40_000, 3)) * sigma * C / L
    m = noise @ X.numpy().T * -eta
    after = (np.logaddexp(0, m) - y.numpy() * m).mean(1)
    error = after.std() / len(after) ** 0.5
    assert abs(after.mean() - terms.predicted) <= 5 * error + 0.02 * terms.noise
    on_sum = noise_deviation(sigma, C, L, on_sum=True)
    assert on_sum == pytest.approx(L * deviation)


def test_curvature_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)).double()
    model[1].train()
    model[0].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = copy.deepcopy(model.state_dict())
    curvature(model, per_record, some_rows(), generator=torch.Generator())
    group_gradient(model, per_record, some_rows())
    assert (model[0].training, model[1].training) == (False, True)
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert all(torch.equal(model.state_dict()[k], v) for k, v in before.items())
    assert all(p.requires_grad for p in model.parameters())


def test_attention_and_frozen_parameters_have_curvature():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))

    model = Attending().double()
    model.head.bias.requires_grad_(False)
    x = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    got = curvature(
        model, per_record, Rows(x, torch.arange(6) % 3), generator=torch.Generator(), probes=3
    )
    assert "head.bias" not in got.gradient
    assert np.isfinite(got.trace)


def test_several_inputs_and_named_inputs():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(4, 3)

        def forward(self, left, right):
            return self.line(left + 2 * right)

    model = Sum().double()
    x, y = some_rows().inputs, some_rows().targets
    both = group_gradient(model, per_record, Rows((x, x), y))
    named = group_gradient(model, per_record, Rows({"left": x, "right": x}, y))
    assert both[0] == named[0]
    assert torch.equal(both[1]["line.weight"], named[1]["line.weight"])


def test_refusals():
    model, rows = small_model(), some_rows()
    generator = torch.Generator()
    with pytest.raises(DataError, match="rows of the group"):
        curvature(model, per_record, rows.at(torch.arange(0)), generator=generator)
    with pytest.raises(ConfigError, match="one number per record"):
        curvature(model, cross_entropy, rows, generator=generator)
    with pytest.raises(ConfigError, match="probes"):
        curvature(model, per_record, rows, generator=generator, probes=1)
    with pytest.raises(ConfigError, match="direction for every parameter"):
        curvature(model, per_record, rows, [{}], generator=generator)
    with pytest.raises(ConfigError, match="public_batch_size"):
        noise_deviation(1.0, 1.0, 0)
    with pytest.raises(DataError, match=r"group numbers in \[0, 2\)"):
        split_by_group(rows.inputs, rows.targets, torch.full((30,), 2), 2)
    with pytest.raises(DataError, match="one group number per record"):
        split_by_group(rows.inputs, rows.targets, torch.zeros(3, dtype=torch.int64), 2)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(ModelError, match="trainable"):
        group_gradient(model, per_record, rows)
