"""Scores and losses are means over records."""

import importlib
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from party_cases import NUMBERS, TABLE, made_up
from sklearn.metrics import r2_score
from torch import nn
from torch.nn import functional

from equigrad.federation.party import Records, evaluate
from equigrad.models import build_model


@pytest.fixture(params=[1, 3, 7, 1000])
def batch(request, monkeypatch):
    module = importlib.import_module("equigrad.federation.party.evaluate")
    monkeypatch.setattr(module, "_BATCH", request.param)
    return request.param


def test_batches_of_any_size_give_the_full_batch_values(batch):
    model = build_model("mlp", TABLE, {}, 0)
    records = made_up(TABLE, 23)
    with torch.no_grad():
        outputs = model(records.features).double()
    found = evaluate(model, records, "classification")
    assert found["records"] == 23
    assert found["score"] == (outputs.argmax(1) == records.labels).double().mean()
    assert found["loss"] == pytest.approx(
        float(functional.cross_entropy(outputs, records.labels)), rel=1e-6
    )


def test_regression_is_scored_as_scikit_learn_does(batch):
    model = build_model("mlp", NUMBERS, {}, 0)
    records = made_up(NUMBERS, 23)
    with torch.no_grad():
        outputs = model(records.features)[:, 0].double()
    found = evaluate(model, records, "regression")
    assert found["score"] == pytest.approx(r2_score(records.labels, outputs), abs=1e-5)
    assert found["loss"] == pytest.approx(
        float((outputs - records.labels).square().mean()), rel=1e-6
    )


@given(right=st.integers(0, 12))
@settings(max_examples=50, deadline=None)
def test_accuracy_counts_right_answers(right):
    labels = torch.arange(12) % 3
    shown = torch.where(torch.arange(12) < right, labels, (labels + 1) % 3)
    records = Records(functional.one_hot(shown, 3).float(), labels)
    assert evaluate(nn.Identity(), records, "classification")["score"] == right / 12


def test_constant_labels_are_predicted_or_not():
    constant = torch.full((4,), 2.0)
    assert evaluate(nn.Identity(), Records(constant[:, None], constant), "regression") == {
        "score": 1.0,
        "loss": 0.0,
        "records": 4,
    }
    wrong = Records(constant[:, None] + 1, constant)
    assert evaluate(nn.Identity(), wrong, "regression")["score"] == 0.0


def test_a_diverged_model_is_wrong_everywhere():
    records = Records(torch.full((4, 2), math.nan), torch.zeros(4, dtype=torch.int64))
    found = evaluate(nn.Identity(), records, "classification")
    assert found["score"] == 0
    assert math.isnan(found["loss"])
    numbers = Records(torch.full((4, 1), math.nan), torch.arange(4.0))
    assert evaluate(nn.Identity(), numbers, "regression")["score"] == -math.inf


def test_modes_are_restored_and_dropout_is_off():
    model = nn.Sequential(nn.Dropout(0.9), nn.Linear(6, 3), nn.BatchNorm1d(3))
    model[2].eval()
    records = made_up(TABLE, 9)
    first, again = (evaluate(model, records, "classification") for _ in range(2))
    assert first == again
    assert [module.training for module in model.modules()] == [True, True, True, False]
    assert model[2].num_batches_tracked == 0


def test_modes_are_restored_after_an_error():
    model = nn.Sequential(nn.Linear(2, 3))
    with pytest.raises(RuntimeError):
        evaluate(model, made_up(TABLE, 9), "classification")
    assert model.training
