"""Every core layer against batches of one, in float64, on drawn shapes and options."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pass_helpers import compare
from torch import nn

FEW = settings(max_examples=25, deadline=None)
sizes = st.integers(1, 4)
workspaces = st.sampled_from([1, 3000, 2**26])
seeds = st.integers(0, 2**31 - 1)
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@pytest.fixture(autouse=True)
def _float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@FEW
@given(
    middle=st.lists(st.integers(1, 7), max_size=2),
    widths=st.tuples(sizes, sizes, sizes),
    batch=sizes,
    bias=st.booleans(),
    workspace=workspaces,
    seed=seeds,
)
def test_linear(middle, widths, batch, bias, workspace, seed):
    first, second, third = widths
    model = nn.Sequential(
        nn.Linear(first, second, bias=bias), nn.ReLU(inplace=True), nn.Linear(second, third)
    )
    compare(model, drawn(seed, batch, *middle, first), workspace_bytes=workspace)


@st.composite
def convolutions(draw):
    """Return a convolution with drawn options and the shape of a fitting record."""
    axes = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 2))
    channels = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))

    def per_axis(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    kernel, dilation = per_axis(1, 3), per_axis(1, 2)
    mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    stride = per_axis(1, 3)
    padding = draw(st.sampled_from(["same", "valid", "numbers"]))
    if padding == "same":
        stride = (1,) * axes
    elif padding == "numbers":
        padding = per_axis(0, 2)
    layer = CONVOLUTIONS[axes](
        *channels,
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=mode,
    )
    # at least the dilated kernel, and more than any padding, as reflection needs
    space = tuple(
        d * (k - 1) + draw(st.integers(3, 6)) for d, k in zip(dilation, kernel, strict=True)
    )
    return layer, (channels[0], *space)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@settings(max_examples=30, deadline=None)
@given(drawn_layer=convolutions(), batch=sizes, workspace=workspaces, seed=seeds)
def test_convolution(drawn_layer, batch, workspace, seed):
    layer, shape = drawn_layer
    model = nn.Sequential(layer, nn.Tanh())
    compare(model, drawn(seed, batch, *shape), workspace_bytes=workspace)


@pytest.mark.parametrize(
    ("layer", "shape", "way"),
    [
        (nn.Conv2d(4, 3, 2), (4, 9, 9), "kept rows"),
        (nn.Conv2d(4, 3, 2), (4, 4, 4), "rows"),
        (nn.Conv2d(8, 64, 3, stride=3), (8, 6, 6), "gram"),
        (nn.Linear(30, 40), (2, 30), "gram"),
        (nn.Linear(3, 4), (20, 3), "rows"),
        (nn.Linear(3, 4), (3,), "product"),
    ],
)
def test_the_plan_shows_the_cheaper_way(layer, shape, way):
    plan = compare(layer.double(), drawn(0, 3, *shape))
    assert plan[0].way == way
    assert [line.parameter for line in plan] == ["weight", "bias"]
    assert all(line.operations > 0 for line in plan)


@FEW
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=2),
    padding=st.sampled_from([None, 0, 3]),
    batch=sizes,
    workspace=workspaces,
    seed=seeds,
)
def test_embedding(shape, padding, batch, workspace, seed):
    model = nn.Sequential(nn.Embedding(4, 3, padding_idx=padding), nn.Linear(3, 2))
    ids = torch.randint(4, (batch, *shape), generator=torch.Generator().manual_seed(seed))
    compare(model, ids, workspace_bytes=workspace)


def evaluated(norm):
    """Return a batch norm in evaluation mode with statistics that are not the initial ones."""
    with torch.no_grad():
        norm.running_mean.copy_(drawn(1, *norm.running_mean.shape))
        norm.running_var.copy_(drawn(2, *norm.running_var.shape).square() + 0.5)
    return norm.eval()


NORMS = {
    "layer, one axis": (lambda: nn.LayerNorm(5), (3, 5)),
    "layer, two axes": (lambda: nn.LayerNorm((3, 5)), (2, 3, 5)),
    "layer, all axes": (lambda: nn.LayerNorm((3, 5)), (3, 5)),
    "layer, no middle": (lambda: nn.LayerNorm(5), (5,)),
    "layer, no bias": (lambda: nn.LayerNorm(5, bias=False), (3, 5)),
    "rms": (lambda: nn.RMSNorm(5), (3, 5)),
    "rms, two axes": (lambda: nn.RMSNorm((3, 5), eps=0.1), (2, 3, 5)),
    "group": (lambda: nn.GroupNorm(2, 4), (4, 3, 5)),
    "group, no space": (lambda: nn.GroupNorm(2, 6), (6,)),
    "instance 1d": (lambda: nn.InstanceNorm1d(4, affine=True), (4, 5)),
    "instance 2d": (lambda: nn.InstanceNorm2d(4, affine=True, eps=0.1), (4, 3, 5)),
    "instance 3d": (lambda: nn.InstanceNorm3d(4, affine=True), (4, 2, 3, 2)),
    "instance, kept": (
        lambda: evaluated(nn.InstanceNorm1d(4, affine=True, track_running_stats=True)),
        (4, 5),
    ),
    "batch 1d": (lambda: evaluated(nn.BatchNorm1d(4)), (4,)),
    "batch 1d, space": (lambda: evaluated(nn.BatchNorm1d(4)), (4, 5)),
    "batch 2d": (lambda: evaluated(nn.BatchNorm2d(4)), (4, 3, 5)),
    "batch 3d": (lambda: evaluated(nn.BatchNorm3d(4)), (4, 2, 3, 2)),
}


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("name", NORMS)
def test_norms(name, batch):
    make, shape = NORMS[name]
    layer = make()
    with torch.no_grad():
        for at, parameter in enumerate(layer.parameters()):
            parameter.copy_(drawn(at, *parameter.shape))
    compare(nn.Sequential(layer, nn.Tanh()), drawn(7, batch, *shape))
