"""Local training: the steps it takes, what it leaves alone, and that it can be repeated."""

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from party_cases import IMAGES, NUMBERS, TABLE, TEXT, made_up, stream
from torch import nn
from torch.nn import functional

from equigrad.errors import ModelError
from equigrad.federation.config.schema import TrainingConfig
from equigrad.federation.party import LocalTrainer, evaluate
from equigrad.models import build_model, check_model, flatten, parameter_slices


def trainer(model_input=TABLE, factory="mlp", layers=None, records=23, **training):
    return LocalTrainer(
        build_model(factory, model_input, layers or {}, seed=4),
        made_up(model_input, records),
        TrainingConfig(**{"batch_size": 8, **training}),
        model_input.task,
    )


class CountedSGD(torch.optim.SGD):
    steps = 0

    def step(self, closure=None):
        CountedSGD.steps += 1
        return super().step(closure)


def test_one_step_is_the_gradient_by_hand():
    made = trainer(factory="logistic", records=8, lr=0.3)
    x, y = made.records.features.double(), made.records.labels
    weights = flatten(made.model)
    w, b = weights[:18].double().reshape(3, 6), weights[18:].double()
    slack = torch.softmax(x @ w.T + b, dim=1) - functional.one_hot(y, 3)
    expected = -0.3 * torch.cat([(slack.T @ x).flatten(), slack.sum(0)]) / 8
    update = made.train(weights, 0, stream()).update
    torch.testing.assert_close(update.double(), expected, atol=1e-6, rtol=1e-5)


def test_one_step_of_regression_is_the_gradient_by_hand():
    made = trainer(NUMBERS, "logistic", records=8, lr=0.3)
    x, y = made.records.features.double(), made.records.labels.double()
    weights = flatten(made.model)
    error = x @ weights[:6].double() + weights[6].double() - y
    expected = -0.3 * 2 * torch.cat([error @ x, error.sum().reshape(1)]) / 8
    update = made.train(weights, 0, stream()).update
    torch.testing.assert_close(update.double(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings_", "steps"),
    [({}, 3), ({"epochs": 4}, 12), ({"steps": 5}, 5), ({"epochs": 2, "batch_size": 100}, 2)],
)
def test_there_is_one_optimiser_step_for_each_batch(monkeypatch, settings_, steps):
    monkeypatch.setattr(torch.optim, "CountedSGD", CountedSGD, raising=False)
    made = trainer(optimizer="CountedSGD", **settings_)
    CountedSGD.steps = 0
    made.train(flatten(made.model), 0, stream())
    assert CountedSGD.steps == steps


@pytest.mark.parametrize("settings_", [{"epochs": 2}, {"steps": 7}, {"batch_size": 1}])
def test_plain_descent_is_bit_for_bit_the_optimiser(settings_):
    plain = trainer(lr=0.2, **settings_)
    oracle = trainer(lr=0.2, options={"foreach": False}, **settings_)
    weights = flatten(plain.model)
    assert plain._plain
    assert not oracle._plain
    assert torch.equal(
        plain.train(weights, 1, stream()).update, oracle.train(weights, 1, stream()).update
    )


@given(seed=st.integers(0, 2**32), round_=st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_training_is_rolled_back_and_can_be_repeated(seed, round_):
    made = trainer(lr_decay=0.9)
    weights = torch.randn(flatten(made.model).numel(), generator=stream(seed))
    before = weights.clone()
    first = made.train(weights, round_, stream(seed))
    made.train(before + 1, 0, stream(seed + 1))
    again = made.train(weights, round_, stream(seed))
    assert torch.equal(weights, before)
    assert torch.equal(first.update, again.update)
    assert torch.equal(first.weights - before, first.update)
    assert first.update.dtype == torch.float32


def test_the_rate_decays_once_a_round():
    made = trainer(factory="logistic", records=8, lr=0.4, lr_decay=0.5, epochs=1)
    weights = flatten(made.model)
    first, third = (made.train(weights, t, stream()).update for t in (0, 2))
    torch.testing.assert_close(third, first / 4, atol=1e-7, rtol=1e-5)


def test_the_rate_does_not_decay_between_epochs():
    made = trainer(factory="logistic", records=8, lr=0.4, lr_decay=0.5, epochs=2)
    single = trainer(factory="logistic", records=8, lr=0.4)
    weights = flatten(made.model)
    draws = stream()
    once = single.train(weights, 0, draws).weights
    twice = single.train(once, 0, draws).weights
    assert torch.equal(made.train(weights, 0, stream()).weights, twice)


def test_other_labels_can_be_trained_on():
    made = trainer(lr=0.5)
    weights = flatten(made.model)
    own = made.train(weights, 0, stream())
    other = made.train(weights, 0, stream(), labels=(made.records.labels + 1) % 3)
    same = made.train(weights, 0, stream(), labels=made.records.labels)
    assert torch.equal(own.update, same.update)
    assert not torch.equal(own.update, other.update)


@pytest.mark.parametrize(
    ("model_input", "factory", "layers"),
    [
        (IMAGES, "cnn", {"channels": [4, 8], "hidden": 16}),
        (IMAGES, "mlp", {"hidden": [16]}),
        (TABLE, "logistic", {}),
        (NUMBERS, "mlp", {"hidden": [16]}),
        (TEXT, "text-cnn", {"embedding": 16, "kernels": 8, "widths": [2], "dropout": 0.2}),
    ],
)
def test_models_learn_their_records(model_input, factory, layers):
    optimiser = {"optimizer": "Adam", "lr": 0.03, "batch_size": 16}
    made = trainer(model_input, factory, layers, records=64, epochs=25, **optimiser)
    before = evaluate(made.model, made.records, model_input.task)
    made.train(flatten(made.model), 0, stream())
    after = evaluate(made.model, made.records, model_input.task)
    assert after["loss"] < before["loss"] / 2
    assert after["score"] > 0.8


def test_divergence_ends_in_numbers_that_are_not_finite_and_no_exception():
    made = trainer(NUMBERS, lr=1e30, epochs=5)
    assert not made.train(flatten(made.model), 0, stream()).update.isfinite().all()


def test_dropout_trains_the_same_in_any_thread_and_leaves_the_generator_alone():
    layers = {"embedding": 4, "kernels": 4, "widths": [2], "dropout": 0.5}
    made = [trainer(TEXT, "text-cnn", layers, lr=0.5, epochs=3) for _ in range(2)]
    weights = flatten(made[0].model)
    alone = [made[0].train(weights, 0, stream(seed)).update for seed in range(2)]
    assert not torch.equal(*alone)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    together: dict[int, list[torch.Tensor]] = {0: [], 1: []}
    start = threading.Barrier(2)

    def work(seed: int) -> None:
        start.wait()
        for _ in range(10):
            together[seed].append(made[seed].train(weights, 0, stream(seed)).update)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(torch.get_rng_state(), before)
    for seed, updates in together.items():
        assert len(updates) == 10
        assert all(torch.equal(update, alone[seed]) for update in updates)


def test_models_without_randomness_do_not_wait_for_those_with(monkeypatch):
    made = trainer()
    monkeypatch.setattr(
        "equigrad.federation.party.training.private_rng",
        lambda *_: pytest.fail("the lock was taken"),
    )
    assert made.train(flatten(made.model), 0, stream()).update.any()


class WithBatchNorm(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


def test_frozen_statistics_stay_and_their_scale_is_trained():
    model = WithBatchNorm()
    with pytest.raises(ModelError, match="GroupNorm"):
        check_model(model, TABLE)
    frozen = check_model(model, TABLE, buffers="freeze")
    config = TrainingConfig(batch_size=8, epochs=3, lr=0.5)
    made = LocalTrainer(model, made_up(TABLE, 23), config, "classification", frozen=frozen)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    scale = model[1].weight.detach().clone()
    made.train(flatten(model), 0, stream())
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert not torch.equal(model[1].weight, scale)


def test_one_record_is_enough_for_a_model_with_frozen_statistics():
    model = WithBatchNorm()
    frozen = check_model(model, TABLE, buffers="freeze")
    config = TrainingConfig(batch_size=8)
    made = LocalTrainer(model, made_up(TABLE, 1), config, "classification", frozen=frozen)
    assert made.train(flatten(model), 0, stream()).update.any()


def test_parameters_that_take_no_part_do_not_move():
    model = nn.Sequential(nn.Linear(6, 3))
    model.idle = nn.Parameter(torch.ones(2))
    idle = parameter_slices(model)["idle"]
    for optimizer in ("SGD", "Adam"):
        config = TrainingConfig(batch_size=8, lr=0.1, optimizer=optimizer)
        made = LocalTrainer(model, made_up(TABLE, 23), config, "classification")
        update = made.train(flatten(model), 0, stream()).update
        assert update.any()
        assert not update[idle].any()
