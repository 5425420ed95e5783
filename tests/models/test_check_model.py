"""Models that cannot be trained under rewards are refused, or frozen on request."""

import pytest
import torch
from torch import nn

from equigrad.errors import ModelError
from equigrad.models import ModelInput, check_model, set_training_mode

IMAGE = ModelInput((2, 4, 4), 3)


def with_norm(*norm: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3), *norm, nn.Flatten(), nn.Linear(16, 3))


class Counter(nn.Module):
    """Counts its forward passes in a buffer, in every mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x


class InferenceOnly(nn.Module):
    def forward(self, x):
        if self.training:
            raise RuntimeError("this layer is for inference")
        return x


class Head(nn.Module):
    def __init__(self, make) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 3)
        self.make = make

    def forward(self, x):
        return self.make(self.linear(x.flatten(1)))


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d(4),
        nn.InstanceNorm2d(4, track_running_stats=True),
        nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4, affine=False)),
    ],
)
def test_running_statistics_are_refused_with_a_remedy(norm):
    with pytest.raises(ModelError, match='GroupNorm or LayerNorm, or set buffers = "freeze"'):
        check_model(with_norm(norm), IMAGE)


def test_a_model_that_fails_in_training_mode_only_is_refused_with_the_reason():
    model = with_norm(InferenceOnly())
    with pytest.raises(ModelError, match=r"runs in training mode.*for inference"):
        check_model(model, IMAGE)


def test_the_refusal_names_the_modules():
    with pytest.raises(ModelError, match=r"1 \(BatchNorm2d\), 2 \(Counter\)"):
        check_model(with_norm(nn.BatchNorm2d(4), Counter()), IMAGE)


@pytest.mark.parametrize(
    "norm",
    [
        nn.GroupNorm(2, 4),
        nn.InstanceNorm2d(4),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.LayerNorm((4, 2, 2)),
        nn.Dropout(),
    ],
)
def test_layers_without_running_statistics_pass(norm):
    assert check_model(with_norm(norm), IMAGE) == ()


def test_frozen_statistics_do_not_move_in_training_mode():
    model = with_norm(nn.BatchNorm2d(4), nn.Dropout())
    frozen = check_model(model, IMAGE, buffers="freeze")
    assert frozen == (model[1],)
    set_training_mode(model, frozen)
    model(IMAGE.example(8))
    assert model[1].num_batches_tracked == 0
    assert not model[1].running_mean.any()
    assert (model[1].running_var == 1).all()
    assert model[2].training


def test_spectral_norms_power_iteration_is_a_running_statistic():
    model = with_norm(nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 1)))
    with pytest.raises(ModelError, match="SpectralNorm"):
        check_model(model, IMAGE)
    assert len(check_model(model, IMAGE, buffers="freeze")) == 1


def test_buffers_that_move_in_evaluation_mode_cannot_be_frozen():
    with pytest.raises(ModelError, match="stay as they are in evaluation mode"):
        check_model(with_norm(Counter()), IMAGE, buffers="freeze")


def test_the_check_changes_nothing():
    model = with_norm(nn.BatchNorm2d(4), nn.Dropout())
    model[1].eval()
    modes = [module.training for module in model.modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    check_model(model, IMAGE, buffers="freeze")
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("lazy", [nn.LazyConv2d(4, 1), nn.LazyBatchNorm2d()])
def test_lazy_modules_are_refused(lazy):
    with pytest.raises(ModelError, match="lazy"):
        check_model(with_norm(lazy), IMAGE)


def test_a_model_without_trainable_parameters_is_refused():
    with pytest.raises(ModelError, match="none to train"):
        check_model(with_norm().requires_grad_(False), IMAGE)
    with pytest.raises(ModelError, match="none to train"):
        check_model(nn.Flatten(), IMAGE)


def test_frozen_parameters_may_have_any_dtype():
    model = with_norm()
    model.scale = nn.Parameter(torch.ones(2, dtype=torch.float64), requires_grad=False)
    assert check_model(model, IMAGE) == ()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.complex64])
def test_other_dtypes_are_refused(dtype):
    model = with_norm()
    model.extra = nn.Parameter(torch.zeros(2, dtype=dtype))
    with pytest.raises(ModelError, match=r"Expected float32 parameters, got extra"):
        check_model(model, IMAGE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda y: y[:, :2], r"got \(2, 2\)"),
        (lambda y: y.sum(1), r"got \(2,\)"),
        (lambda y: (y, y), "got tuple"),
        (lambda y: y.T, r"got \(3, 2\)"),
        (lambda y: y.detach(), "no gradient"),
    ],
)
def test_outputs_of_the_wrong_kind_are_refused(make, message):
    with pytest.raises(ModelError, match=message):
        check_model(Head(make), IMAGE)


def test_a_model_for_other_records_is_refused_with_the_reason():
    with pytest.raises(ModelError, match=r"shape \(7,\).*fails: RuntimeError"):
        check_model(with_norm(), ModelInput((7,), 3))
