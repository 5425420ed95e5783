"""Every obstacle is refused with the layer's name, the reason and the remedy; good models pass."""

import pytest
import torch
from torch import nn

from equigrad.errors import ModelError
from equigrad.gradients.checks import check_per_sample, replace_batchnorm


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Mean(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


class Largest(nn.Module):
    def forward(self, x):
        return x / x.abs().amax()


class Later(nn.Module):
    def forward(self, x):
        return x + x.roll(-1, 0).detach()


class Ema(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("average", torch.zeros(3))

    def forward(self, x):
        with torch.no_grad():
            self.average.mul_(0.9).add_(x.mean(0))
        return x


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.calls = self.calls + 1
        return x


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.BatchNorm1d(3), ["1 (BatchNorm1d)", "whole batch", "replace_batchnorm"]),
        (nn.SyncBatchNorm(3), ["1 (SyncBatchNorm)", "replace_batchnorm"]),
        (nn.BatchNorm2d(3, track_running_stats=False).eval(), ["no running", "replace_batchnorm"]),
        (nn.InstanceNorm1d(3, track_running_stats=True), ["state dict", "track_running_stats"]),
        (nn.Embedding(3, 3, max_norm=1.0), ["max_norm", "max_norm=None"]),
        (nn.EmbeddingBag(3, 3, scale_grad_by_freq=True), ["whole batch", "=False"]),
        (nn.LazyLinear(3), ["without a shape", "Run the model once"]),
        (nn.DataParallel(nn.Linear(3, 3)), ["several devices", ".module"]),
        (nn.Linear(3, 3, device="meta"), ["several devices", "meta"]),
    ],
)
def test_modules_alone(layer, words):
    model = nn.Sequential(nn.Linear(3, 3), layer)
    with pytest.raises(ModelError) as caught:
        check_per_sample(model)
    for word in words:
        assert word in str(caught.value)


def test_compiled_modules_are_refused():
    with pytest.raises(ModelError, match="_orig_mod"):
        check_per_sample(torch.compile(nn.Linear(3, 3), backend="eager"))
    inside = nn.Linear(3, 3)
    inside.compile(backend="eager")
    with pytest.raises(ModelError, match=r"1 \(Linear\): is compiled"):
        check_per_sample(nn.Sequential(nn.Linear(3, 3), inside))


def test_every_obstacle_is_listed():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3), nn.BatchNorm1d(3))
    with pytest.raises(ModelError) as caught:
        check_per_sample(model)
    assert "2 obstacles" in str(caught.value)
    assert "0 (BatchNorm1d)" in str(caught.value)
    assert "2 (BatchNorm1d)" in str(caught.value)


@pytest.mark.parametrize("layer", [Mean(), Largest(), Later()])
def test_probe_names_the_module_that_mixes_rows(layer):
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(layer, nn.ReLU()), nn.Linear(4, 2))
    with pytest.raises(ModelError) as caught:
        check_per_sample(model, rows(12, 3))
    assert f"1.0 ({type(layer).__name__}): mixes rows" in str(caught.value)


def test_batch_axis_one_by_mistake_is_mixing():
    """Attention without batch_first takes the records for positions."""
    model = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0)
    with pytest.raises(ModelError, match=r"self_attn \(MultiheadAttention\): mixes rows"):
        check_per_sample(model, rows(5, 3, 4))
    check_per_sample(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), rows(5, 3, 4))


def test_inner_layers_may_have_the_batch_elsewhere():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(3, 4)
            self.flat = nn.Linear(4, 2)

        def forward(self, x):
            hidden, _ = self.rnn(x.transpose(0, 1))
            return self.flat(hidden.reshape(-1, 4)).reshape(*hidden.shape[:2], 2)[-1]

    check_per_sample(Turned(), rows(4, 6, 3))


def test_loss_that_mixes_rows_is_found():
    model = nn.Linear(3, 1)

    def everybody(outputs, targets):
        return (outputs - targets).square().mean(1)  # (B, 1) - (B,) is (B, B)

    with pytest.raises(ModelError, match="mixes rows"):
        check_per_sample(model, rows(6, 3), everybody, rows(6))


def test_buffers_filled_from_data_are_found_and_put_back():
    model = nn.Sequential(Ema(), nn.Linear(3, 2))
    with pytest.raises(ModelError, match=r"0\.average: is a buffer"):
        check_per_sample(model, rows(4, 3))
    assert not model[0].average.any()
    counter = Counter()
    buffer = counter.calls
    check_per_sample(nn.Sequential(counter, nn.Linear(3, 2)), rows(4, 3))
    assert counter.calls is buffer
    assert int(buffer) == 0


def test_packed_sequences_are_found():
    class Packing(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(3, 4, batch_first=True)

        def forward(self, x):
            lengths = torch.full((len(x),), x.shape[1])
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
            return self.rnn(packed)[1][0][-1]

    with pytest.raises(ModelError, match=r"rnn \(LSTM\): is given a packed sequence"):
        check_per_sample(Packing(), rows(4, 5, 3))


def test_probe_leaves_no_trace():
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("inside")

    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), Broken())
    state = torch.random.get_rng_state()
    with pytest.raises(RuntimeError, match="inside"):
        check_per_sample(model, rows(4, 3))
    check_per_sample(model[:2], rows(4, 3))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(not module._forward_hooks for module in model.modules())


def test_replace_batchnorm():
    shared = nn.BatchNorm2d(48)
    model = nn.Sequential(nn.Conv2d(3, 48, 3), shared, nn.Sequential(shared), nn.Flatten())
    model.append(nn.Linear(48, 6)).append(nn.BatchNorm1d(6)).append(nn.BatchNorm1d(7))
    shared.weight.requires_grad_(False)
    twin = replace_batchnorm(model)
    assert isinstance(model[1], nn.BatchNorm2d)
    assert twin[1] is twin[2][0]
    assert twin[1].num_groups == 24
    assert not twin[1].weight.requires_grad
    assert twin[5].num_groups == 3
    assert twin[6].num_groups == 1
    assert isinstance(replace_batchnorm(nn.BatchNorm3d(64, affine=False)), nn.GroupNorm)
    check_per_sample(twin[:6], rows(4, 3, 3, 3))
    with pytest.raises(ModelError, match="lazy layer"):
        replace_batchnorm(nn.Sequential(nn.LazyBatchNorm1d()))
