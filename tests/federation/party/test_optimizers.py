"""Any optimiser of torch.optim by name, and optimiser state that survives the roll-back."""

import pytest
import torch
from party_cases import TABLE, made_up, stream
from torch import nn

from equigrad.errors import ConfigError
from equigrad.federation.config.schema import TrainingConfig
from equigrad.federation.party import LocalTrainer, optimizer_names
from equigrad.federation.party.optimizer import make_optimizer
from equigrad.models import build_model, flatten

# SparseAdam wants sparse gradients and Muon matrices: neither suits an ordinary model.
UNSUITED = {"SparseAdam", "Muon"}
SUITED = [name for name in optimizer_names() if name not in UNSUITED]


def trainer(**training):
    model = build_model("mlp", TABLE, {"hidden": [5]}, seed=4)
    config = TrainingConfig(**{"batch_size": 8, "lr": 0.01, **training})
    return LocalTrainer(model, made_up(TABLE, 23), config, "classification")


@pytest.mark.parametrize("name", SUITED)
def test_any_optimiser_trains_and_can_be_repeated(name):
    made = trainer(optimizer=name)
    weights = flatten(made.model)
    first, again = (made.train(weights, 0, stream()) for _ in range(2))
    assert first.update.any()
    assert first.update.isfinite().all()
    assert torch.equal(first.update, again.update)
    assert first.optimizer == {}


@pytest.mark.parametrize("name", [name for name in SUITED if name != "LBFGS"])
def test_kept_state_makes_two_rounds_one_long_one(name):
    """Three batches, saved state, three batches, equal six batches in one go."""
    kept, whole = (trainer(optimizer=name, optimizer_state="keep", epochs=e) for e in (1, 2))
    draws, weights = stream(), flatten(kept.model)
    first = kept.train(weights, 0, draws)
    copies = {key: tensor.clone() for key, tensor in first.optimizer.items()}
    second = kept.train(first.weights, 0, draws, optimizer=first.optimizer)
    assert torch.equal(second.weights, whole.train(weights, 0, stream()).weights)
    assert all(torch.equal(copies[key], tensor) for key, tensor in first.optimizer.items())


def test_state_is_forgotten_unless_it_is_to_be_kept():
    fresh = trainer(options={"momentum": 0.9})
    kept = trainer(options={"momentum": 0.9}, optimizer_state="keep")
    weights = flatten(fresh.model)
    state = kept.train(weights, 0, stream()).optimizer
    assert set(state) == {f"{i}/momentum_buffer" for i in range(4)}
    plain = kept.train(weights, 0, stream())
    moved = kept.train(weights, 0, stream(), optimizer=state)
    assert torch.equal(fresh.train(weights, 0, stream()).update, plain.update)
    assert not torch.equal(moved.update, plain.update)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "Adm"}, "Did you mean 'Adam'"),
        ({"optimizer": "sgd"}, "Did you mean 'SGD'"),
        ({"optimizer": "Optimizer"}, "Expected an optimiser of torch.optim"),
        ({"optimizer": "lr_scheduler"}, "Expected an optimiser of torch.optim"),
        ({"options": {"momentun": 0.9}}, "Did you mean 'momentum'"),
        ({"options": {"lr": 0.9}}, "got 'lr'"),
        ({"options": {"momentum": -1.0}}, "Invalid momentum"),
        ({"optimizer": "Adam", "options": {"betas": 3}}, "Expected settings that the optimiser"),
        ({"optimizer": "SparseAdam"}, "dense gradients"),
        ({"optimizer": "LBFGS", "optimizer_state": "keep"}, 'optimizer_state = "reset"'),
    ],
)
def test_what_cannot_be_is_refused_before_training(settings, message):
    with pytest.raises(ConfigError, match=message):
        trainer(**settings)


def test_the_fused_implementation_is_used_unless_told_otherwise():
    parameters = [nn.Parameter(torch.zeros(3))]
    assert make_optimizer("Adam", parameters, 0.1, {}).defaults["fused"]
    assert not make_optimizer("Adam", parameters, 0.1, {"foreach": True}).defaults["fused"]
    assert "fused" not in make_optimizer("RMSprop", parameters, 0.1, {}).defaults
