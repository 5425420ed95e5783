"""Trajectories: what they refuse, what they leave as it was, what they call a checkpoint."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from valuation_helpers import drawn_states, small_trajectory

from equigrad.errors import CheckpointError, ConfigError
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.valuation import PrivateSteps, Trajectory


def test_the_origin_has_no_default():
    model = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="origin"):
        Trajectory(model, [model.state_dict()], nn.CrossEntropyLoss())
    with pytest.raises(ConfigError, match="origin"):
        small_trajectory(origin="mine")


def test_no_checkpoint_is_refused():
    with pytest.raises(CheckpointError, match=r"at least one checkpoint.*state_dict"):
        small_trajectory(0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": (1, 2)}, "one of steps for each of 3 checkpoints, got 2"),
        ({"steps": (3, 2, 1)}, "never descend"),
        ({"learning_rates": (1.0,)}, "one of learning_rates for each of 3 checkpoints, got 1"),
    ],
)
def test_lists_that_do_not_fit_are_refused(options, words):
    with pytest.raises(CheckpointError, match=words):
        small_trajectory(**options)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_learning_rates_are_positive(rate):
    with pytest.raises(ConfigError, match="learning_rates"):
        small_trajectory(learning_rates=(0.1, 0.1, rate))


def test_an_ensemble_may_share_its_steps():
    assert small_trajectory(steps=(7, 7, 7)).steps == (7, 7, 7)


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("0.bias"), r"'0.bias' with no tensor where the model has \(3,\)"),
        (lambda s: s.update(other=torch.ones(2)), r"'other' with \(2,\) where the model has none"),
        (lambda s: s.update({"0.bias": torch.ones(4)}), r"\(4,\) where the model has \(3,\)"),
        (lambda s: s["0.bias"].fill_(math.nan), "NaN or inf in '0.bias'"),
        (lambda s: s["0.weight"].fill_(math.inf), "NaN or inf in '0.weight'"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(place, change, words):
    model = nn.Sequential(nn.Linear(4, 3)).double()
    states = drawn_states(model, 3)
    change(states[place])

    def read():
        trajectory = Trajectory(model, states, nn.CrossEntropyLoss(), origin="public")
        with trajectory.opened():
            trajectory.load(place)

    with pytest.raises(CheckpointError, match=words) as raised:
        read()
    assert f"checkpoint {place}" in str(raised.value)


def test_the_model_comes_back_from_any_checkpoint():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout()).double()
    model.train()
    model[1].eval()
    states = drawn_states(model, 2)
    for state in states:
        state["1.running_var"].abs_()
    trajectory = Trajectory(model, states, nn.CrossEntropyLoss(), origin="public")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pointers = [p.data_ptr() for p in model.parameters()]

    def visit():
        with trajectory.opened() as opened:
            assert opened is model
            assert not any(module.training for module in model.modules())
            trajectory.load(1)
            for name, tensor in model.state_dict().items():
                assert torch.equal(tensor, states[1][name])
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="middle"):
        visit()
    assert [p.data_ptr() for p in model.parameters()] == pointers
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert [m.training for m in model.modules()] == [True, True, False, True]


def test_identities_tell_checkpoints_apart():
    trajectory = small_trajectory(3)
    names = [trajectory.identity(i) for i in range(3)]
    assert len(set(names)) == 3
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in names)
    assert trajectory.subset([2]).identity(0) == names[2]
    moved = {n: t.clone() for n, t in trajectory.states[0].items()}
    moved["0.bias"][0] += 1e-15
    other = Trajectory(trajectory.model, [moved], nn.CrossEntropyLoss(), origin="public")
    assert other.identity(0) != names[0]


def test_a_subset_keeps_what_belongs_to_its_checkpoints():
    trajectory = small_trajectory(4, steps=(1, 2, 3, 4), learning_rates=(0.4, 0.3, 0.2, 0.1))
    part = trajectory.subset([1, 3])
    assert (part.steps, part.learning_rates) == ((2, 4), (0.3, 0.1))
    assert part.states[1] is trajectory.states[3]
    assert part.origin == trajectory.origin


@pytest.mark.parametrize(
    "wrong",
    [
        {"clip": 0.0},
        {"noise_multiplier": math.nan},
        {"steps": 0},
        {"delta": 0.0},
        {"delta": 1.0},
        {"sampling_rate": 0.0},
        {"sampling_rate": 1.1},
    ],
)
def test_constants_out_of_range_are_refused(wrong):
    sound = {"clip": 1.0, "noise_multiplier": 1.0, "steps": 3, "delta": 1e-5}
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PrivateSteps(**{**sound, **wrong})


EVENT = PrivacyEvent(noise_multiplier=2.0, sampling_rate=0.1, steps=8)


@pytest.mark.parametrize(
    "change",
    [
        {"noise_multiplier": 4.0},
        {"sampling_rate": 0.05},
        {"steps": 7},
        {"neighbouring": "replace-one"},
        {"group_size": 2},
    ],
)
def test_constants_are_those_of_what_was_charged(change):
    constants = PrivateSteps(1.0, 2.0, 8, 1e-5, 0.1)
    facts = {"origin": "private", "private_steps": constants}
    small_trajectory(events=(EVENT,), **facts)
    small_trajectory(events=(EVENT.with_steps(3), EVENT.with_steps(6)), **facts)
    with pytest.raises(CheckpointError, match="of the training that was charged"):
        small_trajectory(events=(replace(EVENT, **change),), **facts)
