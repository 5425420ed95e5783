"""A visit's answers: each computed once, the same from a pass and without one, never silent."""

import math

import pytest
import torch
from torch import nn
from valuation_helpers import numbers, small_records, small_trajectory

from equigrad.errors import DataError, ModelError, NonFiniteScoreError
from equigrad.gradients import PerSamplePass
from equigrad.valuation import Visit


def visit_of(model, inputs, labels, loss=None, **options):
    return Visit(PerSamplePass(model, loss or nn.CrossEntropyLoss()), inputs, labels, **options)


def mlp():
    return small_trajectory(
        1, model=nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    ).model


@pytest.mark.parametrize("gradients", [False, True])
def test_answers_are_the_models(gradients):
    model, (x, y) = mlp(), small_records(6)
    visit = visit_of(model, x, y, gradients=gradients)
    logits = model(x).detach()
    torch.testing.assert_close(visit.logits, logits)
    torch.testing.assert_close(visit.probabilities, logits.softmax(1))
    torch.testing.assert_close(
        visit.losses, nn.functional.cross_entropy(logits, y, reduction="none")
    )
    assert torch.equal(visit.own.int().argmax(1), y)
    assert torch.equal(visit.own.sum(1), torch.ones(6).long())
    assert visit.logits.dtype == visit.losses.dtype == visit.norms.dtype == torch.float64
    assert not visit.logits.requires_grad
    assert len(visit) == 6


@pytest.mark.parametrize("gradients", [False, True])
def test_the_model_runs_once_for_all_answers(gradients):
    model, (x, y) = mlp(), small_records(6)
    model_pass = PerSamplePass(model, nn.CrossEntropyLoss(), check=False)
    model_pass(x, y)  # a pass's first call looks at the model's axes as well
    calls = []
    model.register_forward_pre_hook(lambda *parts: calls.append(1))
    visit = Visit(model_pass, x, y, gradients=gradients)
    for _ in range(2):
        _ = visit.logits, visit.losses, visit.probabilities, visit.own
        if gradients:
            _ = visit.norms, visit.grads.dots(dict(model.named_parameters()))
    assert len(calls) == 1


def test_float32_answers_come_in_float64():
    model, (x, y) = mlp().float(), small_records(6)
    visit = visit_of(model, x.float(), y, gradients=True)
    assert visit.logits.dtype == visit.losses.dtype == visit.norms.dtype == torch.float64


@pytest.mark.parametrize("bad", [-1, 3, 99])
def test_a_label_beyond_the_classes_names_the_record(bad):
    y = torch.tensor([0, 1, bad, bad])
    visit = visit_of(mlp(), numbers(4, 4), y, start=100)
    with pytest.raises(DataError, match=rf"0\.\.2.*got {bad} in record 102 \(from 0\)"):
        _ = visit.own


@pytest.mark.parametrize("y", [torch.zeros(4).double(), torch.zeros(4, 1).long()])
def test_labels_that_are_no_classes_are_refused(y):
    with pytest.raises(DataError, match="whole-number class label"):
        _ = visit_of(mlp(), numbers(4, 4), y).own


@pytest.mark.parametrize(
    "last", [nn.Linear(5, 1), nn.Sequential(nn.Linear(5, 6), nn.Unflatten(1, (2, 3)))]
)
def test_outputs_that_are_no_logits_are_refused(last):
    model = nn.Sequential(nn.Linear(4, 5), last).double()
    with pytest.raises(ModelError, match="logits of shape"):
        _ = visit_of(model, numbers(4, 4), torch.zeros(4).long()).logits


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("what", ["losses", "logits", "norms"])
def test_what_is_not_finite_is_named(gradients, what):
    x = numbers(6, 4)
    x[[2, 4]] = math.nan
    visit = visit_of(mlp(), x, torch.zeros(6).long(), start=10, index=3, gradients=gradients)
    with pytest.raises(NonFiniteScoreError, match=r"in 2 records.*first 12, 14.*checkpoint 3"):
        getattr(visit, what)


def test_one_floating_input_can_be_replaced():
    visit = visit_of(mlp(), numbers(6, 4), torch.zeros(6).long())
    assert visit.input.shape == (6, 4)
    assert torch.equal(visit.over_inputs(visit.input + 1), visit.input + 1)
    tokens = Visit(
        PerSamplePass(mlp(), nn.CrossEntropyLoss()), torch.ones(2, 3).long(), torch.zeros(2)
    )
    with pytest.raises(ModelError, match="one floating-point input"):
        _ = tokens.input
